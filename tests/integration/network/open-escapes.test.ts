import { describe, expect, test } from "vitest";
import { imageLayout } from "../../../src/images/store/layout.ts";
import { pastaArgs } from "../../../src/isolation/own-network.ts";
import { openRules } from "../../../src/network/open-rules.ts";
import { renderNft } from "../../../src/network/render-nft.ts";
import { parseCidr } from "../../../src/util/ip-address.ts";
import { ARCH, BACKENDS } from "../../helpers/backends.ts";
import { noteRun } from "../../helpers/escape-runs.ts";
import { fakeHost, part } from "../../helpers/fake-host.ts";
import { INTERNET, TAPS } from "../../helpers/internet.ts";
import { scaled } from "../../helpers/speed.ts";
import { CELLS, guestFiles, mark, triesOf, WAYS, type Way } from "./open-escapes.ts";

/** In the fake host. */
const IMAGES = imageLayout({ cacheDir: "/root/.cache/smolvm" });
const LONG = process.env.SMOLVM_TEST_LONG === "1";
const LAB = process.env.SMOLVM_LAB !== undefined;

/**
 * A place of the world: "here" (the sandbox's machine), "internet" or "lan". Servers on all ports that are tried, over TCP at all its addresses and over UDP
 * at those that are given, say who they are; whoever comes is noted in /run/seen, and in the places that are not here every packet.
 */
const WORLD = `
import re, socket, sys, threading
PLACE, *ADDRESSES = sys.argv[1:]
seen = open("/run/seen", "a", buffering=1)
noted = set()
def note(*words):
    if words not in noted:
        noted.add(words)
        seen.write(" ".join(words) + "\\n")
def start(act, *args): threading.Thread(target=act, args=args, daemon=True).start()
asked = {}
def answer(query):
    end = query.index(b"\\0", 12) + 5
    name = ".".join(part for part in re.split("[\\x01-\\x1f]", query[13:end - 5].decode())).lower()
    asked[name] = asked.get(name, 0) + 1
    address = {"loop.test": "127.0.0.1", "host.test": "93.184.216.1", "metadata.test": "169.254.169.254", "patient.test": "93.184.216.35"}.get(name, "93.184.216.34")
    if name == "rebound.test" and asked[name] > 2: address = "93.184.216.1" # a question for IPv4 and one for IPv6 the first time
    records = int(query[end - 4:end - 2] == b"\\0\\1")
    record = b"\\xc0\\x0c\\x00\\x01\\x00\\x01\\x00\\x00\\x00\\x00\\x00\\x04" + socket.inet_aton(address)
    return query[:2] + b"\\x81\\x80\\x00\\x01\\x00" + bytes([records]) + b"\\x00\\x00\\x00\\x00" + query[12:end] + record * records
def plain(ip): return ip.removeprefix("::ffff:")
def accept(listener, port):
    while True:
        client, address = listener.accept()
        note("tcp", PLACE, plain(address[0]), plain(client.getsockname()[0]))
        try:
            if port == 53:
                query = client.recv(600)[2:]
                client.sendall(len(answer(query)).to_bytes(2, "big") + answer(query))
            else:
                if plain(client.getsockname()[0]) == "93.184.216.35": client.recv(2000) # it lets the client speak first
                client.sendall(PLACE.encode())
        except OSError: pass
        client.close()
def hear(server, port):
    own = server.getsockname()[0]
    while True:
        data, sender = server.recvfrom(9000)
        note("udp", PLACE, sender[0], own)
        server.sendto(answer(data) if port == 53 else PLACE.encode(), sender)
        if data == b"other":
            for other in servers:
                if other.getsockname() == ("1.1.1.1", 7777): other.sendto(b"here", sender)
def watch():
    card = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
    while True:
        data, (_, kind, way, *_) = card.recvfrom(70000)
        marks = re.findall(b"#m[0-9]{3}#", data)
        if way == 4 or kind not in (0x800, 0x86dd): continue
        ip = (lambda at: socket.inet_ntoa(data[at:at + 4])) if kind == 0x800 else (lambda at: socket.inet_ntop(socket.AF_INET6, data[at:at + 16]))
        source, target = (ip(26), ip(30)) if kind == 0x800 else (ip(22), ip(38))
        if not target.startswith("ff0") and not source.startswith("fe80"):
            note("packet", PLACE, source, target, marks[0].decode() if marks else "-")
servers = []
for port in (53, 80, 443, 853, 7777):
    start(accept, socket.create_server(("", port), family=socket.AF_INET6, dualstack_ipv6=True, backlog=500), port)
for port in (53, 443, 7777):
    for address in ADDRESSES:
        server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        server.bind((address, port))
        servers.append(server)
for server in servers: start(hear, server, server.getsockname()[1])
if PLACE != "here": start(watch)
print("ready", flush=True)
threading.Event().wait()
`;

/** A machine with an internet, a LAN and a bridge like Docker's, all of whose servers stand at addresses that a guest may try. */
const WORLD_AROUND = (way: Kind["way"], ownAddresses: string): string => {
  const { program, attempts } = guestFiles(way);
  return `
cat >/run/world.py <<'PYTHON'${WORLD}PYTHON
cat >/run/guest.py <<'PYTHON'${program}PYTHON
cat >/run/attempts.json <<'JSON'
${attempts}
JSON
addresses() { sed -i "s/{own}/$1/g; s/{gateway}/$2/g; s/{other}/$3/g" /run/guest.py /run/attempts.json; }
${INTERNET.replace(/^start .*serve\.py$/gm, "")}
ip netns add lan
ip -batch - <<'IP'
link add docker0 type bridge
link set docker0 up
address add 172.17.0.1/16 dev docker0
address add fd00:17::1/64 nodad dev docker0
address add 11.22.33.44/32 dev lo
link add unplugged type bridge
address add 11.22.33.55/32 dev unplugged
link add lan type veth peer name cable netns lan
address add 192.168.77.1/24 dev lan
link set lan up
address add 2606:2800::1/64 nodad dev uplink
route add default via 2606:2800::34
IP
ip -n lan -batch - <<'IP'
link set lo up
link set cable up
address add 192.168.77.2/24 dev cable
route add default via 192.168.77.1
IP
for address in 8.8.8.8/32 93.184.216.35/32 169.254.7.7/32 168.63.129.16/32 172.20.0.1/32 100.64.0.1/32 198.18.0.1/32 "2606:2800::34/64 nodad" "fd00:ec2::254/128 nodad"; do ip -n internet address add $address dev cable; done
ip netns exec internet nft 'table ip deaf { chain in { type filter hook input priority filter; tcp dport 10000-13000 drop; }; }'
rm -f /etc/resolv.conf; echo nameserver 1.1.1.1 >/etc/resolv.conf
echo 0 2147483647 >/proc/sys/net/ipv4/ping_group_range # as systemd has it everywhere
start ip netns exec internet python3 /run/world.py internet 93.184.216.34 1.1.1.1 8.8.8.8 10.99.0.1 172.20.0.1 100.64.0.1 169.254.169.254 168.63.129.16 169.254.7.7 198.18.0.1
start ip netns exec lan python3 /run/world.py lan 192.168.77.2
start python3 /run/world.py here 127.0.0.1 93.184.216.1 11.22.33.44 11.22.33.55 172.17.0.1 192.168.77.1 ${ownAddresses}
`;
};

/** A real guest. */
interface Kind {
  readonly way: Way | "off";
  readonly user: string;
  readonly backend: string;
}

/** What makes of a machine one on which an open network is filtered like that. */
const FORCED: Readonly<Record<Kind["way"], string>> = {
  off: "",
  tap: "",
  namespace: "",
  // Where these settings cannot be changed no tap can be made in a namespace.
  "namespace-slirp": "mount --bind /proc/sys /proc/sys; mount -o remount,bind,ro /proc/sys",
  door: "rm /usr/bin/pasta*",
  process: "rm /usr/bin/pasta*",
};

/** What a sandbox is made with to have it. */
const ASKED: Partial<Readonly<Record<Kind["way"], string>>> = {
  off: "--network off",
  tap: "--qemu-network tap",
  process: "--qemu-network slirp",
};

/** The machine of a real guest. */
const machine = ({ way, user, backend }: Kind): string => {
  const tap = way === "tap";
  return `
${LAB ? "device /dev/kvm 10 232 660 root:47111" : ""}
${tap ? `tap_user=root${TAPS}` : "host useradd -m ann"}
${WORLD_AROUND(way, tap ? "10.213.0.1 10.213.1.1" : "")}
export SMOLVM_TEMPLATE=off
${FORCED[way]}
if [ ${user} = root ]; then
  smolvm() { XDG_DATA_HOME=/tmp/data $smolvm "$@" </dev/null; }
else
  mkdir -p /home/ann/.cache/smolvm
  digest=$(python3 -c 'import json, sys; print(json.load(open(sys.argv[1]))["digest"])' ${IMAGES.ref("debian", ARCH)})
  (cd /root && cp -r --parents .cache/smolvm/kernels ${IMAGES.ref("debian", ARCH).slice("/root/".length)} ${IMAGES.image("DIGEST").slice("/root/".length).replace("DIGEST", "$digest")} /home/ann/)
  chown -R ann /home/ann
  smolvm() { as ann $smolvm "$@" </dev/null; }
fi
create() { smolvm create --quiet --start --memory 256M --backend ${backend} ${backend === "qemu" || way === "off" ? (ASKED[way] ?? "") : ""} --name "$@" >/dev/null; }
tap() { smolvm info --json "$1" | python3 -c 'import json, sys; print(json.load(sys.stdin)["data"]["network"]["tap"][6:])'; }
`;
};

/** The rules that a namespace has on that machine. */
const RULES = renderNft(
  openRules(["1.1.1.1"]),
  { tap: "guest", address: "10.0.2.15" },
  ["93.184.216.1", "11.22.33.44", "11.22.33.55", "172.17.0.1", "192.168.77.1", "127.0.0.1"].map(
    (text) => parseCidr(text)!,
  ),
);

/** The same machine, where a network namespace at the other end of a cable stands for each guest; \`guest\` runs a command in it. */
const STAND_IN: Readonly<Record<"namespace" | "tap", string>> = {
  namespace: `
${WORLD_AROUND("namespace", "")}
addresses 10.0.2.15 10.0.2.2 10.213.1.2
cat >/run/holder.sh <<'SH'
nft '${RULES}'
ip link set lo up
mount -t tmpfs t /run/netns
ip netns add g
ip link add guest mtu 65520 type veth peer name eth0 mtu 65520 netns g
ip address add 10.0.2.2/24 dev guest
for file in ipv4/conf/guest/arp_ignore ipv6/conf/guest/disable_ipv6 ipv4/ip_forward; do echo 1 >/proc/sys/net/$file; done
echo 6160 >/proc/sys/net/ipv4/icmp_ratemask
ip link set guest up
ip -n g link set lo up; ip -n g address add 10.0.2.15/24 dev eth0; ip -n g link set eth0 up; ip -n g route add default via 10.0.2.2
echo ready; exec sleep 1000
SH
start unshare --user --map-root-user --net --mount bash /run/holder.sh; holder=$COPROC_PID
${pastaArgs("pasta", true, false).join(" ")} $holder &
for turn in $(seq 100); do nsenter -t $holder -U -n ip route | grep -q default && break; sleep 0.1; done
guest() { nsenter -t $holder -U -n -m ip netns exec g "$@"; }
`,
  tap: `
${WORLD_AROUND("tap", "")}
addresses 10.213.0.2 10.213.0.1 10.213.1.2
mkdir -p /etc/smolvm; printf '%s\\n' tap_user=root taps=2 subnet=10.213 dns=1.1.1.1,9.9.9.9 >/etc/smolvm/runtime.conf
echo 1 >/proc/sys/net/ipv4/ip_forward
sh /checkout/scripts/setup/network rules | nft -f -
for n in 0 1; do
  ip netns add g$n; ip link add smolvm$n type veth peer name eth0 netns g$n
  ip address add 10.213.$n.1/30 dev smolvm$n
  echo 1 >/proc/sys/net/ipv4/conf/smolvm$n/arp_ignore; ip link set smolvm$n addrgenmode none; ip link set smolvm$n up
  ip -n g$n link set lo up; ip -n g$n link set eth0 address 52:54:00:73:6d:6$n; ip -n g$n address add 10.213.$n.2/30 dev eth0
  ip -n g$n link set eth0 up; ip -n g$n route add default via 10.213.$n.1
done
start ip netns exec g1 python3 /run/world.py other 10.213.1.2
guest() { ip netns exec g0 "$@"; }
`,
};

/** What this machine has taken over of what a guest says to all on the link, which is nothing. */
const TAKEN_OVER = "{ ip -6 route; ip -6 address; } | grep fd00:bad >>/run/seen || true";

const ALL = LONG || LAB;
const KINDS: readonly (Kind & { readonly way: Way })[] = [
  ...WAYS.filter((way) => way !== "tap" && BACKENDS.includes("qemu") && (ALL || way === "namespace")).map(
    (way) => ({ way, user: "root", backend: "qemu" }) as const,
  ),
  // Her image is a copy: in the lab that is memory.
  ...(LONG && !LAB ? [{ way: "namespace", user: "ann", backend: "qemu" } as const] : []),
  ...(ALL ? BACKENDS.map((backend) => ({ way: "tap", user: "root", backend }) as const) : []),
];

/** What is seen of a cell, where what was only sent has come to counts as well. */
function seenOf(outcome: string | undefined, index: number, seen: readonly string[]): string | undefined {
  if (outcome !== "sent") return outcome;
  const came = seen.filter((line) => line.endsWith(` ${mark(index)}`));
  if (came.length === 0) return "lost";
  const proper = came.every((line) => line.startsWith("packet internet 93.184.216.1 93.184.216.34 "));
  return proper ? "arrived" : came.join("; ");
}

/** Holds what was seen to the table. */
function judge(way: Way, stdout: string): void {
  const outcomes = JSON.parse(part(stdout, "outcomes")) as Record<string, string>;
  const seen = part(stdout, "seen").trimEnd().split("\n");
  const tried = CELLS.flatMap(({ name, outcome, leftOut = [] }, index) =>
    leftOut.includes(way) ? [] : [[name, index, outcome] as const],
  );
  expect(
    Object.fromEntries(tried.map(([name, index]) => [name, seenOf(outcomes[name], index, seen)])),
  ).toEqual(Object.fromEntries(tried.map(([name, , outcome]) => [name, outcome[way]])));
  // Nobody has come here, to the LAN or to another guest; every packet that has left was this machine's, to an address that it may go to.
  const proper = [/^\w+ internet 93\.184\.216\.1 (93\.184\.216\.3[45]|1\.1\.1\.1|8\.8\.8\.8)( |$)/];
  if (way === "door") proper.push(/^\w+ internet 2606:2800::1 (2606:2800::34|fe80::)/);
  expect(seen.filter((line) => !proper.some((pattern) => pattern.test(line)))).toEqual([]);
}

// The lab's sample is about real guests.
test.each(LAB && !LONG ? [] : (["namespace", "tap"] as const))(
  "the rules by themselves, with a network namespace for a guest: %s",
  async (way) => {
    const { stdout, stderr } = await fakeHost(
      `${STAND_IN[way]}
      echo "== outcomes"; guest python3 /run/guest.py /run/attempts.json
      sleep 0.5; ${TAKEN_OVER}
      echo "== seen"; sort -u /run/seen`,
      { timeoutMs: scaled(60_000) },
    );
    expect(stderr.replace(/^Failed to send \d+ bytes to syslog\n/gm, "")).toBe("");
    judge(way, stdout);
  },
);

/** Has a guest of that kind try everything. @returns what it saw, and what was seen of it */
async function tryAll(kind: Kind): Promise<string> {
  const tap = kind.way === "tap";
  const { stdout, stderr } = await fakeHost(
    `${machine(kind)}
    ${tap ? "create two --publish 0.0.0.0:8081:7777; create one; number=$(tap one)" : "create one --publish 0.0.0.0:8081:7777"}
    addresses ${tap ? "10.213.$number.2 10.213.$number.1 10.213.$((1 - number)).2" : "10.0.2.15 10.0.2.2 10.213.1.2"}
    smolvm cp /run/guest.py one:/root/guest.py >/dev/null; smolvm cp /run/attempts.json one:/root/attempts.json >/dev/null
    echo "== machine"; smolvm info --json one | python3 -c 'import json, sys; data = json.load(sys.stdin)["data"]; print(data["network"].get("way"), data["accelerator"])'
    echo "== outcomes"; smolvm exec one -- python3 /root/guest.py /root/attempts.json
    sleep 0.5; ${TAKEN_OVER}
    echo "== seen"; sort -u /run/seen
    smolvm rm --all --force >/dev/null`,
    { timeoutMs: scaled(150_000) },
  );
  expect(stderr).toBe("");
  const way = tap || kind.way === "off" ? "None" : kind.way;
  expect(part(stdout, "machine")).toMatch(new RegExp(`^${way} ${LAB ? "kvm" : "\\w+"}\n$`));
  return stdout;
}

/** Notes that a guest was held to all of it: docs/network.md is made from that. */
function note({ way, backend }: Kind, stdout: string): void {
  const accelerator = part(stdout, "machine").trim().split(" ")[1]!;
  noteRun({ network: way, backend, accelerator }, triesOf(way));
}

describe.each(KINDS)("root of a guest with an open network ($way, $user's, $backend)", (kind) => {
  test("reaches the public internet as this machine, and nothing else, whatever it sends", async () => {
    const stdout = await tryAll(kind);
    judge(kind.way, stdout);
    note(kind, stdout);
  });
});

test.each(BACKENDS)("root of a guest without a network reaches nothing (%s)", async (backend) => {
  const kind = { way: "off", user: "root", backend } as const;
  const stdout = await tryAll(kind);
  const outcomes = Object.entries(JSON.parse(part(stdout, "outcomes")) as Record<string, string>);
  expect(outcomes.filter(([, outcome]) => !/^(no (route|card|name)|refused)$/.test(outcome))).toEqual([]);
  expect(part(stdout, "seen")).toBe("");
  note(kind, stdout);
});
