import { execFileSync } from "node:child_process";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";

const NETWORK = join(import.meta.dirname, "../../scripts/setup/network");

/** Whether this machine is the lab, which may be changed: all that is done to it is gone with it. */
export const IN_LAB: boolean = process.env.SMOLVM_LAB !== undefined;

/** Gives the lab four taps of root's, as the set-up makes them (scripts/setup/network); nothing is at their other end. */
export function makeLabTaps(): void {
  mkdirSync("/etc/smolvm", { recursive: true });
  writeFileSync("/etc/smolvm/runtime.conf", "tap_user=root\ntaps=4\nsubnet=10.213\ndns=1.1.1.1\n");
  writeFileSync("/proc/sys/net/ipv4/ip_forward", "1");
  // What was there may be somebody's who died over it.
  for (const verb of ["down", "up"])
    execFileSync(NETWORK, [verb], { stdio: ["ignore", "ignore", "inherit"] });
}

/** Options of `create` for a sandbox with a tap. */
export function withTap(backend: string): string[] {
  return ["--network", "open", ...(backend === "qemu" ? ["--qemu-network", "tap"] : [])];
}
