import { globSync, readFileSync } from "node:fs";
import { stripTypeScriptTypes } from "node:module";
import { expect, test } from "vitest";
import { Scope, withoutUsing } from "../../windows/using.ts";

/** Runs a body whose `held(name)` are told as they go; what it throws is told last. */
async function run(body: string): Promise<string[]> {
  const told: string[] = [];
  const held = (name: string) => ({
    name,
    async [Symbol.asyncDispose]() {
      told.push(`end of ${name}`);
      if (name.startsWith("bad")) throw new Error(name);
    },
  });
  const indented = body.replaceAll(/^(?=.)/gm, "  ");
  const source = withoutUsing(`return (async () => {\n${indented}\n})();`, "body");
  const act = new Function("Scope", "held", "told", source);
  await act(Scope, held, told).catch((error: Error) => told.push(`threw ${error.message}`));
  return told;
}

test("what a block takes goes when the block ends, the last first", async () => {
  const body = `{
  await using a = held("a");
  await using b = held(
    "b",
  );
  for (const name of ["c", "d"]) {
    await using c = held(name);
    if (name === "c") continue;
    told.push(\`in \${c.name}
of a text\`);
  }
  told.push(a.name + b.name);
}
told.push("behind");`;
  expect(await run(body)).toEqual([
    "end of c",
    "in d\n  of a text",
    "end of d",
    "ab",
    "end of b",
    "end of a",
    "behind",
  ]);
});

test("however it is left", async () => {
  const thrown = 'await using a = held("a");\nawait using n = null;\nthrow new Error("why");';
  expect(await run(thrown)).toEqual(["end of a", "threw why"]);
  const returned = 'if (told) {\n  await using a = held("a");\n  return a;\n}\ntold.push("never");';
  expect(await run(returned)).toEqual(["end of a"]);
  const bad = 'await using a = held("a");\nawait using b = held("bad b");\nawait using c = held("bad c");';
  expect(await run(bad)).toEqual(["end of bad c", "end of bad b", "end of a", "threw bad c"]);
});

test("a block whose end cannot be told is refused", () => {
  expect(() => withoutUsing("f(() => {\n    await using a = 1;\n  b();\n});", "f.ts")).toThrow("f.ts:3: ");
  expect(() => withoutUsing("{\n  await using a = 1;", "f.ts")).toThrow("f.ts: ");
});

test.each(
  globSync("tests/{contract,helpers,windows}/**/*.ts").filter((file) =>
    /^ +await using /m.test(readFileSync(file, "utf8")),
  ),
)("%s is understood, and no line of it moves", (file) => {
  const source = readFileSync(file, "utf8");
  const changed = withoutUsing(source, file);
  expect(changed).not.toMatch(/^ +await using /m);
  expect(changed.split("\n")).toHaveLength(source.split("\n").length);
  stripTypeScriptTypes(changed);
});
