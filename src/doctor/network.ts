import { processHost } from "../backends/host.ts";
import { locateQemu } from "../backends/qemu/locate.ts";
import type { ReachedNetwork } from "../config/spec.ts";
import { isSmolVMError } from "../errors.ts";
import { hostArch } from "../host/hardware/facts.ts";
import { forwardsIpv4, tapRules } from "../host/linux/packet-filter.ts";
import { isTapOpen, tapPool } from "../host/linux/taps.ts";
import { setupState } from "../host/setup/setup-state.ts";
import { planUserNetwork, reachedNetwork, type UserNetworkPlan } from "../network/user-network.ts";

/** What this machine has of networks for sandboxes. */
export interface NetworkStatus {
  /** how QEMU's user-mode network would be filtered; undefined: it cannot be */
  readonly userNetwork: ReachedNetwork | undefined;
  /** why there is none */
  readonly refusal: string | undefined;
  /** the name servers that guests on it ask */
  readonly dns: readonly string[];
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
  const plan = await userNetwork();
  return {
    userNetwork: "refusal" in plan ? undefined : reachedNetwork(plan),
    refusal: "refusal" in plan ? plan.refusal : undefined,
    dns: "refusal" in plan ? [] : plan.guest.dns,
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

/** The packet filter of taps, or of a user-mode network, as it is meant at this moment, in nft's language. @throws SmolVMError NETWORK_SETUP_MISSING */
export async function intendedRules(kind: "taps" | "namespace"): Promise<string> {
  if (kind === "taps") return await tapRules();
  const { rules } = await plan();
  return rules;
}

async function userNetwork(): Promise<UserNetworkPlan | { readonly refusal: string }> {
  try {
    return await plan();
  } catch (error) {
    if (isSmolVMError(error, "NETWORK_SETUP_MISSING")) return { refusal: error.message };
    throw error;
  }
}

async function plan(): Promise<UserNetworkPlan> {
  const host = processHost();
  const program = locateQemu(hostArch() ?? "x86_64", host.env);
  return await planUserNetwork(host, { program, transport: process.platform === "win32" ? "tcp" : "unix" });
}
