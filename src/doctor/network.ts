import { processHost } from "../backends/host.ts";
import type { ReachedNetwork } from "../config/spec.ts";
import { forwardsIpv4, tapRules } from "../host/linux/packet-filter.ts";
import { isTapOpen, tapPool } from "../host/linux/taps.ts";
import { setupState } from "../host/setup/setup-state.ts";
import { inWords } from "../isolation/tier.ts";
import { bestWay, namespaceRules } from "../network/user-network.ts";

/** What this machine has of networks for sandboxes. */
export interface NetworkStatus {
  /** how the open network of a new sandbox on QEMU would be filtered */
  readonly open: ReachedNetwork;
  /** the taps that the set-up made; undefined: it made none */
  readonly taps: TapsStatus | undefined;
}

export interface TapsStatus {
  /** who may open them */
  readonly user: string;
  readonly subnet: string;
  readonly dns: readonly string[];
  readonly wanted: number;
  /** of this user, and there */
  readonly present: number;
  /** of those, the ones that a machine has now */
  readonly open: number;
  readonly forwarding: boolean;
}

/** What there is; `smolvm network check` judges it. */
export async function networkStatus(): Promise<NetworkStatus> {
  const { way, whyNotNext } = await bestWay(processHost(), { transport: transport() });
  return {
    open: whyNotNext === undefined ? { way } : { way, whyNotNext: inWords(whyNotNext) },
    taps: process.platform === "linux" ? tapsStatus() : undefined,
  };
}

function tapsStatus(): TapsStatus | undefined {
  const { runtime } = setupState();
  if (runtime === undefined) return undefined;
  const pool = tapPool();
  const taps = "reason" in pool ? [] : pool.taps;
  return {
    user: runtime.tapUser,
    subnet: `${runtime.subnet}.0.0/16`,
    dns: runtime.dns,
    wanted: runtime.taps,
    present: taps.length,
    open: taps.filter(isTapOpen).length,
    forwarding: forwardsIpv4(),
  };
}

/** The packet filter of taps, or of a network namespace, as it is meant at this moment, in nft's language. @throws SmolVMError NETWORK_SETUP_MISSING */
export async function intendedRules(kind: "taps" | "namespace"): Promise<string> {
  return kind === "taps" ? await tapRules() : namespaceRules();
}

function transport(): "tcp" | "unix" {
  return process.platform === "win32" ? "tcp" : "unix";
}
