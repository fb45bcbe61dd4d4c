import { describe, expect, test } from "vitest";
import { ERROR_CODES, type ErrorCode, isGone, SmolVMError } from "../../src/errors.ts";

describe("isGone", () => {
  test("judges every code, and of VM_STATE by the state", () => {
    const gone = Object.keys(ERROR_CODES).filter((code) => isGone(new SmolVMError(code as ErrorCode, "")));
    expect(gone).toEqual(["VM_NOT_FOUND", "AGENT_LOST", "OUTCOME_UNKNOWN"]);
    const states = ["created", "starting", "running", "stopping", "stopped", "error", "deleting"];
    const down = states.filter((state) => isGone(new SmolVMError("VM_STATE", "", { details: { state } })));
    expect(down).toEqual(["created", "stopping", "stopped", "error", "deleting"]);
  });

  test("is false for what is no error of ours", () => {
    for (const error of [undefined, null, "VM_NOT_FOUND", new Error("gone"), { code: "VM_NOT_FOUND" }])
      expect(isGone(error)).toBe(false);
  });
});
