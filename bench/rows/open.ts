import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { SmolVMError } from "../../src/errors.ts";
import type { Setting } from "../setting.ts";
import type { Measurement } from "../stats.ts";
import { type NetworkSamples, networkRows } from "./network-rows.ts";

/** An internet of this process's own: no packet leaves the machine. The address is a public one, so that the packet filter is the usual one. */
const INTERNET = `
set -e
ip link set lo up
ip netns add bench-internet 2>/dev/null || { mount -t tmpfs run /run; ip netns add bench-internet; }
ip link add uplink type veth peer name cable netns bench-internet
ip address add 93.184.216.1/24 dev uplink
ip link set uplink up
ip route add default via 93.184.216.34
ip -n bench-internet link set lo up
ip -n bench-internet address add 93.184.216.34/24 dev cable
ip -n bench-internet link set cable up
[ -w /dev/net/tun ] || { rm -f /run/tun; mknod -m 666 /run/tun c 10 200; mount --bind /run/tun /dev/net/tun; }
exec "$@"
`;

/** Row 16: connections that leave an open network, to a server in another network namespace, against the raw channel, and against the guest's own loopback. */
export async function open(setting: Setting): Promise<Measurement[]> {
  if (process.getuid?.() !== 0)
    throw new SmolVMError("NOT_SUPPORTED", "row 16 makes network namespaces: only for root", {
      hint: "Leave it out: npm run bench -- --rows 1,2,3",
    });
  const child = join(import.meta.dirname, "..", "open-child.ts");
  const argv = ["--net", "--mount", "bash", "-c", INTERNET, "bash"];
  const { status, stdout } = spawnSync(
    "unshare",
    [...argv, process.execPath, "--no-warnings", child, JSON.stringify(setting)],
    { encoding: "utf8", stdio: ["ignore", "pipe", "inherit"], maxBuffer: 1 << 26 },
  );
  if (status !== 0) throw new Error(`measuring an open network ended with ${status}`);
  const samples = JSON.parse(stdout.trim().split("\n").at(-1)!) as NetworkSamples;
  return networkRows("16", "open", setting.mib, samples);
}
