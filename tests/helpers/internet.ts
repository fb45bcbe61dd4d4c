/**
 * Words for fake-host.sh: a machine that was set up, with $taps taps (default 2) of $tap_user (default ann).
 */
export const TAPS = `
stand_in newuidmap <<<''
stand_in firecracker <<<'echo "Firecracker v1.16.2"'
stand_in jailer <<<'echo "Jailer v1.16.2"'
host useradd -m ann
# The administrator's file, which the set-up leaves as it is: thirty taps more take minutes where all is emulated.
mkdir /etc/smolvm
printf '%s\n' "tap_user=\${tap_user:-ann}" "taps=\${taps:-2}" subnet=10.213 dns=1.1.1.1,9.9.9.9 >/etc/smolvm/runtime.conf
/checkout/scripts/system-setup.sh --configure-runtime >/dev/null
rm -f /run/stand-ins/firecracker /run/stand-ins/jailer
`;

/**
 * Words for fake-host.sh: an internet, a namespace that has a public address, a private one, the metadata service's and a name
 * server's. There and here a server on port 80 says whom it sees.
 *
 *   start COMMAND...          starts what prints "ready"
 *   ask FROM TO [SOURCE]      FROM is a namespace, or "here"
 */
export const INTERNET = `
ip netns add internet
ip link add uplink type veth peer name cable netns internet
ip addr add 93.184.216.1/24 dev uplink; ip link set uplink up; ip route add default via 93.184.216.34
out() { ip netns exec internet "$@"; }
out ip link set lo up; out ip link set cable up
for address in 93.184.216.34/24 10.99.0.1/32 169.254.169.254/32 1.1.1.1/32; do out ip addr add $address dev cable; done
out ip route add 10.213.0.0/16 via 93.184.216.1
cat >/run/serve.py <<'PYTHON'
import socket
server = socket.create_server(("", 80), family=socket.AF_INET6, dualstack_ipv6=True)
print("ready", flush=True)
while True:
    client, address = server.accept()
    client.sendall(address[0].removeprefix("::ffff:").encode())
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
start python3 /run/serve.py
start ip netns exec internet python3 /run/serve.py
ask() {
  local from=$1
  shift
  [ "$from" = here ] && in=() || in=(ip netns exec "$from")
  echo "$from $*: $("\${in[@]}" python3 /run/ask.py "$@")"
}
`;
