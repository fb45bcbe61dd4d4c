import type { AcceleratorRefusal } from "../backends/qemu/accel.ts";
import type { LocatedQemu } from "../backends/qemu/locate.ts";
import type { QemuProbe } from "../backends/qemu/probe.ts";
import type { QemuTrial } from "../backends/qemu/trial.ts";
import type { BackendSelection } from "../backends/select.ts";
import type { Accelerator, Arch, BackendName } from "../config/spec.ts";
import { inThisShell } from "../errors.ts";
import type { Environment } from "../host/environment.ts";
import type { Paths } from "../host/files/paths.ts";
import type { KvmFacts } from "../host/hardware/kvm.ts";
import type { EnclosurePlan } from "../isolation/tier.ts";

export type CheckStatus = "pass" | "warn" | "fail";

/** What one check found. */
export interface CheckResult {
  /** e.g. "KVM support" */
  readonly name: string;
  readonly status: CheckStatus;
  /** what is so, in a few words */
  readonly detail: string;
  /** what to do, with the exact command; only for what is not good */
  readonly fix?: string;
}

/** An error as it is told: its message and what to do. */
type Told = Error & { hint?: string | undefined };

/** The QEMU that would be used: what it says of itself, or why it said nothing. */
export type FoundQemu =
  | (LocatedQemu & { readonly probe: QemuProbe; readonly trial: QemuTrial })
  | (LocatedQemu & { readonly error: Told });

/** What several checks need, found out once. */
export interface DoctorContext {
  readonly env: Environment;
  readonly paths: Paths;
  readonly platform: NodeJS.Platform;
  /** the guests' architecture: the host's, or x86_64 on a host that we have no name for */
  readonly arch: Arch;
  readonly hostArch: Arch | undefined;
  /** this process is root's */
  readonly root: boolean;
  readonly kvm: KvmFacts;
  /** undefined: there is none */
  readonly qemu: FoundQemu | undefined;
  /** the backend that will be used, or that was asked for if none can */
  readonly backend: BackendName;
  readonly selection: BackendSelection | { readonly error: Told };
  /** the accelerator that QEMU would use; undefined: QEMU is not used, or cannot be */
  readonly accelerator: Accelerator | undefined;
  /** what is against the hardware's own; undefined: nothing, or QEMU is not used */
  readonly noHardware?: AcceleratorRefusal | undefined;
  /** what would be put around a VMM */
  readonly isolation: EnclosurePlan;
}

/** One thing that doctor looks at; undefined: it does not apply here. */
export type Check = (context: DoctorContext) => CheckResult | undefined | Promise<CheckResult | undefined>;

export function pass(name: string, detail: string): CheckResult {
  return { name, status: "pass", detail };
}

export function warn(name: string, detail: string, fix?: string): CheckResult {
  return { name, status: "warn", detail, ...(fix === undefined ? {} : { fix: inThisShell(fix) }) };
}

export function fail(name: string, detail: string, fix?: string): CheckResult {
  return { name, status: "fail", detail, ...(fix === undefined ? {} : { fix: inThisShell(fix) }) };
}
