import { expect, test } from "vitest";
import type { RunResult } from "../../../../src/agent/types.ts";
import { collectedRun } from "../../../../src/cli/render/collected.ts";
import { failureEnvelope, successEnvelope } from "../../../../src/cli/render/json.ts";
import { SmolVMError } from "../../../../src/errors.ts";

function result(stdout: Uint8Array, extra: Partial<RunResult> = {}): RunResult {
  return {
    exitCode: 0,
    signal: undefined,
    ok: true,
    durationMs: 12.6,
    truncated: false,
    stoppedBy: undefined,
    output: "",
    stdoutBytes: stdout,
    stderrBytes: new Uint8Array(),
    stdout: "",
    stderr: "",
    ...extra,
  };
}

test("output that is UTF-8 is text, a byte order mark included", () => {
  expect(collectedRun(result(Buffer.from("\ufeffgrüße\n")))).toEqual({
    exitCode: 0,
    signal: null,
    stdout: "\ufeffgrüße\n",
    stderr: "",
    durationMs: 13,
  });
});

test("output that is not UTF-8 survives as base64 beside its readable form", () => {
  const bytes = Buffer.from([0x61, 0xff, 0xfe, 0x62]);
  const collected = collectedRun(result(bytes, { exitCode: 137, signal: "SIGKILL" }));
  expect(collected).toEqual({
    exitCode: 137,
    signal: "SIGKILL",
    stdout: "a\ufffd\ufffdb",
    stdoutBase64: "Yf/+Yg==",
    stderr: "",
    durationMs: 13,
  });
  expect(Buffer.from(collected.stdoutBase64!, "base64")).toEqual(bytes);
});

test("every command prints the same envelope", () => {
  expect(successEnvelope("ls", [])).toEqual({ ok: true, command: "ls", data: [], error: null });
  expect(successEnvelope("cp", undefined)).toEqual({ ok: true, command: "cp", data: null, error: null });
  const error = new SmolVMError("VM_NOT_FOUND", "no", { details: { name: "x" } });
  expect(failureEnvelope("info", error)).toEqual({
    ok: false,
    command: "info",
    data: null,
    error: {
      code: "VM_NOT_FOUND",
      message: "no",
      hint: "See which sandboxes there are: smolvm ls",
      details: { name: "x" },
    },
  });
  expect(failureEnvelope("info", "a string").error).toMatchObject({ code: "INTERNAL", message: "a string" });
});
