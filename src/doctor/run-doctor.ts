import { acceleratorFacts } from "../backends/hardware.ts";
import { type BackendRequest, parseBackend, resolveBackendFrom } from "../backends/names.ts";
import { chooseAccelerator } from "../backends/qemu/accel.ts";
import { type BackendSelection, selectBackend } from "../backends/select.ts";
import type { Accelerator, Arch, BackendName } from "../config/spec.ts";
import { isSmolVMError } from "../errors.ts";
import { readEnvironment } from "../host/environment.ts";
import { hostArch } from "../host/facts.ts";
import { kvmFacts } from "../host/kvm.ts";
import { processPaths } from "../host/paths.ts";
import { type Check, type CheckResult, type DoctorContext, fail } from "./check.ts";
import { backend, kvm } from "./checks/backend.ts";
import { isolation, network } from "./checks/isolation.ts";
import { node, platform } from "./checks/platform.ts";
import { qemuBinary, qemuImg } from "./checks/qemu.ts";
import { accelerator, speed } from "./checks/speed.ts";
import { directories, disk, image, nativePrograms } from "./checks/storage.ts";

/** All checks, in the order in which they are shown. */
const CHECKS: readonly (readonly [name: string, check: Check])[] = [
  ["Platform", platform],
  ["Backend", backend],
  ["KVM support", kvm],
  ["QEMU binary", qemuBinary],
  ["qemu-img", qemuImg],
  ["Accelerator", accelerator],
  ["Speed", speed],
  ["Isolation", isolation],
  ["Network", network],
  ["Image", image],
  ["Native programs", nativePrograms],
  ["Node", node],
  ["Disk space", disk],
  ["Directories", directories],
];

export interface DoctorOptions {
  /** check for this backend; default: as a sandbox would choose */
  readonly backend?: string | undefined;
  /** warnings count as failures */
  readonly strict?: boolean;
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
 * @throws SmolVMError BACKEND_UNSUPPORTED
 */
export async function runDoctor(options: DoctorOptions = {}): Promise<DoctorReport> {
  const env = readEnvironment(process.env);
  const requested = parseBackend(options.backend, env.backend);
  const context = await gather(options.backend);
  const results = await Promise.all(CHECKS.map(([name, check]) => runCheck(name, check, context)));
  const checks = results.filter((result) => result !== undefined);
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
    return fail(name, `the check itself failed: ${(error as Error).message}`);
  }
}

async function gather(backendOption: string | undefined): Promise<DoctorContext> {
  const env = readEnvironment(process.env);
  const paths = processPaths();
  const host = { cacheDir: paths.cacheDir, env };
  const arch = hostArch() ?? "x86_64";
  const selection = await settle(selectBackend(backendOption, { host }));
  const resolved = resolveBackendFrom(backendOption, env.backend, process.platform);
  const chosen =
    "error" in selection ? fallbackName(backendOption, env.backend, resolved) : selection.backend;
  return {
    env,
    paths,
    platform: process.platform,
    arch,
    hostArch: hostArch(),
    kvm: kvmFacts(hostArch()),
    backend: chosen,
    selection,
    accelerator: chosen === "qemu" ? await usableAccelerator(arch, host) : undefined,
  };
}

/** When no backend can run: "auto" is checked for QEMU, which is what can be installed. */
function fallbackName(
  requested: string | undefined,
  fromEnv: string | undefined,
  resolved: BackendName,
): BackendName {
  return parseBackend(requested, fromEnv) === "auto" ? "qemu" : resolved;
}

async function settle(selection: Promise<BackendSelection>): Promise<DoctorContext["selection"]> {
  try {
    return await selection;
  } catch (error) {
    if (isSmolVMError(error, "BACKEND_UNAVAILABLE")) return { error };
    throw error;
  }
}

async function usableAccelerator(
  arch: Arch,
  host: Parameters<typeof acceleratorFacts>[1],
): Promise<Accelerator | undefined> {
  try {
    return chooseAccelerator("auto", arch, await acceleratorFacts(arch, host));
  } catch (error) {
    if (isSmolVMError(error)) return undefined; // the QEMU check says what is wrong
    throw error;
  }
}
