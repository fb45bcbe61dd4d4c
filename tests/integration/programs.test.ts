import { spawnSync } from "node:child_process";
import { expect, test } from "vitest";

/** Programs of this repository's developers that take words. */
const PROGRAMS = ["bench/main.ts", "bench/boot-parts.ts", "tests/lab/main.ts", "tests/lab/boots.ts"];

function run(program: string, ...words: string[]) {
  return spawnSync(process.execPath, [program, ...words], { encoding: "utf8" });
}

test.each(PROGRAMS)("%s says how it is used", (program) => {
  const { stdout, stderr, status } = run(program, "--help");
  expect(stdout).toMatch(/^.+\.\n\nUsage: (npm|node) .+\n\nOptions:\n/);
  expect({ stderr, status }).toEqual({ stderr: "", status: 0 });
});

test.each(PROGRAMS)("%s says which word it does not know, and no stack", (program) => {
  const { stdout, stderr, status } = run(program, "--hlp");
  expect(stderr).toBe("error: unknown option '--hlp'\nhint: Did you mean --help?\n");
  expect(stdout).toBe("");
  expect(status).toBe(program === "tests/lab/main.ts" ? 125 : 2);
});

test("the bench takes no number that is none, and no row that there is not", () => {
  expect(run("bench/main.ts", "--runs", "many").stderr).toBe(
    "error: --runs: 'many' is not a whole number from 1 on\nhint: For example: --runs 20\n",
  );
  expect(run("bench/main.ts", "--rows", "1,99").stderr).toContain("error: --rows: there is no row '99'\n");
});
