import { readFileSync } from "node:fs";
import type { NetworkPolicy } from "../config/network-rules.ts";
import type { GuestNetwork, MachineSpec, ReachedNetwork, UserNetworkWay } from "../config/spec.ts";
import { SmolVMError } from "../errors.ts";
import type { OwnNetwork } from "../host/monitor/own-network.ts";
import { ownNetworks } from "../host/own-networks.ts";
import { nativeProgram } from "../host/package.ts";
import type { IsolationHost } from "../isolation/facts.ts";
import { findOwnNetwork, type OwnNetworkWants, RESOLVER } from "../isolation/own-network.ts";
import { isStatic } from "../isolation/system-files.ts";
import { inWords, type Refusal } from "../isolation/tier.ts";
import { nameServers, openRules } from "./open-rules.ts";
import { NAMESPACE_TAP, USER_NETWORK } from "./plan.ts";
import { OWN_SET, renderNft, type TapGuest } from "./render-nft.ts";
import { renderPreload } from "./render-preload.ts";

/** Who is asked for names on a host whose own name server cannot be: it has none with an IPv4 address. */
const PUBLIC_RESOLVERS: readonly string[] = ["1.1.1.1", "9.9.9.9"];

/** How QEMU's user-mode network is kept from what its guest may not reach, and what it takes. */
export interface UserNetworkPlan {
  readonly way: UserNetworkWay;
  /** the network that the VMM is started in; absent: the host's own */
  readonly own?: OwnNetwork;
  /** a library that is loaded before the VMM, and its variable */
  readonly preload?: { readonly library: string; readonly env: Readonly<Record<string, string>> };
  /** what the guest is told */
  readonly guest: GuestNetwork;
  /** why it is not the better way; absent: there is none, or none was wanted */
  readonly whyNotNext?: Refusal;
}

/** What matters of a machine whose network card is QEMU's user-mode network. */
export interface UserNetworkWants extends Pick<MachineSpec, "unfiltered" | "gdbPort" | "transport"> {
  /** path of QEMU */
  readonly program: string | undefined;
  /** what it may send and get at most, each, in millions of bits a second; absent: no limit */
  readonly rateLimitMbps?: number | undefined;
  /** it goes on from a machine that had QEMU's libslirp behind its card: what was saved of one is no other's */
  readonly savedWithSlirp?: boolean | undefined;
}

/**
 * Why a new sandbox's open network cannot be in a network namespace of its own on this host as it is now; undefined: it can. Then its machine
 * has no network card, and the door of a restricted network with {@link OPEN_BY_DOOR}.
 */
export async function doorReason(
  host: IsolationHost,
  wants: Pick<UserNetworkWants, "gdbPort" | "transport" | "rateLimitMbps">,
): Promise<Refusal | undefined> {
  const { way, whyNotNext, doorReason } = await bestWay(host, wants);
  // A limit needs a tap, or the door.
  return way === "namespace-slirp" && wants.rateLimitMbps !== undefined ? whyNotNext : doorReason;
}

/** The way that a new sandbox's open network on QEMU would have, and why not a better one. */
export interface BestWay {
  readonly way: UserNetworkWay;
  readonly whyNotNext?: Refusal | undefined;
  /** why it cannot be in a network namespace; undefined: it can */
  readonly doorReason?: Refusal | undefined;
}

/** Which way that would be on this host as it is now. */
export async function bestWay(
  host: IsolationHost,
  wants: Pick<UserNetworkWants, "gdbPort" | "transport">,
): Promise<BestWay> {
  const found = noOwnNetwork(wants) ?? (await findNamespace(host, hostResolvers()));
  return "network" in found
    ? { way: found.way, whyNotNext: found.whyNotNext }
    : { way: "door", whyNotNext: found.refusal, doorReason: found.refusal };
}

/** The packet filter that such a network would have at this moment, in nft's language. */
export function namespaceRules(): string {
  return renderNft(openRules(resolversInside(hostResolvers())), NAMESPACE_GUEST, ownNetworks());
}

type Found = { readonly refusal: Refusal } | FoundNamespace;

interface FoundNamespace {
  readonly network: OwnNetwork;
  readonly way: "namespace" | "namespace-slirp";
  readonly whyNotNext?: Refusal;
}

/** With a tap for the guest, where that can be; else as one in which QEMU dials. */
async function findNamespace(
  host: IsolationHost,
  resolvers: readonly string[],
  { savedWithSlirp = false, rateLimitMbps }: Pick<UserNetworkWants, "savedWithSlirp" | "rateLimitMbps"> = {},
): Promise<Found> {
  let whyNotNext: Refusal = {
    reason: "it goes on from a machine that had libslirp; once it boots it has none",
  };
  if (!savedWithSlirp) {
    const best = await findOwnNetwork(host, ownNetworkWants(resolvers, { tap: true, rateLimitMbps }));
    if ("network" in best) return { network: best.network, way: "namespace" };
    whyNotNext = best.refusal;
  }
  const next = await findOwnNetwork(host, ownNetworkWants(resolvers, { tap: false }));
  return "network" in next ? { network: next.network, way: "namespace-slirp", whyNotNext } : next;
}

/** All of the public internet, and name servers alone through the door's own. */
export const OPEN_BY_DOOR: NetworkPolicy = { allow: ["*"], deny: ["*:53", "*:853"] };

/**
 * The best way that this host, as it is now, has for the user-mode network of a machine that has one: a network namespace of its own with a
 * packet filter, else a filter within QEMU, for machines that were made where there was the first: a snapshot's, say. A new one has the door then.
 * @throws SmolVMError NETWORK_SETUP_MISSING: there is neither. Unfiltered is only what was asked for so
 */
export async function planUserNetwork(
  host: IsolationHost,
  wants: UserNetworkWants,
): Promise<UserNetworkPlan> {
  if (wants.unfiltered) return { way: "unfiltered", guest: USER_NETWORK };
  const resolvers = hostResolvers();
  const told = (addresses: readonly string[]): GuestNetwork => ({ ...USER_NETWORK, dns: addresses });
  const found = noOwnNetwork(wants) ?? (await findNamespace(host, resolvers, wants));
  requireLimit(wants.rateLimitMbps, found);
  if ("network" in found) {
    const { network: own, way, whyNotNext } = found;
    const guest = {
      ...told(resolversInside(resolvers)),
      ...(own.tap === undefined ? {} : { mtu: own.tap.mtu }),
    };
    return whyNotNext === undefined ? { way, own, guest } : { way, own, guest, whyNotNext };
  }
  const library = nativeProgram("public-only");
  if (library === undefined || !isLoadable(library) || wants.program === undefined || isStatic(wants.program))
    throw notFiltered(found.refusal);
  const asked = resolvers.length > 0 ? resolvers.slice(0, 1) : PUBLIC_RESOLVERS; // QEMU passes questions on to the first
  const within = openRules(asked);
  return {
    way: "process",
    preload: { library, env: { SMOLVM_NETWORK_RULES: renderPreload(within) } },
    guest: resolvers.length > 0 ? USER_NETWORK : told(PUBLIC_RESOLVERS),
    whyNotNext: found.refusal,
  };
}

/** What a network of its own is to be like on this host. */
function ownNetworkWants(
  resolvers: readonly string[],
  { tap, rateLimitMbps }: { readonly tap: boolean; readonly rateLimitMbps?: number | undefined },
): OwnNetworkWants {
  const inside = resolversInside(resolvers);
  const rules = openRules(inside);
  const forwardsDns = inside.includes(RESOLVER);
  if (!tap) return { rules: renderNft(rules), ownSet: OWN_SET, forwardsDns };
  const bytesPerSecond = rateLimitMbps === undefined ? undefined : rateLimitMbps * BYTES_PER_MBIT;
  return {
    rules: renderNft(rules, { ...NAMESPACE_GUEST, bytesPerSecond }),
    ownSet: OWN_SET,
    forwardsDns,
    // Large packets would come and be dropped in lumps.
    tap: bytesPerSecond === undefined ? NAMESPACE_TAP : { ...NAMESPACE_TAP, mtu: USUAL_MTU, bytesPerSecond },
  };
}

const NAMESPACE_GUEST: TapGuest = {
  tap: NAMESPACE_TAP.name,
  address: USER_NETWORK.address.split("/")[0]!,
};

const BYTES_PER_MBIT = 125_000;
const USUAL_MTU = 1500;

/** That a limit is kept. @throws SmolVMError NETWORK_SETUP_MISSING */
function requireLimit(rateLimitMbps: number | undefined, found: Found | { readonly refusal: Refusal }): void {
  if (rateLimitMbps === undefined || ("way" in found && found.way === "namespace")) return;
  const { reason, fix } = "way" in found ? found.whyNotNext! : found.refusal;
  throw new SmolVMError(
    "NETWORK_SETUP_MISSING",
    `networkRateLimitMbps cannot be kept by this sandbox's network here: ${reason}`,
    {
      hint: fix ?? "Leave qemuNetwork out, so that it has a network that can be limited, or the limit.",
      details: { networkRateLimitMbps: rateLimitMbps, reason },
    },
  );
}

/** Whether the dynamic linker can be told of it: spaces and colons separate what it is told (ld.so(8)). Pure. */
function isLoadable(library: string): boolean {
  return !/[\s:]/.test(library);
}

/** What is known of it afterwards. Pure. */
export function reachedNetwork({ way, own, whyNotNext }: UserNetworkPlan): ReachedNetwork {
  return {
    way,
    ...(whyNotNext === undefined ? {} : { whyNotNext: inWords(whyNotNext) }),
    ...(own?.tap === undefined ? {} : { tap: true }),
  };
}

/** Machines that must be in the host's network: whoever connects to them, or they to, is there. Pure. */
function noOwnNetwork({
  gdbPort,
  transport,
}: Pick<UserNetworkWants, "gdbPort" | "transport">): { readonly refusal: Refusal } | undefined {
  if (gdbPort !== undefined) return { refusal: { reason: "its gdb port is one of this machine's network" } };
  if (transport === "tcp")
    return {
      refusal: {
        reason:
          process.platform === "win32"
            ? "network namespaces are for Linux only"
            : "the machine's sockets are loopback TCP, in this machine's network",
      },
    };
  return undefined;
}

function notFiltered({ reason, fix }: Refusal): SmolVMError {
  return new SmolVMError(
    "NETWORK_SETUP_MISSING",
    `network "open" cannot be kept from this machine's own services and private networks here: ${reason}`,
    {
      hint:
        fix ?? 'Use network: "off"; or, for code that you trust, network: {mode: "open", unfiltered: true}.',
      details: { reason },
    },
  );
}

/** Whom a guest asks in a network of its own: whom the host asks, but its loopback is not there. Pure. */
function resolversInside(resolvers: readonly string[]): readonly string[] {
  if (resolvers[0] === undefined) return PUBLIC_RESOLVERS;
  return resolvers[0].startsWith("127.")
    ? [RESOLVER]
    : resolvers.filter((address) => !address.startsWith("127."));
}

/** The name servers that this host asks. */
function hostResolvers(): string[] {
  try {
    return nameServers(readFileSync("/etc/resolv.conf", "utf8"));
  } catch {
    return [];
  }
}
