import { expect, test } from "vitest";
import { fakeHost, part } from "../../helpers/fake-host.ts";
import { INTERNET, TAPS } from "../../helpers/internet.ts";

/** Two guests without a machine: what VMMs do with their taps, and network namespaces. */
const GUESTS = `
start python3 /checkout/tests/helpers/tap-guest.py smolvm0 guest0 10.213.0.2 10.213.0.1
start python3 /checkout/tests/helpers/tap-guest.py smolvm1 guest1 10.213.1.2 10.213.1.1
start ip netns exec guest1 python3 /run/serve.py
cat >/run/arp.py <<'PYTHON'
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
    nft delete table inet smolvm
    echo 0 >/proc/sys/net/ipv4/conf/smolvm0/arp_ignore
    echo "== open"; questions`);
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
  ]);
  // It is the filter: without it, all of that is reached.
  expect(part(stdout, "open")).not.toContain("nothing");
});
