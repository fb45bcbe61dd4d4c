import type { Accelerator, BackendName, IsolationTier, VmmLimits } from "../config/spec.ts";
import { isVmmUid } from "../host/linux/vmm-uids.ts";
import type { ProcessGuards } from "../host/process/process-guards.ts";
import { limitWords } from "../isolation/limits.ts";
import { plannedLimits } from "../isolation/tier.ts";
import { type CheckResult, type DoctorContext, fail, pass } from "./check.ts";

/** What a sandbox that was really booted is like. */
export interface Seen {
  readonly backend: BackendName;
  readonly accelerator: Accelerator;
  /** around its VMM; undefined: this platform does not tell */
  readonly guards: ProcessGuards | undefined;
  /** what the sandbox itself says to have reached */
  readonly tier: IsolationTier | undefined;
  /** those that are in force for its VMM */
  readonly limits: Partial<VmmLimits>;
  /** its VMM sees the file that lists all sandboxes */
  readonly seesStore: boolean;
  /** how many times longer a loop of the shell takes in it; undefined: not measured */
  readonly slowdown: number | undefined;
  /** network interfaces in the guest, which was given none */
  readonly interfaces: readonly string[];
  /** the guest's kernel is not this machine's */
  readonly ownKernel: boolean;
}

type Predicted = Pick<DoctorContext, "backend" | "accelerator" | "isolation" | "platform" | "qemu" | "root">;

const REPORT = "Please report it, with: smolvm doctor --deep --json";

/** Backend and accelerator: what runs, and by the process's open files what it runs on. Pure. */
export function compareBackend(predicted: Predicted, seen: Seen): CheckResult[] {
  const same = seen.backend === predicted.backend;
  const backend = same
    ? pass("Backend used", seen.backend)
    : fail("Backend used", `${seen.backend}, and ${predicted.backend} was predicted`, REPORT);
  const expected = predicted.accelerator ?? "kvm"; // Firecracker has no other
  const really = acceleratorOf(seen);
  const name = "Accelerator used";
  if (really === expected) {
    const proof = seen.guards === undefined ? "as QEMU was told; not to be proven here" : proofOf(really);
    return [backend, pass(name, `${really} (${proof})`)];
  }
  return [backend, fail(name, `${really}, and ${expected} was predicted`, REPORT)];
}

function acceleratorOf({ accelerator, guards }: Seen): Accelerator {
  if (guards === undefined) return accelerator;
  if (guards.usesKvm) return "kvm";
  return accelerator === "kvm" ? "tcg" : accelerator;
}

function proofOf(accelerator: Accelerator): string {
  return accelerator === "kvm"
    ? "its process has a machine of KVM's open"
    : "its process has no machine of KVM's open";
}

/** A shell under emulation is ten to thirty times slower; on hardware it is as fast, or twice as slow on a busy host. */
const EMULATED_AT_LEAST = 4;

/** The speed class that was predicted, against one that was measured. Pure. */
export function compareSpeed(predicted: Predicted, { slowdown }: Seen): CheckResult {
  const name = "Speed measured";
  if (slowdown === undefined) return pass(name, "not measured on this platform");
  const emulated = predicted.accelerator === "tcg";
  const detail =
    slowdown < 1.5 ? "as fast as this machine" : `${Math.round(slowdown)} times slower than this machine`;
  if (emulated === slowdown >= EMULATED_AT_LEAST) return pass(name, detail);
  return fail(
    name,
    `${detail}, and ${emulated ? "emulation" : "hardware"} was predicted`,
    "On an idle machine, again: smolvm doctor --deep",
  );
}

/** What was promised to stand between guest and host, against what does. Pure. */
export function compareIsolation(predicted: Predicted, seen: Seen): CheckResult {
  const name = "Isolation proven";
  const wrong = [
    ...(seen.ownKernel ? [] : ["the guest has this machine's kernel"]),
    ...(seen.interfaces.every((entry) => entry === "lo")
      ? []
      : [`it has the network cards ${seen.interfaces.join(", ")}`]),
    ...(seen.guards !== undefined && filterExpected(predicted) && !seen.guards.seccomp
      ? ["its VMM has no seccomp filter"]
      : []),
    ...(seen.guards?.capable && !(predicted.root && predicted.isolation.tier === "none")
      ? ["its VMM has capabilities, and should have none"]
      : []),
    ...tierFaults(predicted.isolation, seen),
  ];
  if (wrong.length > 0) return fail(name, wrong.join("; "), REPORT);
  const { guards } = seen;
  // Of others' making there may be some as well, as in a container.
  const limits = plannedLimits(predicted.isolation);
  if (guards === undefined) {
    return pass(
      name,
      "a kernel of its own, no network card; what is around the VMM cannot be seen on this platform",
    );
  }
  const around = [
    "a kernel of its own",
    "no network card",
    guards.seccomp ? "a seccomp filter on the VMM" : "no seccomp filter",
    ...(guards.noNewPrivileges ? ["no new privileges"] : []),
    ...(predicted.isolation.ownUid ? [`the uid ${guards.uid}`] : []),
    ...(limits.length > 0 ? [`limits on ${limitWords(limits)}`] : []),
    ...(guards.ownNamespaces.length > 0
      ? [`namespaces of its own (${guards.ownNamespaces.join(", ")})`, "nothing of smolvm's store in sight"]
      : ["no namespaces of its own"]),
  ].join(", ");
  const rights = guards.capable ? "has root's rights, as was said" : "has no capabilities";
  return pass(name, `${predicted.isolation.tier}: ${around}; the VMM ${rights}`);
}

/** The namespaces that a VMM without a network has of its own where it is enclosed. */
const ENCLOSED_NAMESPACES = ["ipc", "mnt", "net", "pid", "uts"];

/** What a tier promises and the process does not show. */
function tierFaults(
  { tier, ownUid, ...plan }: Predicted["isolation"],
  { guards, seesStore, tier: told, limits }: Seen,
): string[] {
  const unlimited = plannedLimits(plan).filter((name) => limits[name] === undefined);
  const faults = [
    ...(told === tier ? [] : [`it says to have reached '${told}', and '${tier}' was predicted`]),
    ...(unlimited.length === 0 ? [] : [`nothing limits the ${limitWords(unlimited)} of its VMM`]),
  ];
  if (tier === "none" || guards === undefined) return faults;
  const shared = ENCLOSED_NAMESPACES.filter((name) => !guards.ownNamespaces.includes(name));
  return [
    ...faults,
    ...(shared.length === 0 ? [] : [`its VMM shares this machine's namespaces: ${shared.join(", ")}`]),
    ...(guards.noNewPrivileges ? [] : ["its VMM could gain privileges"]),
    ...(seesStore ? ["its VMM sees smolvm's store"] : []),
    ...(ownUid && !isVmmUid(guards.uid) ? [`its VMM has the uid ${guards.uid}, which is not its own`] : []),
  ];
}

function filterExpected({ platform, backend, qemu }: Predicted): boolean {
  if (platform !== "linux") return false;
  return backend === "firecracker" || (qemu !== undefined && "probe" in qemu && qemu.probe.sandbox);
}
