import type { Try } from "../../helpers/escape-runs.ts";
import { SPEED_FACTOR } from "../../helpers/speed.ts";

/** How a guest's open network is filtered: docs/network.md, "Who sees to it". */
export const WAYS = ["tap", "namespace", "namespace-slirp", "door", "process"] as const;
export type Way = (typeof WAYS)[number];

/** What a program of the guest's, as root, tries on an open network, and what comes of it. */
export interface Cell {
  readonly name: string;
  /** Python that sets `r`; what it raises is the outcome, too. It has the names of {@link GUEST}; {mark} is a text that is this cell's alone, other words in braces are addresses */
  readonly attempt: string;
  /**
   * what it sees: "reached" (somebody has answered), "refused" (by the guest itself), "no route" (it is told so at once), "no answer"; of
   * what is only sent: "lost", or "arrived" at an address of the internet's, as this machine's
   */
  readonly outcome: Readonly<Record<Way, string>>;
  /** it is tried when nothing else is, after all others */
  readonly alone?: true;
  /** where it is left out, and is that in its row: it ends the guest's own QEMU */
  readonly leftOut?: readonly Way[];
  /** it passes because of what an open network is */
  readonly byNature?: true;
}

/** The same everywhere, but where it says so. */
const seen = (outcome: string, but: Partial<Record<Way, string>> = {}): Pick<Cell, "outcome"> => ({
  outcome: Object.fromEntries(WAYS.map((way) => [way, but[way] ?? outcome])) as Record<Way, string>,
});
/** The same where there is a card. */
const withCard = (outcome: string, but: Partial<Record<Way, string>> = {}): Pick<Cell, "outcome"> =>
  seen(outcome, { door: "no card", ...but });
const REACHED = seen("reached");
const LOST = withCard("lost");
const ARRIVED = withCard("arrived");
/** The door is for TCP and names alone. */
const REACHED_BY_CARD = seen("reached", { door: "no route" });
/** In the namespace it is refused, behind a tap of the pool it is dropped, and libslirp does not say what it was told; at the door the host decides when there is a connection. */
const CLOSED = seen("no route", { tap: "no answer", "namespace-slirp": "no answer", door: "reset" });
const CLOSED_UDP = seen("no answer", { namespace: "no route", door: "no route" });
/** libslirp answers pings itself, or not at all: there it is only what is sent that counts. */
const CLOSED_ICMP = {
  ...CLOSED_UDP,
  ...{ outcome: { ...CLOSED_UDP.outcome, "namespace-slirp": "lost", process: "lost" } },
};
/** A source that is not the guest's: libslirp does not look at it, and what it sends is this machine's. */
const SPOOFED = withCard("lost", { "namespace-slirp": "arrived", process: "arrived" });

/** What libslirp 4.7.0 makes of it (docs/security.md). */
const ENDS_QEMU = "ends its own QEMU";
/** Where QEMU takes the guest's packets apart. */
const LIBSLIRP: readonly Way[] = ["namespace-slirp", "process"];

/** An attempt for each of some addresses. */
const each = (
  what: string,
  addresses: Readonly<Record<string, string>>,
  attempt: (address: string) => string,
  outcome: Pick<Cell, "outcome">,
): Cell[] =>
  Object.entries(addresses).map(([name, address]) => ({
    name: `${what} ${name}`,
    attempt: attempt(address),
    ...outcome,
  }));

/** Addresses that no guest may reach; all of them are there, and a server listens at all ports that are tried. */
const KEPT: Readonly<Record<string, string>> = {
  "this machine's address": "93.184.216.1",
  "another address of this machine's, a public one": "11.22.33.44",
  "an address of this machine's whose cable is not plugged in": "11.22.33.55",
  "the gateway": "{gateway}",
  "a bridge like Docker's": "172.17.0.1",
  "this machine in its LAN": "192.168.77.1",
  "a neighbour in the LAN": "192.168.77.2",
  "a private network behind the router (10/8)": "10.99.0.1",
  "a private network behind the router (172.16/12)": "172.20.0.1",
  "shared address space (100.64/10)": "100.64.0.1",
  "a cloud's metadata": "169.254.169.254",
  "a cloud's metadata at a public address (168.63.129.16)": "168.63.129.16",
  "a link-local address": "169.254.7.7",
  "another sandbox": "{other}",
};

export const CELLS: readonly Cell[] = [
  // what is promised
  { name: "a public address over TCP", attempt: 'r = tcp("93.184.216.34", 80)', ...REACHED },
  { name: "a name", attempt: 'r = tcp("good.test", 80)', ...REACHED },
  {
    name: "a name in other letters, with a dot at its end",
    attempt: 'r = tcp("GOOD.Test.", 80)',
    ...REACHED,
  },
  {
    name: "a name of 253 characters",
    attempt: 'r = tcp(("a" * 61 + ".") * 3 + "b" * 57 + ".good.test", 80)',
    ...REACHED,
  },
  { name: "another port", attempt: 'r = tcp("93.184.216.34", 7777)', ...REACHED },
  { name: "a public address over UDP", attempt: 'r = udp("93.184.216.34", 7777)', ...REACHED_BY_CARD },
  { name: "QUIC's port", attempt: 'r = udp("93.184.216.34", 443)', ...REACHED_BY_CARD },
  {
    name: "a large datagram (3,000 bytes)",
    attempt: 'r = udp("93.184.216.34", 7777, "{mark}" * 500)',
    ...REACHED_BY_CARD,
  },
  {
    name: "ICMP echo",
    attempt: 'r = ping("93.184.216.34")',
    // in a namespace whose settings cannot be changed nobody may ping, and that is how the test has it
    ...seen("reached", { "namespace-slirp": "lost", door: "no route", process: "arrived" }),
  },
  {
    name: "200 connections at once",
    attempt:
      'ss = [socket.create_connection(("93.184.216.34", 80), 20) for _ in range(200)]; r = said(b"".join(s.recv(9)[:1] for s in ss))',
    ...REACHED,
  },
  { name: "the name server, over UDP", attempt: 'r = answered("good.test", "1.1.1.1")', ...REACHED_BY_CARD },
  {
    name: "the name server, over TCP",
    attempt: 'r = answered_tcp("good.test", "1.1.1.1")',
    ...seen("reached", { door: "reset" }),
  },
  // what is so by nature
  {
    name: "DNS over HTTPS (port 443 of a name server)",
    attempt: 'r = tcp("8.8.8.8", 443)',
    ...REACHED,
    byNature: true,
  },
  {
    name: "a secret in a name that is asked for",
    attempt: 'r = tcp("5ec237.good.test", 80)',
    ...REACHED,
    byNature: true,
  },
  // at the door 80 and 443 are looked at, as in a restricted network
  {
    name: "HTTP to another host than the one that was looked up",
    attempt: 'r = talk("patient.test", 80, http("evil.test"))',
    ...seen("reached", { door: "reset" }),
    byNature: true,
  },
  {
    name: "a second request to another host, in one piece",
    attempt: 'r = talk("patient.test", 80, http("patient.test") + http("evil.test"))',
    ...seen("reached", { door: "reset" }),
    byNature: true,
  },
  {
    name: "TLS to another server than the one that was looked up",
    attempt: 'r = talk("patient.test", 443, hello("evil.test"))',
    ...seen("reached", { door: "reset" }),
    byNature: true,
  },
  // addresses that are not of the public internet
  ...each("TCP to", KEPT, (address) => `r = tcp("${address}", 80)`, CLOSED),
  {
    name: "TCP to a network for tests (198.18/15)",
    attempt: 'r = tcp("198.18.0.1", 80)',
    ...seen("no route", { tap: "no answer", "namespace-slirp": "no answer", door: "refused" }), // there it is the agent's own
  },
  ...each("UDP to", KEPT, (address) => `r = udp("${address}", 7777)`, CLOSED_UDP),
  {
    name: "UDP to a network for tests (198.18/15)",
    attempt: 'r = udp("198.18.0.1", 7777)',
    ...seen("no answer", { namespace: "no route", door: "refused" }),
  },
  ...each(
    "ICMP to",
    {
      "this machine's address": "93.184.216.1",
      "the gateway": "{gateway}",
      "a neighbour in the LAN": "192.168.77.2",
      "a cloud's metadata": "169.254.169.254",
    },
    (address) => `r = ping("${address}")`,
    CLOSED_ICMP,
  ),
  {
    name: "a port of a sandbox that is published at all of this machine's addresses",
    attempt: 'r = tcp("93.184.216.1", 8081)',
    ...CLOSED,
  },
  ...each(
    "its own loopback, which is not this machine's, as",
    {
      "127.0.0.1": "127.0.0.1",
      "127.1": "127.1",
      "0x7f000001": "0x7f000001",
      "0.0.0.0": "0.0.0.0",
      "::1": "::1",
    },
    (address) => `r = tcp("${address}", 80)`,
    seen("refused"),
  ),
  {
    name: "this machine's address, mapped to IPv6",
    attempt: 'r = tcp("::ffff:93.184.216.1", 80)',
    ...CLOSED,
  },
  { name: "this machine's address in a number", attempt: 'r = tcp("0x5db8d801", 80)', ...CLOSED },
  ...each(
    "the namespace's own address",
    { "on the inside": "10.0.3.2", "of its router": "10.0.3.1" },
    (address) => `r = tcp("${address}", 80)`,
    CLOSED,
  ),
  // names
  {
    name: "a name that is this host's loopback",
    attempt: 'r = tcp("loop.test", 80)',
    ...seen("refused", { door: "reset" }),
  },
  { name: "a name that is this host", attempt: 'r = tcp("host.test", 80)', ...CLOSED },
  {
    name: "a name that is this host, in other letters and with a dot at its end",
    attempt: 'r = tcp("Host.TEST.", 80)',
    ...CLOSED,
  },
  { name: "a name that is a cloud's metadata", attempt: 'r = tcp("metadata.test", 80)', ...CLOSED },
  {
    name: "a name that is another address the second time (rebinding)",
    attempt: 'tcp("rebound.test", 80); r = tcp("rebound.test", 80)',
    // at the door a name has the addresses that it had the first time, for some seconds
    ...seen("no route", { tap: "no answer", "namespace-slirp": "no answer", door: "reached" }),
    alone: true,
  },
  { name: "DNS of somebody else", attempt: 'r = answered("good.test", "8.8.8.8")', ...CLOSED_UDP },
  { name: "DNS of somebody else, over TCP", attempt: 'r = answered_tcp("good.test", "8.8.8.8")', ...CLOSED },
  { name: "DNS of somebody else, over TLS", attempt: 'r = tcp("8.8.8.8", 853)', ...CLOSED },
  { name: "DNS of a private network", attempt: 'r = answered("good.test", "10.99.0.1")', ...CLOSED_UDP },
  { name: "DNS of this machine", attempt: 'r = answered("good.test", "93.184.216.1")', ...CLOSED_UDP },
  // IPv6, for which the guest has given itself an address and a route
  {
    name: "IPv6: TCP to a public address",
    attempt: 'r = tcp("2606:2800::34", 80)',
    ...seen("no route", { door: "reached" }),
  },
  ...each(
    "IPv6: TCP to",
    {
      "a cloud's metadata": "fd00:ec2::254",
      "this machine": "fd00:17::1",
    },
    (address) => `r = tcp("${address}", 80)`,
    seen("no route", { door: "reset" }),
  ),
  {
    name: "IPv6: a packet to a public address, in a frame for the gateway",
    attempt: 'r = send6("2606:2800::34")',
    ...LOST,
  },
  {
    name: "IPv6: a packet to a cloud's metadata, in a frame for the gateway",
    attempt: 'r = send6("fd00:ec2::254")',
    ...LOST,
  },
  {
    name: "IPv6: a packet to a link-local address, in a frame for the gateway",
    attempt: 'r = send6("fe80::1")',
    ...LOST,
  },
  { name: "IPv6: to all nodes of the link", attempt: 'r = send6("ff02::1")', ...LOST },
  {
    name: "IPv6: UDP to a public address",
    attempt: 'r = udp6("2606:2800::34")',
    ...seen("no answer", { door: "no route" }),
  },
  {
    name: "IPv6: ICMP echo to a public address",
    attempt: 'r = ping6("2606:2800::34")',
    ...seen("no answer", { door: "no route" }),
  },
  {
    name: "IPv6: with the source of a public address",
    attempt: 'r = send6("2606:2800::34", source="2606:2800::77")',
    ...LOST,
  },
  {
    name: "IPv6: who has this machine's address on the link",
    attempt: 'r = who_has6("fd00:17::1")',
    ...withCard("no answer"),
  },
  {
    name: "IPv6: that it is the router, with a prefix for all who listen",
    attempt: "r = advertise()",
    ...LOST,
  },
  {
    name: "IPv6: behind a header for each hop, and in a fragment",
    attempt: 'send6("2606:2800::34", before=0); r = send6("2606:2800::34", before=44)',
    ...LOST,
  },
  {
    name: "IPv6 in IPv4 (6in4) to a relay of everybody's (192.88.99.1)",
    attempt: 'r = send(packet(OWN, "192.88.99.1", 41, ip6("fd00:77::2", "fd00:17::1")))',
    ...LOST,
  },
  {
    name: "IPv6 in IPv4 (6in4) to this machine",
    attempt: 'r = send(packet(OWN, "93.184.216.1", 41, ip6("fd00:77::2", "fd00:17::1")))',
    ...LOST,
  },
  // packets that no honest program sends
  {
    name: "a packet of its own making",
    attempt: "r = send(packet(OWN, PUBLIC, 17, datagram()))",
    ...ARRIVED,
  },
  ...each(
    "a packet with the source of",
    {
      "another public address": "93.184.216.77",
      "this machine's loopback": "127.0.0.1",
      "this machine": "93.184.216.1",
      "the gateway": "{gateway}",
      "the LAN": "192.168.77.9",
      nobody: "0.0.0.0",
    },
    (source) => `r = send(packet("${source}", PUBLIC, 17, datagram()))`,
    SPOOFED,
  ),
  {
    name: "a packet from its own address to this machine's loopback",
    attempt: 'r = send(packet(OWN, "127.0.0.1", 17, datagram()))',
    ...LOST,
  },
  {
    name: "a packet in a packet (IPIP) to a private network",
    attempt: 'r = send(packet(OWN, PUBLIC, 4, packet(OWN, "10.99.0.1", 17, datagram())))',
    ...withCard("lost", { tap: "arrived" }),
  },
  {
    name: "a packet with a route of its own (loose source route) by a private network",
    attempt:
      'r = send(packet(OWN, PUBLIC, 17, datagram(), options=b"\\x83\\x07\\x04" + socket.inet_aton("10.99.0.1") + b"\\0"))',
    ...SPOOFED,
  },
  {
    name: "a datagram in two fragments",
    attempt: "r = send(*fragments(OWN, PUBLIC, datagram()))",
    ...withCard("arrived", { namespace: "lost" }),
  },
  {
    name: "a datagram in two fragments to this machine",
    attempt: 'r = send(*fragments(OWN, "93.184.216.1", datagram()))',
    ...LOST,
  },
  {
    name: "a fragment that looks like a question to somebody else's name server",
    attempt: "r = send(packet(OWN, PUBLIC, 17, datagram(port=53), flags=3))",
    ...withCard("lost", { "namespace-slirp": ENDS_QEMU, process: ENDS_QEMU }),
    leftOut: LIBSLIRP,
  },
  {
    name: "a fragment whose first one never comes",
    attempt: "r = send(packet(OWN, PUBLIC, 17, datagram(), flags=100))",
    ...withCard("lost", { "namespace-slirp": ENDS_QEMU, process: ENDS_QEMU }),
    leftOut: LIBSLIRP,
  },
  { name: "TCP of no connection (SYN and FIN at once)", attempt: "r = send(segment(3))", ...LOST },
  { name: "TCP of no connection (RST)", attempt: "r = send(segment(4))", ...LOST },
  {
    name: "TCP of no connection (ACK)",
    attempt: "r = send(segment(16))",
    ...withCard("lost", { tap: "arrived" }),
  },
  { name: "TCP with a wrong checksum", attempt: "r = send(segment(2, wrong=1))", ...LOST },
  {
    name: "an ICMP error about a datagram that was never sent",
    attempt:
      'r = send(packet(OWN, PUBLIC, 1, icmp(3, packet(PUBLIC, OWN, 17, datagram()).decode("latin1"))))',
    ...LOST,
  },
  ...each(
    "a packet behind a VLAN's tag (802.1Q, 0) to",
    { "this machine": "93.184.216.1", "a neighbour in the LAN": "192.168.77.2" },
    (target) => `r = send(packet(OWN, "${target}", 17, datagram()), kind=b"\\x81\\0\\0\\0\\x08\\0")`,
    LOST,
  ),
  {
    name: "a packet with the source of this machine, behind a VLAN's tag",
    attempt: 'r = send(packet("93.184.216.1", PUBLIC, 17, datagram()), kind=b"\\x81\\0\\0\\0\\x08\\0")',
    ...LOST,
  },
  {
    name: "a broadcast to all of the LAN",
    attempt: 'r = send(packet(OWN, "192.168.77.255", 17, datagram()))',
    ...LOST,
  },
  {
    name: "a broadcast, and multicast",
    attempt:
      'r = send(packet(OWN, "255.255.255.255", 17, datagram()), packet(OWN, "224.0.0.251", 17, datagram(port=5353)))',
    ...LOST,
  },
  {
    name: "ICMP of other kinds to this machine (timestamp, redirect)",
    attempt: 'r = send(*[packet(OWN, "93.184.216.1", 1, icmp(kind)) for kind in (13, 5)])',
    ...LOST,
  },
  {
    name: "a card with another address",
    attempt: 'r = send(packet(OWN, PUBLIC, 17, datagram()), maker="02aabbccddee")',
    ...ARRIVED,
  },
  {
    name: "a card with an address of a maker's",
    attempt: 'r = send(packet(OWN, PUBLIC, 17, datagram()), maker="00aabbccddee")',
    ...withCard("arrived", { tap: "lost" }),
  },
  {
    name: "ARP for another address of this machine's",
    attempt: 'r = who_has("93.184.216.1")',
    ...withCard("no answer"),
  },
  {
    name: "an answer from another address than it has asked",
    attempt: 'r = udp_from_other("93.184.216.34", "1.1.1.1")',
    ...seen("no answer", { door: "no route", process: "reached" }),
  },
  // what might break it for good: afterwards the network is as it was
  {
    name: "ARP that says that the gateway's address is its own, and then a public address",
    attempt: 'claim("{gateway}"); r = tcp("93.184.216.34", 80)',
    ...withCard("reached"),
    alone: true,
  },
  {
    name: "this machine's address, with 400 connections half open",
    attempt: 'ss = half_open(400); r = tcp("93.184.216.1", 80, 4)',
    // at the door 256 are open at once, and more wait until the first ones are given up
    ...seen("no answer", { namespace: "no route", process: "no route" }),
    alone: true,
  },
  {
    name: "a public address, with 400 connections half open",
    attempt: 'ss = half_open(400); r = tcp("93.184.216.34", 80, 4)',
    ...seen("reached", { door: "no answer" }),
    alone: true,
  },
];

/** In the guest: what attempts are written with, and all of them; {@link guestFiles} fills it in. */
const GUEST = `
import concurrent.futures, errno, json, os, random, resource, socket, ssl, struct, sys, threading, time
HERE = threading.local()
OWN, GATEWAY, PUBLIC, LIBSLIRP = "{own}", "{gateway}", "93.184.216.34", {libslirp}
PATIENCE = {patience}
def said(got): return "reached" if got else "nothing said"
def tcp(host, port, patience=PATIENCE):
    s = socket.create_connection((host, port), patience)
    return said(s.recv(100))
def talk(host, port, text):
    s = socket.create_connection((host, port), PATIENCE)
    s.sendall(text)
    return said(s.recv(100))
def http(host): return f"GET / HTTP/1.1\\r\\nHost: {host}\\r\\n\\r\\n".encode()
def hello(name):
    out = ssl.MemoryBIO()
    try: ssl._create_unverified_context().wrap_bio(ssl.MemoryBIO(), out, server_hostname=name).do_handshake()
    except ssl.SSLWantReadError: return out.read()
def udp(host, port, text=None):
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    s.settimeout(PATIENCE)
    s.connect((host, port))
    s.send((text or HERE.mark).encode())
    return said(s.recv(9000))
def udp_from_other(host, other):
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    s.settimeout(3)
    s.sendto(b"other", (host, 7777))
    while True:
        got, sender = s.recvfrom(100)
        if sender[0] == other: return "reached"
def checksum(data):
    data += b"\\0" * (len(data) % 2)
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16: total = (total & 0xffff) + (total >> 16)
    return ~total & 0xffff
def icmp(kind, text=None):
    body = lambda sum: struct.pack("!BBHHH", kind, 0, sum, os.getpid() & 0xffff, 1) + (text or HERE.mark).encode("latin1")
    return body(checksum(body(0)))
def ping(host):
    s = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
    s.settimeout(PATIENCE)
    s.connect((host, 0))
    s.send(icmp(8))
    while True:
        try: got = s.recv(2000)
        except OSError:
            if not LIBSLIRP: raise
            return "sent"
        if got[20] == 0: return "sent" if LIBSLIRP else "reached"
def packet(source, target, protocol, body, flags=0, options=b"", ident=None):
    if CARD is None: raise NoCard
    # Each its own: what is left of another in somebody's reassembly is no part of it.
    if ident is None: ident = random.randrange(1, 65536)
    head = lambda sum: struct.pack("!BBHHHBBH4s4s", 0x45 + len(options) // 4, 0, 20 + len(options) + len(body), ident, flags, 64, protocol, sum, socket.inet_aton(source), socket.inet_aton(target)) + options
    return head(checksum(head(0))) + body
def datagram(port=7777, text=None):
    text = (text or HERE.mark).encode()
    return struct.pack("!HHHH", 5555, port, 8 + len(text), 0) + text
def segment(flags, wrong=0):
    head = lambda sum: struct.pack("!HHIIBBHHH", 4000, 7777, 1, 1, 0x50, flags, 1024, sum, 0) + HERE.mark.encode()
    pseudo = socket.inet_aton(OWN) + socket.inet_aton(PUBLIC) + struct.pack("!HH", 6, len(head(0)))
    return packet(OWN, PUBLIC, 6, head(checksum(pseudo + head(0)) ^ wrong))
def fragments(source, target, body):
    body += b"." * (-len(body) % 8) + b"rest...."
    body = struct.pack("!HHHH", 5555, 7777, len(body), 0) + body[8:]
    ident = random.randrange(1, 65536)
    return packet(source, target, 17, body[:-8], 0x2000, ident=ident), packet(source, target, 17, body[-8:], len(body[:-8]) // 8, ident=ident)
class NoCard(Exception): pass
CARD = None
if os.path.exists("/sys/class/net/eth0"):
    CARD = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x0806))
    CARD.bind(("eth0", 0x0806))
    CARD.settimeout(2)
    MAC = CARD.getsockname()[4]
def arp(kind, mac, ip, target_mac, target):
    return struct.pack("!HHBBH", 1, 0x800, 6, 4, kind) + mac + socket.inet_aton(ip) + target_mac + socket.inet_aton(target)
def who_has(target):
    if CARD is None: raise NoCard
    CARD.send(b"\\xff" * 6 + MAC + b"\\x08\\x06" + arp(1, MAC, OWN, b"\\0" * 6, target))
    until = time.time() + 2
    while time.time() < until:
        try: got = CARD.recv(100)
        except socket.timeout: break
        if got[20:22] == b"\\0\\2" and got[28:32] == socket.inet_aton(target): return "reached", got[22:28]
    return "no answer"
GATEWAY_MAC = CARD and who_has(GATEWAY)[1]
def claim(ip):
    if CARD is None: raise NoCard
    for kind in 1, 2:
        CARD.send(b"\\xff" * 6 + MAC + b"\\x08\\x06" + arp(kind, MAC, ip, b"\\0" * 6, ip))
def send(*packets, maker=None, kind=b"\\x08\\x00"):
    if CARD is None: raise NoCard
    for one in packets: CARD.send(GATEWAY_MAC + (bytes.fromhex(maker) if maker else MAC) + kind + one)
    return "sent"
def ip6(source, target, kind=17, body=None, before=None, hops=64):
    text = HERE.mark.encode()
    source, to = socket.inet_pton(socket.AF_INET6, source), socket.inet_pton(socket.AF_INET6, target)
    whole = body or (lambda sum: struct.pack("!HHHH", 5555, 7777, 8 + len(text), sum) + text)
    data = whole(0)
    data = whole(checksum(source + to + struct.pack("!II", len(data), kind) + data))
    if before is not None: # a hop-by-hop header that pads, or one of a fragment that is the whole
        data = bytes([kind]) + (b"\\0\\1\\4\\0\\0\\0\\0" if before == 0 else b"\\0\\0\\0\\0\\0\\0\\7") + data
        kind = before
    return struct.pack("!IHBB", 6 << 28, len(data), kind, hops) + source + to + data
def send6(target, source="fd00:77::2", before=None):
    return send(ip6(source, target, before=before), kind=b"\\x86\\xdd")
def advertise():
    prefix = struct.pack("!BBBBIII", 3, 4, 64, 0xc0, 3600, 3600, 0) + socket.inet_pton(socket.AF_INET6, "fd00:bad::")
    body = lambda sum: struct.pack("!BBHBBHII", 134, 0, sum, 64, 0, 1800, 0, 0) + prefix + b"\\1\\1" + MAC
    if CARD is None: raise NoCard
    CARD.send(b"\\x33\\x33\\0\\0\\0\\1" + MAC + b"\\x86\\xdd" + ip6("fe80::77", "ff02::1", 58, body, hops=255))
    return "sent"
def who_has6(target):
    if CARD is None: raise NoCard
    s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x86dd))
    s.bind(("eth0", 0x86dd))
    to = socket.inet_pton(socket.AF_INET6, target)
    body = lambda sum: struct.pack("!BBHI", 135, 0, sum, 0) + to + b"\\1\\1" + MAC
    s.send(b"\\x33\\x33\\xff" + to[13:] + MAC + b"\\x86\\xdd" + ip6("fd00:77::2", "ff02::1:ff00:1", 58, body, hops=255))
    until = time.time() + 2
    s.settimeout(0.5)
    while time.time() < until:
        try: got = s.recv(200)
        except socket.timeout: continue
        if got[6:12] != MAC and got[20] == 58 and got[54] == 136: return "reached"
    return "no answer"
def udp6(target):
    s = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
    s.settimeout(PATIENCE)
    s.connect((target, 7777))
    s.send(HERE.mark.encode())
    return said(s.recv(100))
def ping6(target):
    s = socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6)
    s.settimeout(PATIENCE)
    s.connect((target, 0))
    s.send(struct.pack("!BBHHH", 128, 0, 0, 1, 1) + HERE.mark.encode())
    while True:
        got = s.recv(200)
        if got[0] == 129: return "reached"
def question(name):
    labels = b"".join(bytes([len(l)]) + l.encode() for l in name.split("."))
    return struct.pack("!6H", 7, 0x100, 1, 0, 0, 0) + labels + b"\\0" + struct.pack("!2H", 1, 1)
def answered(name, server):
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    s.settimeout(PATIENCE)
    s.connect((server, 53))
    s.send(question(name))
    return said(s.recv(512))
def answered_tcp(name, server):
    s = socket.create_connection((server, 53), PATIENCE)
    q = question(name)
    s.sendall(struct.pack("!H", len(q)) + q)
    return said(s.recv(512))
def half_open(count):
    pending = []
    for number in range(count):
        one = socket.socket()
        one.setblocking(False)
        try: one.connect((PUBLIC, 10000 + number))
        except OSError: pass
        pending.append(one)
    return pending
def outcome(attempt):
    HERE.mark = attempt["mark"]
    scope = dict(globals())
    try:
        exec(attempt["code"], scope)
        r = scope["r"]
        return r if isinstance(r, str) else r[0]
    except NoCard: return "no card"
    except socket.gaierror: return "no name"
    except ConnectionRefusedError: return "refused"
    except ConnectionResetError: return "reset"
    except socket.timeout: return "no answer"
    except OSError as e:
        if e.errno in (errno.ENETUNREACH, errno.EHOSTUNREACH): return "no route"
        if e.errno in (errno.EACCES, errno.EPERM): return "not permitted"
        return errno.errorcode.get(e.errno, str(e))
    except Exception as e: return repr(e)
resource.setrlimit(resource.RLIMIT_NOFILE, (4096, 4096))
if CARD: os.system("ip -6 addr add fd00:77::2/64 nodad dev eth0; ip -6 route add default dev eth0")
attempts = json.load(open(sys.argv[1]))
together = [one for one in attempts if not one["alone"]]
with concurrent.futures.ThreadPoolExecutor(48) as pool:
    outcomes = dict(zip([one["name"] for one in together], pool.map(outcome, together)))
for one in attempts:
    if one["alone"]: outcomes[one["name"]] = outcome(one)
print(json.dumps(outcomes))
`;

/** What a guest tries there, and what has to come of it; with `off` that is nothing. */
export function triesOf(way: Way | "off"): readonly Try[] {
  return CELLS.filter(({ leftOut = [] }) => !leftOut.some((one) => one === way)).map(
    ({ name, attempt, outcome }) => ({ name, attempt, outcome: way === "off" ? "nothing" : outcome[way] }),
  );
}

/** A cell's own text, of six characters. */
export function mark(index: number): string {
  return `#m${String(index).padStart(3, "0")}#`;
}

/** The guest's program and its attempts, those of a way. The addresses, {own}, {gateway} and {other}, are still to be filled in. */
export function guestFiles(way: Way | "off"): { readonly program: string; readonly attempts: string } {
  const attempts = CELLS.flatMap(({ name, attempt, alone = false, leftOut = [] }, index) => {
    const code = attempt.replaceAll("{mark}", mark(index));
    return leftOut.some((one) => one === way) ? [] : [{ name, code, alone, mark: mark(index) }];
  });
  // At the door nothing is dropped, and so many at once take their time.
  const patience = String(way === "door" ? Math.min(4 * SPEED_FACTOR, 30) : 4);
  const program = GUEST.replace("{patience}", patience).replace(
    "{libslirp}",
    LIBSLIRP.some((one) => one === way) ? "True" : "False",
  );
  return { program, attempts: JSON.stringify(attempts) };
}
