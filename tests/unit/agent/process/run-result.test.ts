import { expect, test } from "vitest";
import { processExit, runResult } from "../../../../src/agent/process/run-result.ts";

const NOTHING = Buffer.alloc(0);
const EXIT = { exitCode: 0, signal: undefined, durationMs: 1 };

test("an exit code is the code, and a signal is 128 more than its number, as in a shell", () => {
  expect(processExit({ exitCode: 7, signal: 0 }, 5)).toEqual({
    exitCode: 7,
    signal: undefined,
    durationMs: 5,
  });
  expect(processExit({ exitCode: 0, signal: 9 }, 5)).toEqual({
    exitCode: 137,
    signal: "SIGKILL",
    durationMs: 5,
  });
});

test("text is decoded leniently and bytes are kept", () => {
  const result = runResult(EXIT, Buffer.from([0xff, 0x41]), NOTHING, false);
  expect(result.stdout).toBe("\ufffdA");
  expect([...result.stdoutBytes]).toEqual([0xff, 0x41]);
});

test("large output is decoded when it is looked at, and looks like any other", () => {
  const large = Buffer.alloc(2 * 1024 * 1024, "x");
  const result = runResult(EXIT, large, NOTHING, false);
  expect(Object.keys(result)).toContain("stdout");
  expect(result.stdout.length).toBe(large.length);
  expect({ ...result }.stdout).toBe(result.stdout);
  expect(JSON.parse(JSON.stringify({ ...result, stdoutBytes: 0, stderrBytes: 0 })).stdout.length).toBe(
    large.length,
  );
});
