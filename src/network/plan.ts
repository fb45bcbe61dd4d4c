import type { DoorNetwork, GuestNetwork, NetworkCard, NetworkMode, UserNetworkWay } from "../config/spec.ts";
import type { OwnTap } from "../host/monitor/own-network.ts";

/**
 * The addresses of QEMU's user-mode network (slirp): the guest, the gateway and the name server are fixed by its
 * defaults (https://www.qemu.org/docs/master/system/devices/net.html#using-the-user-mode-network-stack).
 * Every sandbox has its own such network, so the addresses never collide.
 */
export const USER_NETWORK: GuestNetwork = {
  interface: "eth0",
  address: "10.0.2.15/24",
  gateway: "10.0.2.2",
  dns: ["10.0.2.3"],
  mtu: 1500,
};

/** The same network where the guest has a tap in a network namespace (monitor/src/guest_tap.rs) instead. */
export const NAMESPACE_TAP: OwnTap = {
  name: "guest",
  address: `${USER_NETWORK.gateway}/24`,
  // Pasta's own: it ends connections, so that nobody further on sees such large packets, and a guest needs a fortieth of them.
  mtu: 65_520,
};

/**
 * The network of a guest on a tap. Tap K is SUBNET.K.1 on the host and its guest SUBNET.K.2, and no other address passes:
 * scripts/setup/network makes taps and packet filter by the same rule. Pure.
 */
export function tapNetwork(
  tap: { readonly number: number },
  pool: { readonly subnet: string; readonly dns: readonly string[] },
): GuestNetwork {
  const address = (host: number): string => `${pool.subnet}.${tap.number}.${host}`;
  return { interface: "eth0", address: `${address(2)}/30`, gateway: address(1), dns: pool.dns };
}

/** The network of a guest whose only way out is the door. The resolver is its own agent's (guest/src/machine/interception.rs). */
export const DOOR_NETWORK: DoorNetwork = { door: true, dns: ["198.18.0.1"] };

/**
 * One honest sentence on what a network reaches, for `info`, `doctor` and the docs. Pure.
 * @param tapsReachPrivate what the set-up's configuration says of taps
 * @param way of an open network without a tap: how it is filtered; undefined: it was not started yet
 */
export function networkNote(
  mode: NetworkMode,
  card: NetworkCard | undefined,
  way: UserNetworkWay | undefined,
  tapsReachPrivate = false,
): string {
  if (mode === "off") return "no network card";
  if (way === "door") return USER_NETWORK_NOTES.door;
  if (mode === "restricted")
    return `no network card: connections over TCP leave through smolvm on this host, ${BY_RULES}`;
  if (card === "tap") return `a tap with a packet filter: ${tapsReachPrivate ? PRIVATE_TOO : PUBLIC_ONLY}`;
  return USER_NETWORK_NOTES[way ?? "undecided"];
}

const PUBLIC_ONLY =
  "reaches public IPv4 addresses, not this host, private networks or other sandboxes; nothing reaches in";

const PRIVATE_TOO =
  "reaches public IPv4 addresses and private networks, not this host or other sandboxes; nothing reaches in";

const BY_RULES = "which lets through what its rules name, and nothing else; nothing reaches in";

const USER_NETWORK_NOTES: Readonly<Record<UserNetworkWay | "undecided", string>> = {
  namespace: `a tap in a network namespace of its own with a packet filter: ${PUBLIC_ONLY}`,
  "namespace-slirp": `user-mode network in a network namespace of its own with a packet filter: ${PUBLIC_ONLY}`,
  door: "no network card: TCP connections and names, and neither UDP nor ICMP, leave through smolvm on this host, which lets through those to the public internet; nothing reaches in",
  process: `user-mode network, filtered within QEMU and no further: ${PUBLIC_ONLY}`,
  unfiltered:
    "user-mode network, unfiltered: reaches what this host reaches, its own services (as 10.0.2.2) and private networks included; nothing reaches in",
  undecided: `a network that is filtered when it starts: ${PUBLIC_ONLY}`,
};
