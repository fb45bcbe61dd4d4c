import { describe, expect, test } from "vitest";
import { unpacked } from "../../helpers/debian-packages.ts";
import { fakeHost, part } from "../../helpers/fake-host.ts";
import { CHECK, INTERNET, TAPS, TWO_GUESTS } from "../../helpers/internet.ts";
import { scaled } from "../../helpers/speed.ts";

const LONG = process.env.SMOLVM_TEST_LONG === "1";

/** A machine with taps and an internet, on which root has unpacked a packet filter's packages; sudo is there. */
const machine = (packages: string): string => `
${TAPS.replace("useradd -m ann", "true").replace("tap_user:-ann", "tap_user:-root")} ${INTERNET} ${TWO_GUESTS} ${CHECK}
stand_in sudo <<<'exec "$@"'
tar -C /.old${packages} -c . | tar -C / -x --keep-directory-symlink
mend() {
  ask guest0 93.184.216.34
  check | grep -A1 ^Other; sed -n 's/^fix: //p' /run/checked >/run/fix
  bash -e /run/fix >&3
  check | grep ^Other
  ask guest0 93.184.216.34
}
exec 3>/dev/null
`;
const [without, passes] = ["guest0 93.184.216.34: nothing", "guest0 93.184.216.34: 93.184.216.1"];
const none = "Other packet filters: none drops what sandboxes with a tap send";
/** What a guest may not reach, whatever another filter lets through. */
const CLOSED = "for address in 10.213.1.2 10.213.0.1 93.184.216.1; do ask guest0 $address; done";
const closed = ["10.213.1.2", "10.213.0.1", "93.184.216.1"].map((address) => `guest0 ${address}: nothing\n`);

describe.runIf(LONG)("another packet filter, as it really is", () => {
  test("ufw: what is said to mend it does, and stays when it is loaded again", async () => {
    const packages = await unpacked("ufw-1", ["ufw"]);
    const { stdout, stderr } = await fakeHost(
      `${machine(packages)}
      # What the package's script does.
      cp /usr/share/ufw/ufw.conf /usr/share/ufw/{before,before6,after,after6}.rules /usr/share/ufw/iptables/user{,6}.rules /etc/ufw/
      ufw --force enable >&3
      echo "== mended"; mend
      echo "== again"; ufw reload >&3; check | grep ^Other; ask guest0 93.184.216.34; ${CLOSED}`,
      { timeoutMs: scaled(120_000) },
    );
    expect(stderr).toBe("");
    const said =
      "Other packet filters: drops what sandboxes with a tap send: ufw (ip filter FORWARD)\nfix: sudo ufw route allow in on smolvm+";
    expect(part(stdout, "mended")).toBe(`${without}\n${said}\n${none}\n${passes}\n`);
    expect(part(stdout, "again")).toBe(`${none}\n${passes}\n${closed.join("")}`);
  });

  test("firewalld: what is said to mend it does, and stays when it is loaded again", async () => {
    const packages = await unpacked("firewalld-1", [
      ...["firewalld", "python3-firewall", "python3-nftables", "python3-dbus", "python3-gi"],
      ...["gir1.2-glib-2.0", "libgirepository-1.0-1", "python3-cap-ng", "libcap-ng0", "ipset", "libipset13"],
    ]);
    const { stdout, stderr } = await fakeHost(
      `${machine(packages)}
      # What the package's script does, where there is polkit.
      cp /usr/share/polkit-1/actions/org.fedoraproject.FirewallD1.{server.policy.choice,policy}
      mkdir -p /run/dbus; dbus-daemon --system --fork
      /usr/sbin/firewalld --nofork --nopid >&3 2>&1 & firewalld=$!
      for turn in $(seq 300); do firewall-cmd --state >&3 2>&1 && break; sleep 0.2; done
      echo "== mended"; mend
      echo "== again"; firewall-cmd --reload >&3; check | grep ^Other; ask guest0 93.184.216.34; ${CLOSED}
      kill $firewalld`,
      { timeoutMs: scaled(180_000) },
    );
    expect(stderr).toBe("");
    const said =
      "Other packet filters: drops what sandboxes with a tap send: firewalld (inet firewalld filter_FORWARD)\nfix: sudo firewall-cmd --permanent --zone=trusted --add-interface=smolvm+ && sudo firewall-cmd --reload";
    expect(part(stdout, "mended")).toBe(`${without}\n${said}\n${none}\n${passes}\n`);
    expect(part(stdout, "again")).toBe(`${none}\n${passes}\n${closed.join("")}`);
  });

  test("Docker: what is said to mend it does, and stays when it makes networks and is started again", async () => {
    const packages = await unpacked("docker-1", ["docker.io", "containerd", "runc"], ["etc", "lib"]);
    const { stdout, stderr } = await fakeHost(
      `${machine(packages)}
      mount -t tmpfs docker /srv; mount -t cgroup2 cgroup /sys/fs/cgroup || true
      containerd --root /srv/c --state /run/c --address /run/c.sock >&3 2>&1 & containerd=$!
      start_docker() {
        dockerd --data-root /srv/d --exec-root /run/d --host unix:///run/docker.sock --containerd /run/c.sock --storage-driver vfs --pidfile /run/docker.pid >&3 2>&1 & docker=$!
        for turn in $(seq 300); do docker version >&3 2>&1 && break; sleep 0.2; done
      }
      stop_docker() { kill $docker; wait $docker || true; }
      echo 0 >/proc/sys/net/ipv4/ip_forward # it closes the way only where it opens it
      start_docker
      echo "== mended"; mend
      echo "== again"; docker network create other >&3; stop_docker; start_docker; check | grep ^Other; ask guest0 93.184.216.34; ${CLOSED}; ask guest0 172.17.0.1
      stop_docker; kill $containerd`,
      { timeoutMs: scaled(180_000) },
    );
    expect(stderr).toBe("");
    const said =
      "Other packet filters: drops what sandboxes with a tap send: Docker (ip filter FORWARD)\nfix: sudo iptables -I DOCKER-USER -i smolvm+ -j ACCEPT && sudo iptables -I DOCKER-USER -o smolvm+ -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT";
    expect(part(stdout, "mended")).toBe(`${without}\n${said}\n${none}\n${passes}\n`);
    expect(part(stdout, "again")).toBe(`${none}\n${passes}\n${closed.join("")}guest0 172.17.0.1: nothing\n`);
  });
});
