import type { Arch } from "../../config/spec.ts";
import { isSmolVMError } from "../../errors.ts";
import { hostArch } from "../../host/hardware/facts.ts";
import { type KvmFacts, kvmFacts } from "../../host/hardware/kvm.ts";
import { type BackendCandidate, USE_QEMU } from "../candidate.ts";
import type { BackendHost } from "../host.ts";
import { BACKEND_FIRECRACKER } from "../names.ts";
import { firecrackerMissing, locateFirecracker } from "./locate.ts";
import { probeFirecracker } from "./probe.ts";
import { FIRECRACKER_VERSION, firecrackerRefusal } from "./version.ts";

/** Why no Firecracker can run guests of that architecture here, whichever it is; undefined if one can. Pure. */
export function hostRefusal(
  platform: NodeJS.Platform,
  own: Arch | undefined,
  wanted: Arch | undefined,
  kvm: KvmFacts,
): Omit<BackendCandidate, "name" | "usable"> | undefined {
  if (platform !== "linux") return { reason: "Firecracker runs on Linux with KVM only", hint: USE_QEMU };
  if (wanted !== undefined && wanted !== own) {
    return {
      reason: `Firecracker runs only guests of the host's own architecture, not ${wanted}`,
      hint: USE_QEMU,
    };
  }
  if (kvm.state === "usable") return undefined;
  return {
    code: "KVM_UNAVAILABLE",
    reason: `KVM support not detected: ${kvm.detail}`,
    hint: kvm.fix ?? USE_QEMU,
  };
}

/** Whether Firecracker can run guests of that architecture (default: the host's) here. */
export async function firecrackerCandidate(
  wanted: Arch | undefined,
  host: BackendHost,
  platform: NodeJS.Platform,
): Promise<BackendCandidate> {
  const no = (why: Omit<BackendCandidate, "name" | "usable">): BackendCandidate => ({
    name: BACKEND_FIRECRACKER,
    usable: false,
    ...why,
  });
  const refusal = hostRefusal(platform, hostArch(), wanted, kvmFacts(hostArch()));
  if (refusal !== undefined) return no(refusal);
  const path = locateFirecracker(host.env);
  if (path === undefined) {
    const { message, hint } = firecrackerMissing(host.env);
    return no({ reason: message, hint });
  }
  try {
    const version = await probeFirecracker(path, host.cacheDir);
    const tooOld = firecrackerRefusal(version);
    if (tooOld !== undefined && !host.env.allowOldFirecracker) {
      return no({
        reason: `${path}: ${tooOld}`,
        hint: `Install Firecracker ${FIRECRACKER_VERSION}: smolvm setup`,
      });
    }
    return { name: BACKEND_FIRECRACKER, usable: true, reason: `Firecracker ${version} at ${path}` };
  } catch (error) {
    if (!isSmolVMError(error)) throw error;
    return no({ reason: error.message, hint: error.hint });
  }
}
