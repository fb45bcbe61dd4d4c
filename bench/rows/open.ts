import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { SmolVMError } from "../../src/errors.ts";
import type { Setting } from "../setting.ts";
import type { Measurement } from "../stats.ts";
import { type NetworkSamples, networkRows } from "./network-rows.ts";

/** Ways in which a network is open, and the rows that they have. */
const ROW_OF = { namespace: "16", tap: "16b", door: "16c" } as const;
export type MeasuredWay = keyof typeof ROW_OF;

const SETUP_SCRIPT = join(import.meta.dirname, "..", "..", "scripts", "setup", "network");

/** What makes that the way which a sandbox has, in this mount and network namespace alone. */
const MADE: Readonly<Record<MeasuredWay, string>> = {
  namespace: "",
  tap: `
mount -t tmpfs taps /mnt
mkdir /mnt/etc /mnt/work
mount -t overlay overlay -o lowerdir=/etc,upperdir=/mnt/etc,workdir=/mnt/work /etc
mount -t sysfs sysfs /sys
mount -t cgroup2 cgroup /sys/fs/cgroup || true
mkdir -p /etc/smolvm
printf '%s\\n' tap_user=root taps=2 subnet=10.213 dns=1.1.1.1 >/etc/smolvm/runtime.conf
echo 1 >/proc/sys/net/ipv4/ip_forward
sh ${SETUP_SCRIPT} up >&2
`,
  door: "for program in $(ls /usr/bin/pasta* 2>/dev/null); do mount --bind /etc/hostname $program; done",
};

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
`;

/**
 * Row 16: connections that leave an open network, to a server in another network namespace, against the raw channel, and against the guest's own loopback;
 * 16b: where that is by a tap of the pool; 16c: where it is by the door.
 */
export const open = (setting: Setting): Promise<Measurement[]> => measure("namespace", setting);
export const openByTap = (setting: Setting): Promise<Measurement[]> => measure("tap", setting);
export const openByDoor = (setting: Setting): Promise<Measurement[]> => measure("door", setting);

async function measure(way: MeasuredWay, setting: Setting): Promise<Measurement[]> {
  if (process.getuid?.() !== 0)
    throw new SmolVMError("NOT_SUPPORTED", "rows 16, 16b and 16c make network namespaces: only for root", {
      hint: "Leave it out: npm run bench -- --rows 1,2,3",
    });
  const child = join(import.meta.dirname, "..", "open-child.ts");
  const script = `${INTERNET}${MADE[way]}\nexec "$@"`;
  const argv = ["--net", "--mount", "bash", "-c", script, "bash"];
  const { status, stdout } = spawnSync(
    "unshare",
    [...argv, process.execPath, "--no-warnings", child, JSON.stringify({ ...setting, way })],
    { encoding: "utf8", stdio: ["ignore", "pipe", "inherit"], maxBuffer: 1 << 26 },
  );
  if (status !== 0) throw new Error(`measuring an open network ended with ${status}`);
  const samples = JSON.parse(stdout.trim().split("\n").at(-1)!) as NetworkSamples;
  return networkRows(ROW_OF[way], `open, ${way}`, setting.mib, samples);
}
