import { expect, test } from "vitest";
import { faultError, faultMessage } from "../../../../src/backends/firecracker/faults.ts";

test.each([
  [
    "Start microvm error: Cannot load kernel due to invalid memory configuration or invalid kernel image: Kernel Loader: failed to load ELF kernel image",
    "IMAGE_INVALID",
  ],
  ["The kernel file cannot be opened: No such file or directory (os error 2)", "IMAGE_INVALID"],
  ["Cannot create mmap region: Cannot allocate memory (os error 12)", "VMM_FAILED"],
  [
    "Start microvm error: Vm error: Cannot open /dev/kvm. Error: Permission denied (os error 13)",
    "KVM_UNAVAILABLE",
  ],
  ["The vCPU number is invalid!", "VMM_FAILED"],
  [
    "Cannot create the network device: Open tap device failed: Error while creating ifreq structure: Resource busy (os error 16)",
    "TAP_UNAVAILABLE",
  ],
] as const)("what Firecracker says is an error of ours: %s", (fault, code) => {
  const error = faultError("starting the machine", 400, fault);
  expect(error.code).toBe(code);
  expect(error.message).toBe(`Firecracker refused starting the machine: ${fault}`);
  expect(error.details).toEqual({ status: 400, fault });
});

test("what could not be saved for want of room is asked for again, and not started again", () => {
  const fault =
    "Create snapshot error: Cannot write memory file: Cannot dump memory: Guest memory error: No space left on device (os error 28)";
  const error = faultError("saving the machine", 400, fault);
  expect(error.code).toBe("NO_SPACE");
  expect(error.hint).toBe("Free some space on this machine's disk, then ask again: df -h shows where.");
});

test("an answer without words is told by its status", () => {
  expect(faultError("the kernel", 500, "").message).toBe("Firecracker refused the kernel: status 500");
});

test("its words are taken out of its JSON, on one line and bounded", () => {
  expect(faultMessage('{"fault_message":"one\\ntwo"}')).toBe("one two");
  expect(faultMessage("not json\u001b[2J")).toBe("not json [2J");
  expect(faultMessage(JSON.stringify({ fault_message: "x".repeat(5_000) }))).toHaveLength(1_000);
  expect(faultMessage("null")).toBe("null");
});
