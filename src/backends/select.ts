import type { Arch, BackendName, NetworkMode } from "../config/spec.ts";
import { SmolVMError } from "../errors.ts";
import { readEnvironment } from "../host/environment.ts";
import { hostArch } from "../host/hardware/facts.ts";
import { tapRefusal } from "../host/linux/taps.ts";
import { installHint } from "../host/setup/install-hint.ts";
import { type BackendCandidate, USE_QEMU } from "./candidate.ts";
import { BACKEND_FEATURES } from "./features.ts";
import { firecrackerCandidate } from "./firecracker/candidate.ts";
import { type HardwareRequest, machineRefusal } from "./hardware.ts";
import { type BackendHost, processHost } from "./host.ts";
import {
  BACKEND_AUTO,
  BACKEND_FIRECRACKER,
  BACKEND_QEMU,
  type BackendRequest,
  parseBackend,
  platformBackend,
  resolveBackendFrom,
} from "./names.ts";
import { locateQemu, qemuMissing } from "./qemu/locate.ts";
import { probeQemu } from "./qemu/probe.ts";

/** The choice of a backend, with its reasons. */
export interface BackendSelection {
  readonly backend: BackendName;
  /** what was asked for, by argument or environment; "auto" if nothing was */
  readonly requested: BackendRequest;
  /** in the order in which they were considered */
  readonly candidates: readonly BackendCandidate[];
}

/** What a sandbox is to have that not every backend gives. */
export interface BackendWants
  extends Partial<Pick<HardwareRequest, "machine" | "accelerator" | "qemuNetwork">> {
  /** default: "open", as sandboxes have it */
  readonly network?: NetworkMode;
  readonly gdbPort?: number | undefined;
}

export interface SelectOptions {
  /** only for "auto": a backend that lacks it is passed over */
  readonly wants?: BackendWants;
  /** the guest's architecture; default the host's */
  readonly arch?: Arch;
  /** default: this process's environment and directories */
  readonly host?: BackendHost;
  readonly platform?: NodeJS.Platform;
}

/**
 * The backend's name by argument, then `SMOLVM_BACKEND`, then the platform (macOS: qemu, others: firecracker).
 * It looks at nothing else: whether that backend can run is {@link selectBackend}'s question.
 * @throws SmolVMError BACKEND_UNSUPPORTED
 */
export function resolveBackend(requested?: string): BackendName {
  return resolveBackendFrom(requested, readEnvironment(process.env).backend, process.platform);
}

/**
 * The backend to use, and why. What was asked for is that one or an error; "auto" is the platform's backend where it
 * can run, else qemu. Starts no process, except to ask a QEMU that it has not seen before what it is.
 * @throws SmolVMError BACKEND_UNSUPPORTED, BACKEND_UNAVAILABLE
 */
export async function selectBackend(
  requested?: string,
  options: SelectOptions = {},
): Promise<BackendSelection> {
  const host = options.host ?? processHost();
  const platform = options.platform ?? process.platform;
  const request = parseBackend(requested, host.env.backend);
  const names = request === BACKEND_AUTO ? autoOrder(platform) : [request];
  const candidates = await Promise.all(
    names.map((name) =>
      name === BACKEND_QEMU
        ? qemuCandidate(options.arch, host)
        : passOver(
            firecrackerCandidate(options.arch, host, platform),
            request === BACKEND_AUTO ? wantsRefusal(options.wants ?? {}) : undefined,
          ),
    ),
  );
  return decide(request, candidates);
}

async function passOver(
  candidate: Promise<BackendCandidate>,
  refusal: Refusal | undefined,
): Promise<BackendCandidate> {
  const found = await candidate;
  return found.usable && refusal !== undefined ? { ...found, usable: false, ...refusal } : found;
}

/** The first that can run, or the error that says why none can. Pure. */
export function decide(requested: BackendRequest, candidates: readonly BackendCandidate[]): BackendSelection {
  const chosen = candidates.find((candidate) => candidate.usable);
  if (chosen === undefined) throw unavailable(candidates);
  return { backend: chosen.name, requested, candidates };
}

/** Backends in the order in which "auto" takes them. Pure. */
export function autoOrder(platform: NodeJS.Platform): readonly BackendName[] {
  // There is no Firecracker for Windows: asking for the seeds' answer there would only ever fail.
  if (platform === "win32" || platformBackend(platform) === BACKEND_QEMU) return [BACKEND_QEMU];
  return [BACKEND_FIRECRACKER, BACKEND_QEMU];
}

/** The error for backends that cannot run, with each one's reason. Pure. */
export function unavailable(candidates: readonly BackendCandidate[]): SmolVMError {
  const [first] = candidates;
  const message =
    candidates.length === 1 && first !== undefined
      ? first.code === undefined
        ? `backend '${first.name}' cannot run on this host: ${first.reason}`
        : first.reason
      : `no backend can run on this host: ${candidates.map(({ name, reason }) => `${name}: ${reason}`).join("; ")}`;
  // The recommended path is the first that the user can do something about; "use qemu" is no help when qemu failed too.
  const code = candidates.length === 1 ? first?.code : undefined;
  return new SmolVMError(code ?? "BACKEND_UNAVAILABLE", message, {
    hint:
      candidates.length === 1
        ? first?.hint
        : (candidates.find(isInReach) ?? candidates.find(({ hint }) => hint !== USE_QEMU))?.hint,
    details: { candidates },
  });
}

/** Whether installing something would do: a processor without virtualization is not to be helped. */
function isInReach({ hint, code }: BackendCandidate): boolean {
  return hint !== undefined && hint !== USE_QEMU && code !== "KVM_UNAVAILABLE";
}

type Refusal = Pick<BackendCandidate, "reason" | "hint" | "code">;

/** Why Firecracker is not what "auto" takes for such a sandbox, although it may run here; undefined if it is. */
function wantsRefusal({ network = "open", gdbPort, ...machine }: BackendWants): Refusal | undefined {
  if (gdbPort !== undefined && !BACKEND_FEATURES.firecracker.gdb) return { reason: "it has no port for gdb" };
  const refusal = machineRefusal(machine);
  if (refusal !== undefined) return { reason: refusal.reason };
  const noTap = network !== "open" ? undefined : tapRefusal();
  if (noTap === undefined) return undefined;
  const reason = `its network '${network}' needs a tap: ${noTap.reason}`;
  return { code: "NETWORK_SETUP_MISSING", reason, hint: noTap.hint };
}

async function qemuCandidate(wanted: Arch | undefined, host: BackendHost): Promise<BackendCandidate> {
  const arch = wanted ?? hostArch() ?? "x86_64";
  const path = locateQemu(arch, host);
  if (path === undefined) {
    const { message, hint } = qemuMissing(arch, host.env);
    return { name: BACKEND_QEMU, usable: false, reason: message, hint };
  }
  try {
    const probe = await probeQemu(path, host.cacheDir);
    if (probe.target !== arch) {
      return {
        name: BACKEND_QEMU,
        usable: false,
        reason: `${path} runs ${probe.target} guests, not ${arch}`,
        hint:
          host.env.qemu === undefined
            ? installHint(`qemu-${arch}`)
            : "Unset SMOLVM_QEMU, or set it to a directory.",
      };
    }
    return { name: BACKEND_QEMU, usable: true, reason: `QEMU ${probe.version} at ${path}` };
  } catch (error) {
    if (!(error instanceof SmolVMError)) throw error;
    const { message, hint } = error;
    return { name: BACKEND_QEMU, usable: false, reason: message, hint };
  }
}
