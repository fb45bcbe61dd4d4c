import type { Accelerator, Arch } from "../../config/spec.ts";
import { SmolVMError } from "../../errors.ts";
import type { KvmFacts } from "../../host/hardware/kvm.ts";

/** What decides which accelerators can run. */
export interface AcceleratorFacts {
  readonly platform: NodeJS.Platform;
  readonly hostArch: Arch | undefined;
  readonly kvm: KvmFacts;
  /** what the QEMU binary was built with; undefined: not asked */
  readonly built: readonly Accelerator[] | undefined;
  /** what this QEMU said against the hardware's acceleration when it was tried here (trial.ts); undefined: nothing, or not tried */
  readonly tried?: string | undefined;
}

/** Why something cannot run, and what would change that. */
export interface AcceleratorRefusal {
  readonly reason: string;
  readonly hint: string | undefined;
}

/** Why an accelerator cannot run a guest of that architecture here; undefined if it can. Pure. */
function acceleratorRefusal(
  accelerator: Accelerator,
  arch: Arch,
  facts: AcceleratorFacts,
): AcceleratorRefusal | undefined {
  if (accelerator === "tcg") return notBuilt(accelerator, facts);
  const needs = ({ kvm: "linux", hvf: "darwin", whpx: "win32" } as const)[accelerator];
  if (facts.platform !== needs) {
    return { reason: `${accelerator} exists on ${PLATFORM_NAMES[needs]} only`, hint: USE_AUTO };
  }
  if (facts.hostArch !== arch) {
    return { reason: `${accelerator} runs only guests of the host's own architecture`, hint: USE_AUTO };
  }
  if (accelerator === "kvm" && facts.kvm.state !== "usable") {
    return { reason: facts.kvm.detail, hint: facts.kvm.fix };
  }
  const missing = notBuilt(accelerator, facts);
  if (missing !== undefined || facts.tried === undefined) return missing;
  return { reason: `QEMU cannot use ${accelerator}: ${facts.tried}`, hint: SWITCH_ON[facts.platform] };
}

/** What has to be done where an accelerator was built in and does not run. */
const SWITCH_ON: Readonly<Partial<Record<NodeJS.Platform, string>>> = {
  win32:
    "Turn the Windows Hypervisor Platform on, in a PowerShell that runs as administrator, and restart Windows: " +
    "Enable-WindowsOptionalFeature -Online -FeatureName HypervisorPlatform -All",
  darwin: "A Mac in a virtual machine mostly has none. Whether this one has (1) says: sysctl kern.hv_support",
};

/** Why guests of that architecture are emulated here: what is against the hardware's own acceleration; undefined if nothing is. Pure. */
export function hardwareRefusal(arch: Arch, facts: AcceleratorFacts): AcceleratorRefusal | undefined {
  const own = ({ linux: "kvm", darwin: "hvf", win32: "whpx" } as const)[facts.platform as "linux"];
  return own === undefined ? undefined : acceleratorRefusal(own, arch, facts);
}

/**
 * The accelerator to use: the one asked for if it can run, or for "auto" the host's own, else emulation. Pure.
 * @throws SmolVMError KVM_UNAVAILABLE, BACKEND_UNAVAILABLE: the one asked for cannot run here
 */
export function chooseAccelerator(
  requested: "auto" | Accelerator,
  arch: Arch,
  facts: AcceleratorFacts,
): Accelerator {
  if (requested === "auto") {
    const hardware = (["kvm", "hvf", "whpx"] as const).find(
      (name) => acceleratorRefusal(name, arch, facts) === undefined,
    );
    return hardware ?? "tcg";
  }
  const refusal = acceleratorRefusal(requested, arch, facts);
  if (refusal === undefined) return requested;
  const details = { accelerator: requested, arch, reason: refusal.reason };
  if (requested === "kvm" && facts.platform === "linux" && facts.hostArch === arch) {
    throw new SmolVMError("KVM_UNAVAILABLE", `KVM support not detected: ${refusal.reason}`, {
      hint: refusal.hint,
      details: { ...details, kvm: facts.kvm.state },
    });
  }
  throw new SmolVMError(
    "BACKEND_UNAVAILABLE",
    `accelerator '${requested}' cannot run ${arch} guests on this host: ${refusal.reason}`,
    { hint: refusal.hint, details },
  );
}

const USE_AUTO = 'Use accelerator "auto", which takes the best one that runs here.';

const PLATFORM_NAMES = { linux: "Linux", darwin: "macOS", win32: "Windows" } as const;

function notBuilt(accelerator: Accelerator, facts: AcceleratorFacts) {
  if (facts.built === undefined || facts.built.includes(accelerator)) return undefined;
  return {
    reason: `this QEMU was built without ${accelerator}`,
    hint: "Install your distribution's full QEMU package, or point SMOLVM_QEMU to another one.",
  };
}
