import { expect, test } from "vitest";
import { fakeHost, part } from "../../helpers/fake-host.ts";
import { CHECK, INTERNET, TAPS, TWO_GUESTS } from "../../helpers/internet.ts";

/** Two guests without a machine: what VMMs do with their taps, and network namespaces. */
const GUESTS = `
${TWO_GUESTS}cat >/run/arp.py <<'PYTHON'
import socket, struct, sys
card = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x0806))
card.bind(("eth0", 0))
card.settimeout(1.5)
own, source, target = card.getsockname()[4], *map(socket.inet_aton, sys.argv[1:])
card.send(b"\\xff" * 6 + own + struct.pack("!HHHBBH", 0x0806, 1, 0x0800, 6, 4, 1) + own + source + bytes(6) + target)
try:
    while not (reply := card.recv(60))[20:22] == b"\\0\\2": pass
    print(socket.inet_ntoa(reply[28:32]), "is here")
except TimeoutError:
    print("nothing")
PYTHON
cat >/run/mtu.py <<'PYTHON'
import socket, sys
sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
sender.setsockopt(socket.IPPROTO_IP, 10, 2)  # IP_MTU_DISCOVER, IP_PMTUDISC_DO
sender.setsockopt(socket.IPPROTO_IP, 11, 1)  # IP_RECVERR
sender.settimeout(1.5)
sender.connect((sys.argv[1], 9))
sender.send(bytes(1450))
try:
    sender.recv(1)  # the error that came back
except OSError:
    print(sender.getsockopt(socket.IPPROTO_IP, 14))  # IP_MTU
PYTHON
who_has() { echo "guest0 who has $1: $(ip netns exec guest0 python3 /run/arp.py 10.213.0.2 "$1")"; }
`;

test("a guest on a tap reaches the public internet as this machine, and nothing else, and nothing reaches it", async () => {
  const { stdout, stderr } = await fakeHost(`${TAPS} ${INTERNET} ${GUESTS}
    ip -n guest0 addr add 10.213.0.9/32 dev eth0; ip route add 10.213.0.9/32 dev smolvm0 # a source that is not its own
    questions() {
      ask guest0 93.184.216.34
      ask guest0 10.99.0.1
      ask guest0 169.254.169.254
      ask guest0 10.213.0.1
      ask guest0 93.184.216.1
      ask guest0 10.213.1.2
      ask guest0 93.184.216.34 10.213.0.9
      ask internet 10.213.1.2
      ask here 10.213.1.2
      who_has 93.184.216.1
    }
    echo "== filtered"; questions
    who_has 10.213.0.1
    ip link set uplink mtu 1400
    echo "guest0 packets: $(ip netns exec guest0 python3 /run/mtu.py 93.184.216.34)"
    ip link set uplink mtu 1500
    ip address add 93.184.216.77/32 dev uplink
    ask guest0 93.184.216.77
    nft delete table inet smolvm; nft delete table arp smolvm
    echo 0 >/proc/sys/net/ipv4/conf/smolvm0/arp_ignore
    echo "== open"; questions; ask guest0 93.184.216.77`);
  expect(stderr).toBe("");
  expect(part(stdout, "filtered").trimEnd().split("\n")).toEqual([
    "guest0 93.184.216.34: 93.184.216.1",
    "guest0 10.99.0.1: nothing",
    "guest0 169.254.169.254: nothing",
    "guest0 10.213.0.1: nothing",
    "guest0 93.184.216.1: nothing",
    "guest0 10.213.1.2: nothing",
    "guest0 93.184.216.34 10.213.0.9: nothing",
    "internet 10.213.1.2: nothing",
    "here 10.213.1.2: nothing",
    "guest0 who has 93.184.216.1: nothing",
    "guest0 who has 10.213.0.1: 10.213.0.1 is here",
    "guest0 packets: 1400", // what this machine says of a guest's own packets comes through
    "guest0 93.184.216.77: nothing", // an address that this machine has got since
  ]);
  // It is the filter: without it, all of that is reached.
  expect(part(stdout, "open")).not.toContain("nothing");
});

/** What the commands say of a machine's networks, one line a check, and each followed by its fix. */
test("a guest cannot be somebody else by ARP or its card's address, and has a bounded number of connections", async () => {
  const { stdout, stderr } =
    await fakeHost(`${TAPS.replace("dns=1.1.1.1,9.9.9.9", "dns=1.1.1.1,9.9.9.9 connections=20")} ${INTERNET} ${GUESTS}
    cat >/run/claim.py <<'PYTHON'
import socket, struct, sys
card = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x0806))
card.bind(("eth0", 0))
mac, address, target = bytes.fromhex(sys.argv[1]), *map(socket.inet_aton, sys.argv[2:])
for operation in 1, 2:
    card.send(b"\\xff" * 6 + mac + struct.pack("!HHHBBH", 0x0806, 1, 0x0800, 6, 4, operation) + mac + address + mac + target)
PYTHON
    cat >/run/many.py <<'PYTHON'
import socket
sender = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(60)]
for one in sender: one.sendto(b"x", ("93.184.216.34", 7777))
PYTHON
    cat >/run/count.py <<'PYTHON'
import socket
server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
server.bind(("93.184.216.34", 7777))
print("ready", flush=True)
server.settimeout(2)
seen = set()
try:
    while True: seen.add(server.recvfrom(9)[1])
except TimeoutError: print(len(seen))
PYTHON
    echo 1 >/proc/sys/net/ipv4/conf/smolvm0/arp_accept # a host that believes what it is told
    claim() { ip neigh flush dev smolvm0; ip netns exec guest0 python3 /run/claim.py "$@"; sleep 0.2; ip neigh show dev smolvm0 | sort; }
    questions() {
      echo "another's address:"; claim 020000000001 10.213.0.1 10.213.0.2; claim 020000000001 93.184.216.34 10.213.0.1
      echo "a maker's card:"; claim 00aabbccddee 10.213.0.2 10.213.0.1
      ip netns exec internet python3 /run/count.py >/run/counted & sleep 1
      ip netns exec guest0 python3 /run/many.py; wait $!; echo "connections: $(grep -v ready /run/counted)"
    }
    echo "== filtered"; ask guest0 93.184.216.34; questions
    nft delete table arp smolvm; nft flush chain inet smolvm through
    echo "== open"; questions`);
  expect(stderr).toBe("");
  const filtered = part(stdout, "filtered");
  expect(filtered).toContain(
    "guest0 93.184.216.34: 93.184.216.1\nanother's address:\na maker's card:\nconnections: ",
  );
  expect(Number(/connections: (\d+)/.exec(filtered)?.[1])).toBeLessThanOrEqual(20);
  const open = part(stdout, "open");
  expect(open).toContain("93.184.216.34 lladdr 02:00:00:00:00:01");
  expect(open).toContain("10.213.0.2 lladdr 00:aa:bb:cc:dd:ee");
  expect(open).toContain("connections: 60");
});

test("a guest on a tap asks the name servers of the configuration, and no others", async () => {
  const { stdout, stderr } = await fakeHost(`${TAPS} ${INTERNET} ${GUESTS}
    sed 's/"", 80/"", 53/' /run/serve.py >/run/dns.py; sed 's/80), 1.5/53), 1.5/' /run/ask.py >/run/ask-dns.py
    start ip netns exec internet python3 /run/dns.py
    for address in 1.1.1.1 93.184.216.34; do echo "$address: $(ip netns exec guest0 python3 /run/ask-dns.py $address)"; done`);
  expect(stderr).toBe("");
  expect(stdout).toBe("1.1.1.1: 93.184.216.1\n93.184.216.34: nothing\n");
});

test("private networks are opened by the configuration, and neither this machine, nor another guest, nor where a cloud keeps keys", async () => {
  const { stdout, stderr } =
    await fakeHost(`${TAPS.replace("dns=1.1.1.1,9.9.9.9", "dns=1.1.1.1,9.9.9.9 private=open")} ${INTERNET} ${GUESTS}
    ip addr add 192.168.77.1/24 dev lo
    for address in 100.64.0.1 100.100.100.200 168.63.129.16; do ip -n internet addr add $address/32 dev cable; done
    for address in 93.184.216.34 10.99.0.1 100.64.0.1 169.254.169.254 100.100.100.200 168.63.129.16 10.213.0.1 192.168.77.1 93.184.216.1 10.213.1.2; do ask guest0 $address; done`);
  expect(stderr).toBe("");
  expect(stdout.trimEnd().split("\n")).toEqual([
    "guest0 93.184.216.34: 93.184.216.1",
    "guest0 10.99.0.1: 93.184.216.1",
    "guest0 100.64.0.1: 93.184.216.1",
    "guest0 169.254.169.254: nothing",
    "guest0 100.100.100.200: nothing",
    "guest0 168.63.129.16: nothing",
    "guest0 10.213.0.1: nothing",
    "guest0 192.168.77.1: nothing",
    "guest0 93.184.216.1: nothing",
    "guest0 10.213.1.2: nothing",
  ]);
});

test("what has become of taps and their packet filter is said, with what mends it", async () => {
  const { stdout, stderr } = await fakeHost(
    `${TAPS.replace("useradd -m ann", "true")} ${CHECK}
    echo "== ready"; check
    echo 0 >/proc/sys/net/ipv4/ip_forward
    echo "== forwarding"; check | grep -A1 Forwarding; echo 1 >/proc/sys/net/ipv4/ip_forward
    nft add rule inet smolvm host tcp dport 22 accept; nft flush chain inet smolvm to_guest
    echo "== changed"; check | grep -A1 Packet
    /usr/local/lib/smolvm/network up; nft delete table arp smolvm
    echo "== without ARP"; check | grep -A1 Packet
    nft flush ruleset
    echo "== flushed"; check | grep -A1 Packet
    /usr/local/lib/smolvm/network up
    nft 'table ip filter { chain FORWARD { type filter hook forward priority filter; policy drop; }; chain DOCKER-USER { }; }'
    echo "== docker"; check | grep -A1 Other
    nft 'add rule ip filter FORWARD iifname "smolvm*" accept'
    echo "== told of taps"; check | grep -A1 Other
    nft delete table ip filter
    nft 'table ip filter { chain ufw-user-forward { }; chain DOCKER-USER { }; chain FORWARD { type filter hook forward priority filter; policy drop; jump ufw-user-forward; }; }'
    echo "== ufw"; check | grep -A1 Other; nft delete table ip filter
    nft 'table inet firewalld { chain filter_FORWARD { type filter hook forward priority filter + 10; policy accept; reject; }; }'
    echo "== firewalld"; check | grep -A1 Other; nft delete table inet firewalld
    ip link add br-1 type bridge; ip link set br-1 up; ip addr add 10.213.9.1/24 dev br-1
    echo "== taken"; check | grep -A1 addresses; ip link delete br-1
    sed -i '/@metadata drop/d' /usr/local/lib/smolvm/network; /usr/local/lib/smolvm/network up
    echo "== another version's"; check | grep -A1 Packet; cp /checkout/scripts/setup/network /usr/local/lib/smolvm/network
    echo "== status"; $smolvm network status </dev/null
    echo "== render"; $smolvm network render taps </dev/null | head -1
    echo private=wrong >>/etc/smolvm/runtime.conf
    echo "== wrong"; check | grep -A1 Packet; $smolvm network render taps </dev/null 2>&1 || echo "exit $?"
    rm -r /usr/local/lib/smolvm
    echo "== render nothing"; $smolvm network render taps </dev/null 2>&1 || echo "exit $?"`.replace(
      /tap_user:-ann/,
      "tap_user:-root",
    ),
  );
  expect(stderr).toBe("");
  expect(part(stdout, "ready")).toBe(
    "Forwarding: on\nTap addresses: 10.213.0.0/16\nPacket filter: as it is meant\nOther packet filters: none drops what sandboxes with a tap send\n",
  );
  expect(part(stdout, "forwarding")).toBe(
    "Forwarding: off: what sandboxes with a tap send goes nowhere\nfix: sudo sysctl -w net.ipv4.ip_forward=1\n",
  );
  expect(part(stdout, "changed")).toContain("not as it is meant: without 'inet chain to_guest: oifname");
  expect(part(stdout, "changed")).toContain("with 'inet chain host: tcp dport 22 accept'");
  expect(part(stdout, "changed")).toContain("fix: sudo /usr/local/lib/smolvm/network up\n");
  expect(part(stdout, "without ARP")).toContain("without 'arp set guests: ");
  expect(part(stdout, "flushed")).toMatch(/missing \(flushed\?\).*\nfix: sudo .*network up\n/);
  expect(part(stdout, "docker")).toMatch(
    /Docker \(ip filter FORWARD\)\nfix: sudo iptables -I DOCKER-USER -i smolvm\+/,
  );
  expect(part(stdout, "told of taps")).toContain("none drops");
  expect(part(stdout, "ufw")).toMatch(
    /ufw \(ip filter FORWARD\)\nfix: sudo ufw route allow in on smolvm\+\n/,
  );
  expect(part(stdout, "firewalld")).toMatch(
    /firewalld \(inet firewalld filter_FORWARD\)\nfix: sudo firewall-cmd/,
  );
  expect(part(stdout, "taken")).toMatch(/is used by another network too: 10.213.9.0\/24 \(br-1\)\nfix: /);
  expect(part(stdout, "status")).toMatch(/taps: +2 of 2 are there, 0 in use, of root\n/);
  expect(part(stdout, "another version's")).toBe(
    "Packet filter: of another version of smolvm: what this one closes may be open\nfix: /checkout/scripts/system-setup.sh --configure-runtime\n",
  );
  expect(part(stdout, "render")).toBe("table inet smolvm\n");
  const wrong =
    "the taps' rules cannot be made: /etc/smolvm/runtime.conf: private is neither closed nor open";
  const correct = "Correct /etc/smolvm/runtime.conf, then: sudo /usr/local/lib/smolvm/network up";
  expect(part(stdout, "wrong")).toBe(
    `Packet filter: ${wrong}\nfix: ${correct}\nerror: ${wrong}\nhint: ${correct}\nexit 1\n`,
  );
  expect(part(stdout, "render nothing")).toBe(
    "error: no taps are set up on this machine\nhint: /checkout/scripts/system-setup.sh --configure-runtime\nexit 1\n",
  );
});

test("what is said to mend it does, and then a guest's packets go through", async () => {
  const { stdout, stderr } =
    await fakeHost(`${TAPS.replace("useradd -m ann", "true").replace("tap_user:-ann", "tap_user:-root")} ${INTERNET} ${GUESTS} ${CHECK}
    stand_in sudo <<<'exec "$@"'
    mend() {
      ask guest0 93.184.216.34
      check | grep -A1 "^$1:" | tail -1 | sed -n 's/^fix: //p' >/run/fix
      bash -e /run/fix >/run/mended 2>&1 || cat /run/mended
      check | grep "^$1:"
      ask guest0 93.184.216.34
    }
    echo "== forwarding"; echo 0 >/proc/sys/net/ipv4/ip_forward; mend Forwarding
    echo "== changed"; nft insert rule inet smolvm through drop; mend "Packet filter"
    echo "== flushed"; nft flush ruleset; mend "Packet filter" | tail -2
    echo "== own table"; nft 'table inet mine { chain on_their_way { type filter hook forward priority filter; policy drop; }; }'
    mend "Other packet filters"; nft delete table inet mine
    echo "== a last rule, and IPv6 besides"
    nft 'table ip mine { chain way { type filter hook forward priority filter; policy accept; ip daddr 1.2.3.4 accept; counter reject; }; }'
    nft 'table ip6 filter { chain FORWARD { type filter hook forward priority filter; policy drop; }; chain DOCKER-USER { }; }'
    mend "Other packet filters"; nft delete table ip mine; nft delete table ip6 filter
    echo "== taps"
    taps() { { $smolvm network check </dev/null 2>&1 | grep -A1 'Taps:' | sed 's/^[^a-zA-Z]*//' || true; } }
    ip link delete smolvm1; taps; taps | sed -n 's/^fix: //p' >/run/fix; bash -e /run/fix >/dev/null; taps
    echo "== addresses"
    ip link add br-1 type bridge; ip link set br-1 up; ip addr add 10.213.9.1/24 dev br-1
    sed -i s/subnet=10.213/subnet=10.214/ /etc/smolvm/runtime.conf; /usr/local/lib/smolvm/network up; check
    ip -br -4 addr show dev smolvm0 | awk '{ for (i = 3; i <= NF; i++) print $i }'; ip link delete br-1
    sed -i s/subnet=10.214/subnet=10.213/ /etc/smolvm/runtime.conf; /usr/local/lib/smolvm/network up
    echo "== iptables"
    if command -v iptables >/dev/null; then
      iptables -P FORWARD DROP; mend "Other packet filters"; iptables -F FORWARD
      iptables -N DOCKER-USER; iptables -I FORWARD -j DOCKER-USER; mend "Other packet filters"
    fi`);
  expect(stderr).toBe("");
  const [without, passes] = ["guest0 93.184.216.34: nothing", "guest0 93.184.216.34: 93.184.216.1"];
  const none = "Other packet filters: none drops what sandboxes with a tap send";
  expect(part(stdout, "forwarding")).toBe(`${without}\nForwarding: on\n${passes}\n`);
  expect(part(stdout, "changed")).toBe(`${without}\nPacket filter: as it is meant\n${passes}\n`);
  expect(part(stdout, "flushed")).toBe(`Packet filter: as it is meant\n${passes}\n`);
  expect(part(stdout, "own table")).toBe(`${without}\n${none}\n${passes}\n`);
  expect(part(stdout, "a last rule, and IPv6 besides")).toBe(`${without}\n${none}\n${passes}\n`);
  expect(part(stdout, "taps")).toBe(
    "Taps: 1 of 2 are there\nfix: /usr/local/lib/smolvm/network up\nTaps: 2 of 2\nForwarding: on\n",
  );
  expect(part(stdout, "addresses")).toBe(
    `Forwarding: on\nTap addresses: 10.214.0.0/16\nPacket filter: as it is meant\n${none}\n10.214.0.1/30\n`,
  );
  const byIptables = part(stdout, "iptables");
  if (byIptables !== "") expect(byIptables).toBe(`${without}\n${none}\n${passes}\n`.repeat(2));
});

test("the set-up takes addresses that no other network of the machine has", async () => {
  const { stdout, stderr } = await fakeHost(`
    subnet() { (mode=check state_dir=/run setup_dir=/checkout/scripts/setup; . /checkout/scripts/setup/lib.sh; . /checkout/scripts/setup/runtime.sh; free_subnet); }
    ip link add br-1 type bridge; ip link set br-1 up
    echo "== free"; subnet
    ip addr add 10.213.9.1/24 dev br-1
    echo "== part"; subnet
    ip addr add 10.214.0.1/15 dev br-1
    echo "== two"; subnet
    ip route add 10.208.0.0/13 dev br-1; ip route add 0.0.0.0/1 dev br-1
    echo "== larger"; subnet`);
  expect(stderr).toBe("");
  expect([part(stdout, "free"), part(stdout, "part")]).toEqual(["10.213\n", "10.214\n"]);
  expect([part(stdout, "two"), part(stdout, "larger")]).toEqual(["10.216\n", "10.216\n"]);
});
