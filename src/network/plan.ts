import type { GuestNetwork, NetworkCard, NetworkMode } from "../config/spec.ts";

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

/** One honest sentence on what a network reaches, for `info`, `doctor` and the docs. Pure. */
export function networkNote(mode: NetworkMode, card: NetworkCard | undefined): string {
  if (mode === "off") return "no network card";
  return card === "tap"
    ? "a tap with a packet filter: reaches public IPv4 addresses, not this host, private networks or other sandboxes; nothing reaches in"
    : "user-mode network: reaches what this host reaches, its own services (as 10.0.2.2) and private networks included; nothing reaches in";
}
