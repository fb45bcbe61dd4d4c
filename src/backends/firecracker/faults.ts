import { type ErrorCode, SmolVMError } from "../../errors.ts";

/** What Firecracker answers, and what it means for a user. The first that matches counts. */
const KNOWN_FAULTS: readonly { pattern: RegExp; code: ErrorCode; hint: string }[] = [
  {
    pattern: /\btap\b.*(?:Resource busy|os error 16)/is,
    code: "TAP_UNAVAILABLE",
    hint: "Another program has opened the tap since it was chosen: run it again.",
  },
  {
    pattern: /Cannot allocate memory|os error 12|Cannot create (?:mmap|memory) region/i,
    code: "VMM_FAILED",
    hint: "The host has not enough free memory: lower memSizeMib, or stop other sandboxes.",
  },
  {
    pattern: /KVM|\/dev\/kvm/,
    code: "KVM_UNAVAILABLE",
    hint: "See what is missing: smolvm doctor --backend firecracker",
  },
  {
    pattern: /kernel (?:image|file|loader)|load(?:ing)? (?:the )?kernel|invalid elf|magic number|initrd/i,
    code: "IMAGE_INVALID",
    hint: "kernelPath must be an uncompressed Linux kernel for this host's architecture (vmlinux on x86_64, Image on aarch64), with what Firecracker needs built in.",
  },
  {
    pattern: /No space left on device|os error 28/i,
    code: "NO_SPACE",
    // It may be a start, or a machine that goes on and could not be saved.
    hint: "Free some space on this machine's disk, then ask again: df -h shows where.",
  },
];

/**
 * The error for a request that Firecracker refused. Pure.
 * @param what what was asked for, e.g. "the kernel"
 * @param fault its own words ("fault_message")
 */
export function faultError(what: string, status: number, fault: string): SmolVMError {
  const known = KNOWN_FAULTS.find(({ pattern }) => pattern.test(fault));
  return new SmolVMError(
    known?.code ?? "VMM_FAILED",
    `Firecracker refused ${what}: ${fault === "" ? `status ${status}` : fault}`,
    { hint: known?.hint, details: { status, fault } },
  );
}

/** Firecracker's words in an answer's body: `{"fault_message": "..."}`; bounded, as the program may be under attack. Pure. */
export function faultMessage(body: string): string {
  let text = body;
  try {
    const parsed = JSON.parse(body) as { fault_message?: unknown } | null;
    if (typeof parsed?.fault_message === "string") text = parsed.fault_message;
  } catch {
    // not JSON: its words as they are
  }
  return text
    .replaceAll(/\p{Cc}+/gu, " ")
    .trim()
    .slice(0, 1_000);
}
