import { expect, test } from "vitest";
import { CapturedOutput } from "../../../../src/agent/process/captured-output.ts";
import {
  processExit,
  runResult,
  stoppedExit,
  unknownResult,
} from "../../../../src/agent/process/run-result.ts";
import type { Overflow } from "../../../../src/agent/types.ts";
import { GuestErrorCode, Result } from "../../../../src/agent/wire/messages.ts";
import { decode, encode } from "../../../../src/agent/wire/schema.ts";

const EXIT = { exitCode: 0, signal: undefined, durationMs: 1, stoppedBy: undefined };

/** What is kept of pieces: those that begin with "e" are stderr's. */
function captured(pieces: readonly (string | Uint8Array)[], max = 1000, overflow: Overflow = "stop") {
  const output = new CapturedOutput(max, overflow);
  for (const piece of pieces) {
    const bytes = Buffer.from(piece as string);
    output.add(bytes[0] === 0x65 ? "stderr" : "stdout", bytes);
  }
  return { ...output.take(), truncated: output.truncated };
}

const result = (message: Parameters<typeof encode<Result>>[1]): Result =>
  decode(Result, encode(Result, message));

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

test("what was stopped was killed, unless it had ended by itself just before; it is ok in neither case", () => {
  const killed = stoppedExit(result({ error: { code: GuestErrorCode.CANCELLED } }), 5, "timeout");
  expect(killed).toEqual({ exitCode: 137, signal: "SIGKILL", durationMs: 5, stoppedBy: "timeout" });
  const ended = stoppedExit(result({ exitCode: 0 }), 5, "abort");
  expect(ended).toEqual({ exitCode: 0, signal: undefined, durationMs: 5, stoppedBy: "abort" });
  expect(runResult(ended, captured([])).ok).toBe(false);
});

test("of a command whose end is not known no exit code is claimed", () => {
  expect(unknownResult(5, captured(["out"]))).toMatchObject({
    exitCode: undefined,
    signal: undefined,
    ok: false,
    stdout: "out",
  });
});

test("text is decoded leniently and bytes are kept", () => {
  const done = runResult(EXIT, captured([Buffer.from([0xff, 0x41])]));
  expect(done.stdout).toBe("\ufffdA");
  expect([...done.stdoutBytes]).toEqual([0xff, 0x41]);
});

test("large output is decoded when it is looked at, and looks like any other", () => {
  const large = Buffer.alloc(2 * 1024 * 1024, "x");
  const done = runResult(EXIT, captured([large, "e"], 4 * 1024 * 1024));
  expect(Object.keys(done)).toContain("stdout");
  expect(done.stdout.length).toBe(large.length);
  expect(done.output).toBe(`${done.stdout}e`);
  expect({ ...done }.stdout).toBe(done.stdout);
  expect(JSON.parse(JSON.stringify({ ...done, stdoutBytes: 0, stderrBytes: 0 })).stdout.length).toBe(
    large.length,
  );
});

test("both outputs are one text in the order they came, also where one cuts a character of the other in two", () => {
  const euro = Buffer.from("€");
  const done = runResult(
    EXIT,
    captured(["1 ", "e2 ", "3 ", "4 ", euro.subarray(0, 1), "e5 ", euro.subarray(1)]),
  );
  expect(done.output).toBe("1 e2 3 4 e5 €");
  expect(done).toMatchObject({ stdout: "1 3 4 €", stderr: "e2 e5 ", truncated: false });
  expect(runResult(EXIT, captured(["e1", "2"])).output).toBe("e12");
  expect(runResult(EXIT, captured([])).output).toBe("");
});

test.each<[Overflow, string, string, string]>([
  ["stop", "ab", "e1", "abe1"],
  ["keepFirst", "ab", "e1", "abe1"],
  ["keepLast", "f", "e2g", "fe2g"],
])("of more than the limit %s keeps what it says", (overflow, stdout, stderr, output) => {
  const done = runResult(EXIT, captured(["ab", "e1", "cd", "f", "e2g"], 4, overflow));
  expect(done).toMatchObject({ stdout, stderr, output, truncated: true });
  expect(runResult(EXIT, captured(["ab", "e1"], 4, overflow))).toMatchObject({
    output: "abe1",
    truncated: false,
  });
});

test("the last bytes of an endless output are kept in memory that does not grow", () => {
  const output = new CapturedOutput(1000, "keepLast");
  for (let n = 0; n < 2_000_000; n++) output.add(n % 2 === 0 ? "stdout" : "stderr", Buffer.from([n & 0x7f]));
  const { stdout, stderr, order } = output.take();
  expect([stdout.length, stderr.length]).toEqual([500, 500]);
  expect(order.length).toBeLessThan(1010);
  const last = Array.from({ length: 500 }, (_, n) => (1_999_000 + 2 * n) & 0x7f);
  expect([...stdout]).toEqual(last);
});
