/**
 * Words for fake-host.sh: what the set-up leaves of taps and packet filter, two of $tap_user (default ann). The set-up itself, which
 * has tests of its own, takes a hundred processes and minutes where all is emulated.
 */
export const TAPS = `
host useradd -m ann
mkdir -p /etc/smolvm /usr/local/lib/smolvm
cp /checkout/scripts/setup/network /usr/local/lib/smolvm/network
printf '%s\n' "tap_user=\${tap_user:-ann}" taps=2 subnet=10.213 dns=1.1.1.1,9.9.9.9 >/etc/smolvm/runtime.conf
echo 1 >/proc/sys/net/ipv4/ip_forward
/usr/local/lib/smolvm/network up
`;

/**
 * Words for fake-host.sh: an internet, a namespace that has a public address, a private one, the metadata service's and a name
 * server's. There and here a server on port 80 says whom it sees.
 *
 *   start COMMAND...          starts what prints "ready"
 *   ask FROM TO [SOURCE]      FROM is a namespace, or "here"
 */
export const INTERNET = `
PATH=/run/stand-ins:/usr/sbin:/usr/bin:/sbin:/bin:$PATH # a developer's wrappers take half a minute in the lab
ip netns add internet
ip -batch - <<'IP'
link add uplink type veth peer name cable netns internet
address add 93.184.216.1/24 dev uplink
link set uplink up
route add default via 93.184.216.34
IP
ip -n internet -batch - <<'IP'
link set lo up
link set cable up
address add 93.184.216.34/24 dev cable
address add 10.99.0.1/32 dev cable
address add 169.254.169.254/32 dev cable
address add 1.1.1.1/32 dev cable
route add 10.213.0.0/16 via 93.184.216.1
IP
cat >/run/serve.py <<'PYTHON'
import socket
server = socket.create_server(("", 80), family=socket.AF_INET6, dualstack_ipv6=True)
print("ready", flush=True)
while True:
    client, address = server.accept()
    try:
        client.sendall(address[0].removeprefix("::ffff:").encode())
    except OSError:
        pass # it is gone already
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

/** Words for fake-host.sh, behind TAPS and INTERNET: a namespace at each of the two taps, guest0 and guest1, stands for a guest. */
export const TWO_GUESTS = `
start python3 /checkout/tests/helpers/tap-guest.py smolvm0 guest0 10.213.0.2 10.213.0.1
start python3 /checkout/tests/helpers/tap-guest.py smolvm1 guest1 10.213.1.2 10.213.1.1
start ip netns exec guest1 python3 /run/serve.py
`;

/** A word for fake-host.sh: `check` is what `smolvm network check` says of forwarding, addresses and packet filters, without its marks. */
export const CHECK = `
check() { { $smolvm network check </dev/null 2>&1 | grep -E -A1 '(Forwarding|Tap addresses|Packet filter|Other packet filters):' | grep -v -e '^--' -e '^$' -e Everything | sed 's/^[^a-zA-Z]*//' || true; } >/run/checked; cat /run/checked; }
`;
