import { type KnownReason, knownReason } from "../../backends/vmm-exit.ts";
import { type ErrorCode, SmolVMError } from "../../errors.ts";
import { lastLines } from "./console.ts";
import { kernelPanic } from "./kernel-panic.ts";

/** What is known about a boot that did not succeed. */
export interface BootEvidence {
  readonly name: string;
  /** all of the console that is kept */
  readonly console: string;
  /** how the VMM ended, if it did */
  readonly exit: { code: number | undefined; signal: string | undefined; stderr: string } | undefined;
  readonly timeoutMs: number;
  readonly emulated: boolean;
}

/** How far the boot came, in order. The agent prints its stages (PROTOCOL.md, section 4). */
export function bootStage(console: string): string {
  const failed = /smolvm-agent: FAILED (\w+)/.exec(console);
  if (failed) return failed[1]!;
  const stages = [...console.matchAll(/smolvm-agent: (init|modules|disks|root|ready)\b/g)];
  const last = stages.at(-1)?.[1];
  if (last) return last;
  return console.trim() === "" ? "firmware" : "kernel";
}

/** The error for a boot that failed or took too long: stage, cause as far as it can be told, last lines, what to do. Pure. */
export function bootError(evidence: BootEvidence): SmolVMError {
  const stage = bootStage(evidence.console);
  const lines = lastLines(evidence.console, 40);
  const { message, hint } = diagnose(evidence, stage);
  const taken = evidence.exit && stage === "firmware" ? whatIsTaken(evidence.exit.stderr) : undefined;
  const code = taken?.code ?? (evidence.exit ? "BOOT_FAILED" : "BOOT_TIMEOUT");
  return new SmolVMError(code, `sandbox '${evidence.name}' ${message}`, {
    hint: taken?.hint ?? hint,
    details: { stage, console: lines, exit: evidence.exit },
  });
}

/** A machine that never began because somebody else has what it needs: nothing is wrong with the machine. */
function whatIsTaken(stderr: string): KnownReason | undefined {
  const known = knownReason(stderr);
  return known !== undefined && TAKEN.includes(known.code) ? known : undefined;
}
const TAKEN: readonly ErrorCode[] = ["DISK_IN_USE", "PORT_IN_USE", "TAP_UNAVAILABLE"];

const VMM_SAID =
  "That is what the VMM says; all of it: smolvm diagnose NAME. Whether this host has what it needs: smolvm doctor";

function diagnose(evidence: BootEvidence, stage: string): { message: string; hint: string } {
  const { console, exit } = evidence;
  const failed = /smolvm-agent: FAILED (\w+): ([^\r\n]*)/.exec(console);
  if (failed) {
    return {
      message: `failed to boot at stage '${failed[1]}': ${failed[2]}`,
      hint: "Check the image and the sandbox's disk; the whole console: smolvm logs NAME",
    };
  }
  const panic = kernelPanic(console);
  if (panic !== undefined) {
    return {
      message: `failed to boot: the guest's kernel panicked: ${panic}`,
      hint: /VFS|init/.test(panic)
        ? "The kernel found no agent to start: check initrdPath, or leave it out."
        : "Check kernelPath and bootArgs.",
    };
  }
  if (exit && stage === "firmware") {
    const said = lastLines(exit.stderr, 3).join("; ");
    // One that says nothing may have been given something that is no kernel; one that says why is to be heard.
    const kernel =
      "Check kernelPath: it must be a kernel for this architecture. smolvm doctor checks the host.";
    const hint = said === "" ? kernel : (knownReason(exit.stderr)?.hint ?? VMM_SAID);
    return {
      message: `did not boot: the VMM ended (${exit.signal ?? `exit code ${exit.code}`})${said ? `: ${said}` : " before the kernel wrote anything"}`,
      hint,
    };
  }
  if (exit) {
    return {
      message: `failed to boot: the machine ended at stage '${stage}' (${exit.signal ?? `exit code ${exit.code}`})`,
      hint: "The last console lines are in the error's details; the whole console: smolvm logs NAME",
    };
  }
  if (/Unable to calibrate against PIT|Marking TSC unstable/.test(console)) {
    return {
      message: "did not boot: the guest's kernel could not calibrate its clock (the host is very busy)",
      hint: "Try again, with less load on the host.",
    };
  }
  const where = stage === "firmware" ? "the kernel wrote nothing" : `it came as far as stage '${stage}'`;
  return {
    message: `did not answer within ${evidence.timeoutMs} ms: ${where}`,
    hint:
      stage === "firmware"
        ? "Raise timeoutMs if it was short; else check kernelPath: it must be a kernel for this architecture and machine."
        : `Raise timeoutMs${evidence.emulated ? " (this host emulates; a busy one is slow)" : ""}, or look at the console: smolvm logs NAME`,
  };
}
