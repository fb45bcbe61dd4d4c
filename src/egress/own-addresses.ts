import { networkInterfaces } from "node:os";
import { type IpAddress, parseIp } from "../util/ip-address.ts";

/** The addresses that this host has now. */
export function ownAddresses(): readonly IpAddress[] {
  return Object.values(networkInterfaces())
    .flatMap((addresses) => addresses ?? [])
    .map(({ address }) => parseIp(address.replace(/%.*$/, "")))
    .filter((address) => address !== undefined);
}
