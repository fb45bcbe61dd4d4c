import { expect, test } from "vitest";
import { fakeHost, part } from "../../helpers/fake-host.ts";

/**
 * A machine with two guests on taps, and an internet: a namespace that has a public address, a private one and the
 * metadata service's. Everywhere a server on port 80 says whom it sees.
 */
const NETWORK = `
stand_in newuidmap <<<''
cpu sse2
host useradd -m ann
/checkout/scripts/system-setup.sh --configure-runtime --user ann >/dev/null
ip netns add internet
ip link add uplink type veth peer name cable netns internet
ip addr add 93.184.216.1/24 dev uplink; ip link set uplink up; ip route add default via 93.184.216.34
out() { ip netns exec internet "$@"; }
out ip link set lo up; out ip link set cable up
for address in 93.184.216.34/24 10.99.0.1/32 169.254.169.254/32; do out ip addr add $address dev cable; done
out ip route add 10.213.0.0/16 via 93.184.216.1
cat >/run/serve.py <<'PYTHON'
import socket
server = socket.create_server(("", 80))
print("ready", flush=True)
while True:
    client, address = server.accept()
    client.sendall(address[0].encode())
    client.close()
PYTHON
cat >/run/ask.py <<'PYTHON'
import socket, sys
source = (sys.argv[2], 0) if len(sys.argv) > 2 else None
try:
    print(socket.create_connection((sys.argv[1], 80), 1.5, source).recv(100).decode())
except OSError:
    print("nothing")
PYTHON
start() { coproc { exec "$@"; }; read -r line <&"\${COPROC[0]}"; [ "$line" = ready ]; } 2>/dev/null
start python3 /checkout/tests/helpers/tap-guest.py smolvm0 guest0 10.213.0.2 10.213.0.1
start python3 /checkout/tests/helpers/tap-guest.py smolvm1 guest1 10.213.1.2 10.213.1.1
start python3 /run/serve.py
start ip netns exec internet python3 /run/serve.py
start ip netns exec guest1 python3 /run/serve.py
ask() { # FROM TO [SOURCE]
  local from=$1
  shift
  echo "$from $*: $(ip netns exec "$from" python3 /run/ask.py "$@")"
}
`;

test("a guest on a tap reaches the public internet as this machine, and nothing else, and nothing reaches it", async () => {
  const { stdout, stderr } = await fakeHost(`${NETWORK}
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
    }
    echo "== filtered"; questions
    nft delete table inet smolvm
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
  ]);
  // It is the filter: without it, all of that is reached.
  expect(part(stdout, "open")).not.toContain("nothing");
});
