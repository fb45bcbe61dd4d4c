/**
 * Counts the tests of vitest's JSON reports: prints "PASSED FAILED SKIPPED"; names what failed, or passed only at its
 * second attempt, on stderr; and exits with 1 if a test of the integration project was skipped that was expected to run.
 *
 *   node scripts/test-report.ts PROJECT REPORT.json...
 *
 * Expected to be skipped are only tests of files that speak of SMOLVM_TEST_LONG, and only when that is not set; for an ordinary user, of
 * files that run some for root alone, or for who may serve ports below 1024; and on an image with busybox what tests/contract/left-out.ts
 * names, whose reasons are told.
 */
import { readFileSync } from "node:fs";
import { join, relative } from "node:path";
import { LEFT_OUT } from "../tests/contract/left-out.ts";
import { HAS_PYTHON } from "../tests/helpers/backends.ts";
import { leftOut } from "../tests/helpers/left-out.ts";

interface Report {
  readonly success: boolean;
  readonly testResults: readonly {
    readonly name: string;
    readonly status: string;
    readonly message: string;
    readonly assertionResults: readonly {
      readonly status: string;
      readonly fullName: string;
      readonly failureMessages: readonly string[];
    }[];
  }[];
}

const [project = "", ...paths] = process.argv.slice(2);

/** The test files of one report; undefined: its tests never came to an end. */
function read(path: string): Report["testResults"] | undefined {
  try {
    return (JSON.parse(readFileSync(path, "utf8")) as Report).testResults;
  } catch (error) {
    console.error(`tests of '${project}' left no report: ${(error as Error).message}`);
    return undefined;
  }
}

const reports = paths.map(read);
const lost = reports.filter((files) => files === undefined).length;
const files = reports.flatMap((of) => of ?? []);
const tests = files.flatMap((file) => file.assertionResults.map((test) => ({ ...test, file: file.name })));
const passed = tests.filter((test) => test.status === "passed");
const failed = tests.filter((test) => test.status === "failed");
const skipped = tests.filter((test) => test.status !== "passed" && test.status !== "failed");
// A file that cannot be loaded has no tests to fail.
const broken = files.filter(
  (file) => file.status === "failed" && !file.assertionResults.some((test) => test.status === "failed"),
);

/** What an error says: its first line and, of a longer one, as of a program that failed, the last ones before its stack. */
function brief(text = ""): string {
  const lines = text.split("\n");
  const stack = lines.findIndex((line) => line.startsWith("    at "));
  const [first = "", ...others] = stack < 0 ? lines : lines.slice(0, stack);
  const last = others.filter((line) => line.trim() !== "").slice(-3);
  return [first.slice(0, 300), ...last.map((line) => line.trim().slice(0, 200))].join(" | ");
}
for (const test of failed) {
  console.error(`failed: ${test.file}: ${test.fullName}: ${brief(test.failureMessages[0])}`);
}
// What passed at its second attempt is counted as passed and named all the same: it is a race of ours or of the test's.
for (const test of passed.filter(({ failureMessages }) => failureMessages.length > 0)) {
  console.error(
    `passed at the second attempt: ${test.file}: ${test.fullName}: ${brief(test.failureMessages[0])}`,
  );
}
for (const file of broken) console.error(`failed: ${file.name}: ${brief(file.message)}`);

const long = (process.env.SMOLVM_TEST_LONG ?? "") !== "";
const mayBeSkipped = (file: string): boolean => {
  const text = readFileSync(file, "utf8");
  return (
    (!long && text.includes("SMOLVM_TEST_LONG")) ||
    (process.getuid?.() !== 0 && /runIf\(isRoot\)|skipIf\(!HAS_LOW_PORTS\)/.test(text))
  );
};
const checkout = join(import.meta.dirname, "..");
const whyLeftOut = (test: (typeof skipped)[number]): string | undefined =>
  HAS_PYTHON ? undefined : leftOut(LEFT_OUT, relative(checkout, test.file), test.fullName);
const reasons = Map.groupBy(skipped, whyLeftOut);
for (const [why, of] of reasons) if (why !== undefined) console.error(`left out: ${of.length} tests: ${why}`);
const rest = reasons.get(undefined) ?? [];
const unexpected = project === "unit" ? [] : rest.filter((test) => !mayBeSkipped(test.file));
for (const test of unexpected) console.error(`skipped, but expected to run: ${test.file}: ${test.fullName}`);

console.log(`${passed.length} ${failed.length + broken.length + lost} ${skipped.length}`);
process.exit(unexpected.length + lost > 0 ? 1 : 0);
