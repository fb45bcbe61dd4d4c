import { describe, expect, test } from "vitest";
import { failureExitCode } from "../../../src/cli/exit-code.ts";
import { signalExitCode } from "../../../src/cli/terminal/interrupts.ts";
import { OutputClosed } from "../../../src/cli/terminal/output.ts";
import { type ErrorCode, SmolVMError } from "../../../src/errors.ts";

const code = (exit: "guest" | "plain", error: ErrorCode): number =>
  failureExitCode({ exit }, new SmolVMError(error, ""), undefined);

describe("exit codes of failures", () => {
  test.each<[ErrorCode, number, number]>([
    ["RUN_TIMEOUT", 124, 1],
    ["TIMEOUT", 125, 1],
    ["BOOT_TIMEOUT", 125, 1],
    ["VM_NOT_FOUND", 125, 1],
    ["USAGE", 125, 2],
    ["CONFIG_INVALID", 125, 2],
    ["BACKEND_UNSUPPORTED", 125, 2],
    ["COMMAND_NOT_EXECUTABLE", 126, 1],
    ["COMMAND_NOT_FOUND", 127, 1],
  ])("%s is %i for a guest command and %i elsewhere", (error, guest, plain) => {
    expect([code("guest", error), code("plain", error)]).toEqual([guest, plain]);
  });

  test("before a command is known wrong usage is 2", () => {
    expect(failureExitCode(undefined, new SmolVMError("USAGE", ""), undefined)).toBe(2);
  });

  test("an interrupted command ends as if by that signal", () => {
    const aborted = new SmolVMError("ABORTED", "");
    expect(failureExitCode({ exit: "guest" }, aborted, "SIGINT")).toBe(130);
    expect(failureExitCode({ exit: "plain" }, aborted, "SIGTERM")).toBe(143);
    expect(failureExitCode({ exit: "plain" }, aborted, undefined)).toBe(1);
    expect(signalExitCode("SIGHUP")).toBe(129);
  });

  test("a reader that has gone is no failure to report", () => {
    expect(failureExitCode({ exit: "guest" }, new OutputClosed("gone"), undefined)).toBe(141);
  });

  test("anything unexpected is 125 or 1", () => {
    expect(failureExitCode({ exit: "guest" }, new TypeError("bug"), undefined)).toBe(125);
    expect(failureExitCode({ exit: "plain" }, new TypeError("bug"), undefined)).toBe(1);
  });
});
