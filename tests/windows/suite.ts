/**
 * Runs test files with a Windows Node: under wine (main.ts starts it), or on a real Windows machine, in a checkout with its node_modules:
 *
 *   node tests/windows/suite.ts [--image FILE]... [--report FILE] [TEST-FILES...]
 *
 * Without files it runs the sample that CI runs (SAMPLE), with SMOLVM_TEST_LONG=1 all that can be run here (ALL). It has a home of its own,
 * SMOLVM_TEST_HOME or a directory beside the user's temporary files, into which it takes the image of --image (smolvm image export). The QEMU is the
 * one that smolvm finds, or SMOLVM_TEST_QEMU. The exit code is 1 if a test failed. Each test is told as it ends; the report has the form of vitest's.
 */
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, readdirSync, writeFileSync } from "node:fs";
import { registerHooks } from "node:module";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { parseArgs } from "node:util";
import { fileLeftOut, leftOut } from "../helpers/left-out.ts";
import { LEFT_OUT } from "./left-out.ts";
import { Scope, withoutUsing } from "./using.ts";

/** What CI runs under wine: each kind of thing once, and nothing that was ever seen to fail there without a fault. */
const SAMPLE = [
  "tests/windows/tests/monitor.test.ts",
  "tests/windows/tests/verbs.test.ts",
  "tests/windows/tests/names.test.ts",
  "tests/windows/tests/refused.test.ts",
  "tests/windows/tests/walk.test.ts",
];
const checkout = join(import.meta.dirname, "../..");
const filesOf = (directory: string): string[] =>
  readdirSync(join(checkout, directory))
    .filter((name) => name.endsWith(".test.ts"))
    .map((name) => `${directory}/${name}`);
/** All of them, also those that come later: what cannot run here is in left-out.ts. */
const ALL = [...filesOf("tests/windows/tests"), ...filesOf("tests/contract")];

const { values, positionals } = parseArgs({
  options: {
    image: { type: "string", multiple: true },
    none: { type: "boolean" },
    report: { type: "string" },
    only: { type: "string", short: "t" },
  },
  allowPositionals: true,
});
const long = (process.env.SMOLVM_TEST_LONG ?? "") !== "";
const files = values.none ? [] : positionals.length > 0 ? positionals : long ? ALL : SAMPLE;

const smolvm = process.env.SMOLVM_TEST_CLI || join(checkout, "src/cli/bin.ts");
process.env.SMOLVM_HOME = process.env.SMOLVM_TEST_HOME ?? join(tmpdir(), "smolvm-tests");
if (process.env.SMOLVM_TEST_QEMU) process.env.SMOLVM_QEMU = process.env.SMOLVM_TEST_QEMU;
mkdirSync(process.env.SMOLVM_HOME, { recursive: true });
for (const image of values.image ?? []) takeImage(image);

Object.assign(globalThis, { Scope });
// In vitest's place.
const shim = new URL("./vitest.ts", import.meta.url).href;
registerHooks({
  resolve: (specifier, context, next) =>
    specifier === "vitest" ? { url: shim, shortCircuit: true } : next(specifier, context),
  // Node 22 knows no `using`.
  load: (url, context, next) => {
    const loaded = next(url, context);
    if (!url.includes("/tests/") || !url.endsWith(".ts")) return loaded;
    const source = withoutUsing(String(loaded.source), url);
    return { ...loaded, source };
  },
});
const { runFile } = await import("./vitest.ts");

interface FileResult {
  readonly name: string;
  readonly status: "passed" | "failed";
  readonly message: string;
  readonly assertionResults: readonly {
    readonly fullName: string;
    readonly status: string;
    readonly failureMessages: readonly string[];
  }[];
}
const results: FileResult[] = [];
let leftOutCount = 0;
for (const file of files) {
  const started = performance.now();
  const outcomes: FileResult["assertionResults"][number][] = [];
  console.log(`\n${file}`);
  const why = fileLeftOut(LEFT_OUT, file);
  if (why !== undefined) {
    console.log(`  -- all of it: ${why}`);
    leftOutCount++;
    continue;
  }
  let broken = "";
  const without = (name: string): string | undefined =>
    values.only !== undefined && !new RegExp(values.only).test(name)
      ? "not asked for"
      : leftOut(LEFT_OUT, file, name);
  try {
    await runFile(join(checkout, file), without, (outcome) => {
      const { fullName, status, message, before } = outcome;
      const wrong = status === "failed" ? [message] : [];
      outcomes.push({ fullName, status, failureMessages: before === undefined ? wrong : [before, ...wrong] });
      const mark = { passed: "ok", failed: "FAILED", skipped: "--" }[outcome.status];
      console.log(`  ${mark} ${outcome.fullName} ${Math.round(outcome.ms)} ms ${outcome.message}`);
      if (before !== undefined) console.log(`    at the first attempt: ${before}`);
    });
  } catch (error) {
    broken = (error as Error).stack ?? String(error);
    console.log(`  FAILED to load: ${broken}`);
  }
  clearUp();
  leftOutCount += outcomes.filter(({ status }) => status === "skipped").length;
  const failed = broken !== "" || outcomes.some(({ status }) => status === "failed");
  console.log(`  ${Math.round((performance.now() - started) / 1000)} s`);
  // What is left out here on purpose, by a list, was not expected to run.
  results.push({
    name: join(checkout, file),
    status: failed ? "failed" : "passed",
    message: broken,
    assertionResults: outcomes.filter(({ status }) => status !== "skipped"),
  });
}
const success = results.every(({ status }) => status === "passed");
if (values.report) writeFileSync(values.report, JSON.stringify({ success, testResults: results }));
const count = (wanted: string): number =>
  results.flatMap((result) => result.assertionResults).filter(({ status }) => status === wanted).length;
console.log(
  `\n${count("passed")} passed, ${count("failed")} failed, ${leftOutCount} tests or files left out, each with its reason`,
);
process.exit(success ? 0 : 1);

/** What a test that failed has left must not be the next file's: all have one home. */
function clearUp(): void {
  if (
    readdirSync(process.env.SMOLVM_HOME!).includes("vms") &&
    readdirSync(join(process.env.SMOLVM_HOME!, "vms")).length > 0
  )
    spawnSync(process.execPath, ["--no-warnings", smolvm, "rm", "--all", "-f"], { stdio: "ignore" });
}

/** Imports an image's file into the home once; its name has its content's hash in it (main.ts), or it is taken each time. */
function takeImage(file: string): void {
  const note = join(process.env.SMOLVM_HOME!, `imported ${basename(file)}`);
  if (existsSync(note)) return;
  const { status } = spawnSync(process.execPath, ["--no-warnings", smolvm, "image", "import", file], {
    stdio: "inherit",
  });
  if (status !== 0) throw new Error(`the image '${file}' could not be imported`);
  if (/-[0-9a-f]{16}\.tgz$/.test(file)) writeFileSync(note, "");
}
