import { expect, test } from "vitest";
import { SmolVMError } from "../../../../src/errors.ts";
import { orRefused } from "../../../../src/host/monitor/memory.ts";

const failed = (stderr: string): SmolVMError =>
  new SmolVMError("HOST_FAILED", "smolvm-monitor failed with code 1", { details: { stderr } });

test("where the host keeps programs from others' memory it is said what lets them", () => {
  const error = orRefused(failed("/a/memory: Operation not permitted (os error 1)"), "1");
  expect(error).toMatchObject({
    code: "HOST_FAILED",
    message: expect.stringContaining("kernel.yama.ptrace_scope=1"),
    hint: expect.stringContaining("sysctl -w kernel.yama.ptrace_scope=0"),
  });
});

test("any other failure is told as it is, and so is this one where the host does not", () => {
  for (const [stderr, scope] of [
    ["/a/memory: Permission denied (os error 13)", "0"],
    ["/a/memory: Permission denied (os error 13)", undefined],
    ["/a/memory: there is no memory at that address", "1"],
  ] as const) {
    const error = failed(stderr);
    expect(orRefused(error, scope)).toBe(error);
  }
});
