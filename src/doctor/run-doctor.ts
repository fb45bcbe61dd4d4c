import { type BackendRequest, parseBackend } from "../backends/names.ts";
import type { BackendName } from "../config/spec.ts";
import { readEnvironment } from "../host/environment.ts";
import { type Check, type CheckResult, type DoctorContext, fail } from "./check.ts";
import { backend, kvm } from "./checks/backend.ts";
import { command } from "./checks/command.ts";
import { firecrackerBinary, firecrackerVersion } from "./checks/firecracker.ts";
import { hostDirectories } from "./checks/host-directories.ts";
import { networkTools, sudoAccess, taps } from "./checks/host-setup.ts";
import { isolation, limits, network, userNamespaces } from "./checks/isolation.ts";
import { architecture, node, platform, rust } from "./checks/platform.ts";
import { qemuBinary, qemuImg } from "./checks/qemu.ts";
import { accelerator, speed } from "./checks/speed.ts";
import { directories, disk, image, nativePrograms, store } from "./checks/storage.ts";
import { addressRange, forwarding, otherPacketFilters, packetFilter } from "./checks/taps-network.ts";
import { gather } from "./gather.ts";
import { networkStatus } from "./network.ts";

/** All checks, in the order in which they are shown. */
const CHECKS: readonly (readonly [name: string, check: Check])[] = [
  ["Platform", platform],
  ["Backend", backend],
  ["KVM support", kvm],
  ["Firecracker binary", firecrackerBinary],
  ["Network tools", networkTools],
  ["Sudo access", sudoAccess],
  ["Architecture", architecture],
  ["Firecracker version", firecrackerVersion],
  ["QEMU binary", qemuBinary],
  ["qemu-img", qemuImg],
  ["Accelerator", accelerator],
  ["Speed", speed],
  ["Isolation", isolation],
  ["Limits", limits],
  ["User namespaces", userNamespaces],
  ["Host directories", hostDirectories],
  ["Network", network],
  ["Taps", taps],
  ["Forwarding", forwarding],
  ["Tap addresses", addressRange],
  ["Packet filter", packetFilter],
  ["Other packet filters", otherPacketFilters],
  ["Image", image],
  ["Native programs", nativePrograms],
  ["Rust", rust],
  ["Node", node],
  ["Command", command],
  ["Store", store],
  ["Disk space", disk],
  ["Directories", directories],
];

/** Those that are about the network. */
const NETWORK_CHECKS: ReadonlySet<string> = new Set([
  "Network tools",
  "Network",
  "Taps",
  "Forwarding",
  "Tap addresses",
  "Packet filter",
  "Other packet filters",
]);

export interface DoctorOptions {
  /** check for this backend; default: as a sandbox would choose */
  readonly backend?: string | undefined;
  /** warnings count as failures */
  readonly strict?: boolean;
  /** look at the network alone */
  readonly networkOnly?: boolean;
  /** boot a sandbox, and compare what it is with what the checks say; takes seconds */
  readonly deep?: boolean;
  /** ends `deep` */
  readonly signal?: AbortSignal | undefined;
  /** told what `deep` is doing */
  readonly onProgress?: (message: string) => void;
}

/** What doctor found; the shape of `smolvm doctor --json`'s data. */
export interface DoctorReport {
  readonly backend_requested: BackendRequest;
  readonly backend_resolved: BackendName;
  readonly system: NodeJS.Platform;
  readonly arch: string;
  readonly checks: readonly CheckResult[];
  readonly summary: DoctorSummary;
}

export interface DoctorSummary {
  readonly failures: number;
  readonly warnings: number;
  /** nothing failed, and under `strict` nothing warned either */
  readonly ok: boolean;
  readonly strict: boolean;
}

/**
 * Looks at everything that sandboxes need on this host. A check that itself breaks is a failed check, not an error.
 * @throws SmolVMError BACKEND_UNSUPPORTED; ABORTED by `signal`
 */
export async function runDoctor(options: DoctorOptions = {}): Promise<DoctorReport> {
  const requested = parseBackend(options.backend, readEnvironment(process.env).backend);
  const context = await gather(options.backend);
  const chosen = options.networkOnly ? CHECKS.filter(([name]) => NETWORK_CHECKS.has(name)) : CHECKS;
  const results = await Promise.all(chosen.map(([name, check]) => runCheck(name, check, context)));
  const checks = results.filter((result) => result !== undefined);
  if (options.deep) {
    const { proveByBooting } = await import("./deep.ts");
    checks.push(...(await proveByBooting(context, options)));
    if (context.backend === "qemu" && !("error" in context.selection)) {
      const { proveNetwork } = await import("./deep-network.ts");
      options.onProgress?.("booting one with an open network");
      checks.push(await proveNetwork((await networkStatus()).open.way, options.signal));
    }
  }
  return {
    backend_requested: requested,
    backend_resolved: context.backend,
    system: context.platform,
    arch: context.hostArch ?? process.arch,
    checks,
    summary: summarize(checks, options.strict ?? false),
  };
}

/** Counts what is not good. Pure. */
export function summarize(checks: readonly CheckResult[], strict: boolean): DoctorSummary {
  const count = (status: CheckResult["status"]): number =>
    checks.filter((check) => check.status === status).length;
  const failures = count("fail");
  const warnings = count("warn");
  return { failures, warnings, ok: failures === 0 && (!strict || warnings === 0), strict };
}

async function runCheck(
  name: string,
  check: Check,
  context: DoctorContext,
): Promise<CheckResult | undefined> {
  try {
    return await check(context);
  } catch (error) {
    return fail(
      name,
      `the check itself failed: ${(error as Error).message}`,
      "Please report it: smolvm doctor --json",
    );
  }
}
