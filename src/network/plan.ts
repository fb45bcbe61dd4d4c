import type { GuestNetwork, NetworkMode } from "../config/spec.ts";

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

/** What the agent is to configure in the guest for a network mode; undefined: no network card. Pure. */
export function guestNetwork(mode: NetworkMode): GuestNetwork | undefined {
  return mode === "open" ? USER_NETWORK : undefined;
}

/** One honest sentence on what a mode reaches, for `info`, `doctor` and the docs. Pure. */
export function networkNote(mode: NetworkMode): string {
  return mode === "off"
    ? "no network card"
    : "user-mode network: reaches what this host reaches, its own services (as 10.0.2.2) and private networks included; nothing reaches in";
}
