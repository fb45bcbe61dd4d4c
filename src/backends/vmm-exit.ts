import { type ErrorCode, SmolVMError } from "../errors.ts";
import type { VmmExit } from "./backend.ts";

export interface KnownReason {
  readonly pattern: RegExp;
  readonly code: ErrorCode;
  readonly hint: string;
}

/** What VMMs say on stderr, and what it means for a user. The first that matches counts. */
const KNOWN_REASONS: readonly KnownReason[] = [
  {
    pattern: /cannot set up guest memory|Cannot allocate memory/i,
    code: "VMM_FAILED",
    hint: "The host has not enough free memory: lower memSizeMib, or stop other sandboxes.",
  },
  {
    pattern: /Failed to get (?:shared )?"(?:write|consistent read)" lock/i,
    code: "DISK_IN_USE",
    hint: "Another machine has the disk open: stop it first, or use a copy of the disk.",
  },
  {
    pattern: /could not configure \/dev\/net\/tun.*busy/i,
    code: "TAP_UNAVAILABLE",
    hint: "Another program has opened the tap since it was chosen: run it again.",
  },
  {
    pattern: /-gdb .*Address already in use/i,
    code: "PORT_IN_USE",
    hint: "Another program listens on the port for gdb: choose another gdbPort.",
  },
  {
    pattern: /Could not access KVM kernel module|failed to initialize kvm/i,
    code: "KVM_UNAVAILABLE",
    hint: 'Use accelerator "auto" (or "tcg"), and see what is missing: smolvm doctor',
  },
  {
    pattern:
      /WinHvPlatform\.dll|WHPX: No accelerator found|failed to initialize (?:whpx|hvf)|\bHV_(?:UNSUPPORTED|DENIED|ERROR)\b/i,
    code: "BACKEND_UNAVAILABLE",
    hint: 'Use accelerator "auto" (or "tcg"), and see what is missing: smolvm doctor',
  },
  {
    pattern: /could not load PC BIOS|failed to find romfile/i,
    code: "BACKEND_UNAVAILABLE",
    hint: "This QEMU came without some of its firmware: install a whole one (smolvm doctor says how), or point SMOLVM_QEMU to another.",
  },
  {
    pattern: /No space left on device/i,
    code: "NO_SPACE",
    hint: "Free space on the host's disk, then start it again: smolvm doctor shows how much there is.",
  },
  {
    pattern:
      /invalid kernel header|Error loading uncompressed kernel|could not load kernel|linux kernel too old/i,
    code: "IMAGE_INVALID",
    hint: "kernelPath must be a Linux kernel for the guest's architecture (vmlinux with a PVH note, bzImage, or Arm Image).",
  },
];

/** What a VMM's last words mean for a user, if they are known. Pure. */
export function knownReason(stderr: string): KnownReason | undefined {
  return KNOWN_REASONS.find(({ pattern }) => pattern.test(stderr));
}

/**
 * The error for a VMM that ended while it should have run: how it ended and what it said, with a hint where the reason
 * is a known one. Pure.
 * @param program name of the VMM, e.g. "qemu-system-x86_64"
 * @param afterMs time since its launch, if known
 */
export function vmmExitError(program: string, exit: VmmExit, afterMs?: number): SmolVMError {
  const how =
    exit.signal !== undefined
      ? `was ended by ${exit.signal}`
      : exit.code !== undefined
        ? `exited with ${exit.code}`
        : "was killed together with its monitor";
  const said = exit.stderr.trim();
  const known = knownReason(said);
  const after = afterMs === undefined ? "" : ` after ${Math.round(afterMs)} ms`;
  return new SmolVMError(
    known?.code ?? "VMM_FAILED",
    `${program} ${how}${after}${said === "" ? "" : `: ${said}`}`,
    {
      hint: known?.hint ?? signalHint(exit.signal),
      details: { program, exitCode: exit.code, signal: exit.signal, stderr: said },
    },
  );
}

function signalHint(signal: string | undefined): string | undefined {
  if (signal === "SIGSYS") {
    return "QEMU's seccomp filter stopped it: report this with the output of smolvm doctor --json.";
  }
  if (signal === "SIGKILL") {
    return "If nobody killed it, the host ran out of memory (see: dmesg | tail): lower memSizeMib.";
  }
  return undefined;
}
