import { describe, expect, test } from "vitest";
import { fakeHost, part } from "../../helpers/fake-host.ts";
import { INTERNET } from "../../helpers/internet.ts";
import { scaled } from "../../helpers/speed.ts";

const LONG = process.env.SMOLVM_TEST_LONG === "1";

/** In the guest: asks all of ADDRESS... at once on port 80, by TCP, then name servers by UDP and TCP, and prints each answer. */
const ASK_ALL = `
import concurrent.futures, socket, sys
QUERY = b"\\x12\\x34\\x01\\x00\\x00\\x01\\x00\\x00\\x00\\x00\\x00\\x00\\x04name\\x07example\\x00\\x00\\x01\\x00\\x01"
def ask(address):
    try:
        return socket.create_connection((address, 80), 4).recv(100).decode() or "nothing"
    except OSError:
        return "nothing"
def resolve(address):
    server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    server.settimeout(4)
    try:
        server.sendto(QUERY, (address, 53))
        return socket.inet_ntoa(server.recv(512)[-4:])
    except OSError:
        return "nothing"
def resolve_by_tcp(address):
    try:
        server = socket.create_connection((address, 53), 4)
        server.sendall(len(QUERY).to_bytes(2, "big") + QUERY)
        return socket.inet_ntoa(server.recv(512)[-4:])
    except OSError:
        return "nothing"
own = next(line.split()[1] for line in open("/etc/resolv.conf") if line.startswith("nameserver"))
questions = [(f"{address}:", ask, address) for address in sys.argv[1:]]
for kind, act in ("udp", resolve), ("tcp", resolve_by_tcp):
    questions += [(f"dns {name} {kind}:", act, address) for name, address in (("own", own), ("93.184.216.34", "93.184.216.34"), ("10.99.0.1", "10.99.0.1"))]
with concurrent.futures.ThreadPoolExecutor(16) as pool:
    for (name, _, _), answer in zip(questions, pool.map(lambda question: question[1](question[2]), questions)):
        print(name, answer)
try:
    print("a name:", socket.gethostbyname("name.example"))
except OSError as error:
    print("a name:", error)
`;

/** Answers every question for an A record with 93.184.216.34, at whichever address it is asked, by UDP and TCP. */
const NAME_SERVER = `
import socket, threading
def answer(query):
    end = query.index(b"\\0", 12) + 5
    record = b"\\xc0\\x0c\\x00\\x01\\x00\\x01\\x00\\x00\\x00\\x3c\\x00\\x04" + bytes([93, 184, 216, 34])
    return query[:2] + b"\\x81\\x80\\x00\\x01\\x00\\x01\\x00\\x00\\x00\\x00" + query[12:end] + record
def serve(listener):
    while True:
        client, _ = listener.accept()
        query = client.recv(600)[2:]
        if query:
            client.sendall(len(answer(query)).to_bytes(2, "big") + answer(query))
        client.close()
listener = socket.create_server(("0.0.0.0", 53))
threading.Thread(target=serve, args=(listener,), daemon=True).start()
servers = []
for address in ("1.1.1.1", "93.184.216.34", "10.99.0.1"):
    server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    server.bind((address, 53))
    servers.append(server)
def serve_udp(server):
    while True:
        query, address = server.recvfrom(512)
        server.sendto(answer(query), address)
for server in servers[1:]:
    threading.Thread(target=serve_udp, args=(server,), daemon=True).start()
print("ready", flush=True)
serve_udp(servers[0])
`;

/**
 * In the guest, as root: what an honest program does not send. A fragment whose first one never came is left out: by it a guest ends its own QEMU
 * with libslirp 4.7.0 (docs/security.md).
 */
const ODD = `
import os, socket, struct
TARGETS = "93.184.216.34", "93.184.216.1", "172.17.0.1", "10.99.0.1", "169.254.169.254", "10.0.2.2"
def checksum(data):
    data += b"\\0" * (len(data) % 2)
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16: total = (total & 0xffff) + (total >> 16)
    return ~total & 0xffff
def packet(source, target, protocol, body, flags=0):
    head = lambda sum: struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + len(body), 7, flags, 64, protocol, sum, socket.inet_aton(source), socket.inet_aton(target))
    return head(checksum(head(0))) + body
def udp(text, port=7777):
    return struct.pack("!HHHH", 5555, port, 8 + len(text), 0) + text
plain = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
plain.sendto(b"first", ("10.0.2.2", 9)) # so that the gateway's card is known
os.system("ip neigh | grep -q 10.0.2.2 || ping -c1 -W1 10.0.2.2 >/dev/null 2>&1")
gateway = bytes.fromhex(os.popen("ip neigh show 10.0.2.2").read().split("lladdr ")[1][:17].replace(":", ""))
card = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
card.bind(("eth0", 0))
def send(content, maker=None):
    card.send(gateway + (maker or card.getsockname()[4]) + b"\\x08\\x00" + content)
for target in TARGETS:
    try: plain.sendto(b"plain", (target, 7777))
    except OSError: pass
    try: plain.sendto(b"large" * 600, (target, 7777)) # in fragments
    except OSError: pass
    send(packet("93.184.216.77", target, 17, udp(b"spoofed")))
    send(packet("127.0.0.1", target, 17, udp(b"loopback")))
    send(packet("10.0.2.15", target, 17, udp(b"card")), bytes.fromhex("00aabbccddee"))
    send(packet("10.0.2.15", target, 4, packet("10.0.2.15", target, 17, udp(b"tunnel"))))
pending = [socket.socket() for _ in range(400)]
for number, one in enumerate(pending):
    one.setblocking(False)
    try: one.connect(("93.184.216.34", 2000 + number))
    except BlockingIOError: pass
print("sent")
`;

/** Notes which UDP packets come to whom, and from whom. */
const NOTE_UDP = `
import select, socket, sys
servers = []
for address in sys.argv[1:]:
    server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    server.bind((address, 7777))
    servers.append(server)
print("ready", flush=True)
with open("/run/udp", "a") as notes:
    while True:
        for server in select.select(servers, [], [])[0]:
            data, (source, _) = server.recvfrom(9000)
            print(server.getsockname()[0], "from", source, data[:8].decode(), len(data), file=notes, flush=True)
`;

/** A machine with an internet, a bridge like Docker's and a service on all of its addresses; \`user\` has the command line. */
const machine = (user: string): string => `
cat >/run/name-server.py <<'PYTHON'${NAME_SERVER}PYTHON
cat >/run/ask-all.py <<'PYTHON'${ASK_ALL}PYTHON
host useradd -m ann
${INTERNET}
ip -batch - <<'IP'
link add docker0 type bridge
link set docker0 up
address add 172.17.0.1/16 dev docker0
address add fd00:17::1/64 nodad dev docker0
address add 11.22.33.44/32 dev lo
IP
rm -f /etc/resolv.conf; echo nameserver 1.1.1.1 >/etc/resolv.conf
start ip netns exec internet python3 /run/name-server.py
export SMOLVM_TEMPLATE=off
if [ ${user} = root ]; then
  smolvm() { XDG_DATA_HOME=/tmp/data $smolvm "$@" </dev/null; }
else
  mkdir -p /home/ann/.cache/smolvm
  cp -r /root/.cache/smolvm/images /root/.cache/smolvm/kernels /home/ann/.cache/smolvm/
  chown -R ann /home/ann
  smolvm() { as ann $smolvm "$@" </dev/null; }
fi
create() { smolvm create --quiet --start --memory 256M --backend qemu --name "$@" >/dev/null; }
info() { smolvm info --json "$1" | python3 -c 'import json, sys; print(json.load(sys.stdin)["data"]["network"].get("'$2'"))'; }
questions() {
  smolvm cp /run/ask-all.py one:/root/ask-all.py >/dev/null
  smolvm exec one -- sh -c '[ ! -e /sys/class/net/eth0 ] || { ip -6 addr add fd00::2/64 nodad dev eth0; ip -6 route add default dev eth0; }' 
  smolvm exec one -- python3 /root/ask-all.py 93.184.216.34 10.0.2.2 127.0.0.1 93.184.216.1 11.22.33.44 172.17.0.1 10.99.0.1 169.254.169.254 10.0.3.1 10.0.3.2 0.0.0.0 fd00:17::1
}
few() { smolvm exec \${1:-one} -- python3 /root/ask-all.py ${FEW} | grep -E '^[0-9]|a name'; }
gone() { for i in $(seq 100); do [ -z "$(processes)" ] && break; sleep 0.1; done; processes; }
pid() { smolvm info --json one | python3 -c 'import json, sys; print(json.load(sys.stdin)["data"]["pid"])'; }
processes() { ps -eo comm= | grep -E '^(pasta|passt|smolvm|nft|qemu|monitor)' || true; }
`;

/** What is asked when it matters only whether the filter holds and the network works. */
const FEW = "93.184.216.34 10.0.2.2 172.17.0.1";
const HELD = "93.184.216.34: 93.184.216.1\n10.0.2.2: nothing\n172.17.0.1: nothing\na name: 93.184.216.34\n";

const FILTERED = [
  "93.184.216.34: 93.184.216.1",
  "10.0.2.2: nothing",
  "127.0.0.1: nothing",
  "93.184.216.1: nothing",
  "11.22.33.44: nothing",
  "172.17.0.1: nothing",
  "10.99.0.1: nothing",
  "169.254.169.254: nothing",
  "10.0.3.1: nothing",
  "10.0.3.2: nothing",
  "0.0.0.0: nothing",
  "fd00:17::1: nothing",
  "dns own udp: 93.184.216.34",
  "dns 93.184.216.34 udp: nothing",
  "dns 10.99.0.1 udp: nothing",
  "dns own tcp: 93.184.216.34",
  "dns 93.184.216.34 tcp: nothing",
  "dns 10.99.0.1 tcp: nothing",
  "a name: 93.184.216.34",
];

describe.each(["root", "ann"])("an open network without a tap, of %s's", (user) => {
  test("reaches the public internet and names, and nothing else", async () => {
    const { stdout, stderr } = await fakeHost(
      `${machine(user)}
      create one
      echo "== way"; info one way; info one whyNotNext
      echo "== filtered"; questions
      smolvm rm --force one >/dev/null
      echo "== left"; processes; ip netns list | grep -v ^internet || true; smolvm gc | grep -v ^image:
      rm /usr/bin/pasta*
      create one
      echo "== second way"; info one way; info one whyNotNext
      echo "== through the door"; questions
      smolvm rm --force one >/dev/null
      create one --qemu-network slirp
      echo "== last way"; info one way; info one whyNotNext
      echo "== filtered within"; questions
      smolvm rm --force one >/dev/null
      create one --unfiltered
      echo "== third way"; info one way; info one whyNotNext
      echo "== unfiltered"; questions
      smolvm rm --force one >/dev/null`,
      { timeoutMs: scaled(150_000) },
    );
    expect(stderr).toBe("");
    expect(part(stdout, "way")).toBe("namespace\nNone\n");
    expect(part(stdout, "filtered").trimEnd().split("\n")).toEqual(FILTERED);
    expect(part(stdout, "left")).toBe("Nothing was left behind.\n");
    const reason = "pasta is not installed. Install it: sudo apt-get install -y passt\n";
    expect(part(stdout, "second way")).toBe(`door\n${reason}`);
    // Names have addresses that stand for them.
    const named = part(stdout, "through the door")
      .trimEnd()
      .replace(/198\.18\.\d+\.\d+/g, "93.184.216.34");
    expect(named.split("\n")).toEqual(FILTERED);
    expect(part(stdout, "last way")).toBe(
      "process\npasta is not installed. Install it: sudo apt-get install -y passt\n",
    );
    expect(part(stdout, "filtered within").trimEnd().split("\n")).toEqual(FILTERED);
    expect(part(stdout, "third way")).toBe("unfiltered\nNone\n");
    // It is the filter: without it, all of that is reached but what is the guest's own.
    expect(part(stdout, "unfiltered")).toContain("10.0.2.2: 127.0.0.1\n");
    expect(part(stdout, "unfiltered")).toContain("169.254.169.254: 93.184.216.1\n");
    expect(part(stdout, "unfiltered")).toContain("172.17.0.1: 172.17.0.1\n");
  });

  test("is closed while its connector is away, which comes back, and ends with the machine whatever ends that", async () => {
    const { stdout, stderr } = await fakeHost(
      `${machine(user)}
      create one; smolvm cp /run/ask-all.py one:/root/ask-all.py >/dev/null
      echo "== rights"; grep -E '^Cap(Prm|Eff|Amb)' /proc/$(pid)/status | tr -d '\\t'
      mkdir /run/away; mv /usr/bin/pasta* /run/away/ # it is tried again every three seconds
      echo "== away"; pkill -KILL -x 'pas(ta|st).*'; few
      mv /run/away/* /usr/bin/; for i in $(seq 60); do [ -z "$(pgrep -x 'pas(ta|st).*')" ] || break; sleep 0.2; done; sleep 1
      echo "== back"; few
      echo "== machine killed"; kill -KILL $(pid); gone; smolvm start one >/dev/null; few
      echo "== monitor killed"; kill -KILL $(pgrep -f '^[^ ]*monitor-x86_64 run' | head -1); gone; smolvm start one >/dev/null; few
      echo "== stopped"; smolvm stop one >/dev/null; gone
      smolvm rm --force one >/dev/null`,
      { timeoutMs: scaled(150_000) },
    );
    expect(stderr).toBe("");
    expect(part(stdout, "rights")).toBe(
      ["Prm", "Eff", "Amb"].map((set) => `Cap${set}:0000000000000000\n`).join(""),
    );
    expect(part(stdout, "away")).toMatch(
      /^93.184.216.34: nothing\n10.0.2.2: nothing\n172.17.0.1: nothing\na name: \[/,
    );
    expect(part(stdout, "back")).toBe(HELD);
    expect(part(stdout, "machine killed")).toBe(HELD);
    expect(part(stdout, "monitor killed")).toBe(HELD);
    expect(part(stdout, "stopped")).toBe("");
  });
});

test("what goes on from saved memory has the same filter, whichever way it was saved in", async () => {
  const { stdout, stderr } = await fakeHost(
    `${machine("root")}
    unset SMOLVM_TEMPLATE
    way() { smolvm info --json $1 | python3 -c 'import json, sys; data = json.load(sys.stdin)["data"]; print(data["startedFrom"], data["network"]["way"])'; }
    smolvm image warm --quiet --memory 256M --backend qemu 2>/dev/null
    create one; smolvm cp /run/ask-all.py one:/root/ask-all.py >/dev/null
    echo "== template"; way one; few one
    smolvm snapshot create --quiet one saved >/dev/null; smolvm snapshot restore --quiet saved --name two >/dev/null
    echo "== snapshot"; way two; few two
    smolvm fork --quiet one --name three >/dev/null
    echo "== fork"; way three; few three
    smolvm rm --force two three >/dev/null; rm /usr/bin/pasta*
    smolvm snapshot restore --quiet saved --name two >/dev/null
    echo "== without pasta"; way two; few two
    smolvm fork --quiet two --name three >/dev/null
    echo "== fork without pasta"; way three; few three
    echo "== one goes on"; few one
    smolvm rm --all --force >/dev/null; gone`,
    { timeoutMs: scaled(150_000) },
  );
  expect(stderr).toBe("");
  expect(part(stdout, "template")).toBe(`template namespace\n${HELD}`);
  expect(part(stdout, "snapshot")).toBe(`snapshot namespace\n${HELD}`);
  expect(part(stdout, "fork")).toBe(`fork namespace\n${HELD}`);
  expect(part(stdout, "without pasta")).toBe(`snapshot process\n${HELD}`);
  expect(part(stdout, "fork without pasta")).toBe(`fork process\n${HELD}`);
  expect(part(stdout, "one goes on")).toBe(HELD);
});

test("where no tap can be made in the namespace QEMU dials there, and what was saved like that goes on so until it boots", async () => {
  const { stdout, stderr } = await fakeHost(
    `${machine("root")}
    way() { info $1 way; info $1 whyNotNext; }
    mount --bind /proc/sys /proc/sys; mount -o remount,bind,ro /proc/sys
    create one; smolvm cp /run/ask-all.py one:/root/ask-all.py >/dev/null
    echo "== closed"; way one; few one
    echo "== told"; smolvm network status --json | python3 -c 'import json, sys; print(json.load(sys.stdin)["data"]["open"]["way"])'
    smolvm snapshot create --quiet one saved >/dev/null
    umount /proc/sys
    smolvm snapshot restore --quiet saved --name two >/dev/null
    echo "== restored"; way two; ${LONG ? "few two" : ""}
    smolvm fork --quiet two --name three >/dev/null
    echo "== fork"; way three; ${LONG ? "few three" : ""}
    smolvm stop two >/dev/null; smolvm start two >/dev/null
    echo "== booted"; way two; few two
    smolvm rm --all --force >/dev/null`,
    { timeoutMs: scaled(150_000) },
  );
  expect(stderr).toBe("");
  expect(part(stdout, "closed")).toMatch(
    new RegExp(`^namespace-slirp\n.*cannot make a tap in the network namespace.*\n${HELD}$`),
  );
  expect(part(stdout, "told")).toBe("namespace-slirp\n");
  const goesOn = "it goes on from a machine that had libslirp; once it boots it has none";
  for (const name of ["restored", "fork"])
    expect(part(stdout, name)).toBe(`namespace-slirp\n${goesOn}\n${LONG ? HELD : ""}`);
  expect(part(stdout, "booted")).toBe(`namespace\nNone\n${HELD}`);
});

/**
 * In the guest: asks an address again and again for some seconds, and says for how long it was answered: from the first answer to the last. And how many
 * were answered of those that have asked at the beginning, and wait.
 */
const ASK_ON = `
import concurrent.futures, socket, sys, time
def wait(number):
    time.sleep(number * 0.025)
    try:
        return len(socket.create_connection((sys.argv[1], 80), 10).recv(100)) > 0
    except OSError:
        return False
pool = concurrent.futures.ThreadPoolExecutor(40)
waiting = [pool.submit(wait, number) for number in range(40)]
print("started", flush=True)
end, answers = time.monotonic() + float(sys.argv[2]), []
while time.monotonic() < end:
    try:
        if socket.create_connection((sys.argv[1], 80), 0.1).recv(100): answers.append(time.monotonic())
    except OSError:
        time.sleep(0.002)
print("answered", len(answers), "within", int((answers[-1] - answers[0]) * 1000) if answers else 0)
print("of those that waited", sum(one.result() for one in waiting))
`;

describe("an address that this machine gets while a sandbox runs", () => {
  const ADDRESSES = "93.184.216.34 93.184.216.77";
  const OPEN = "93.184.216.34: 93.184.216.1\n93.184.216.77: nothing\n";
  test.each([
    ["root", "namespace", "", ""],
    ["ann", "namespace", "", ""],
    ["root", "namespace-slirp", "mount --bind /proc/sys /proc/sys; mount -o remount,bind,ro /proc/sys", ""],
    ["ann", "process", "rm /usr/bin/pasta*", "--qemu-network slirp"],
    ["ann", "door", "rm /usr/bin/pasta*", ""],
  ])(
    "is closed to a guest within a second, and open when it is another's (%s, %s)",
    async (user, way, change, options) => {
      const { stdout, stderr } = await fakeHost(
        `${machine(user)}
      cat >/run/ask-on.py <<'PYTHON'${ASK_ON}PYTHON
      ${change}
      create one ${options}
      smolvm cp /run/ask-all.py one:/root/ask-all.py >/dev/null; smolvm cp /run/ask-on.py one:/root/ask-on.py >/dev/null
      asked() { smolvm exec one -- python3 /root/ask-all.py ${ADDRESSES} | grep -E '^[0-9]'; }
      echo "== way"; info one way
      echo "== before"; asked
      ip neigh replace 93.184.216.77 lladdr 02:00:00:00:00:77 dev uplink nud permanent # so that who connects there goes on trying
      mkfifo /run/asks; smolvm exec one -- python3 /root/ask-on.py 93.184.216.77 5 >/run/asks &
      exec 7</run/asks; read -r line <&7
      sleep 1; ip address add 93.184.216.77/32 dev uplink
      echo "== meanwhile"; cat <&7
      echo "== here"; python3 /run/ask.py 93.184.216.77
      echo "== its own"; asked
      ip address del 93.184.216.77/32 dev uplink; ip neigh del 93.184.216.77 dev uplink; ip -n internet address add 93.184.216.77/32 dev cable
      sleep 1
      echo "== another's"; asked
      smolvm rm --force one >/dev/null`,
        { timeoutMs: scaled(150_000) },
      );
      expect(stderr).toBe("");
      expect(part(stdout, "way")).toBe(`${way}\n`);
      expect(part(stdout, "before")).toBe(OPEN);
      const [, within] =
        /^answered \d+ within (\d+)\nof those that waited 0\n$/.exec(part(stdout, "meanwhile")) ?? [];
      expect(Number(within)).toBeLessThan(1000);
      expect(part(stdout, "here")).toBe("93.184.216.77\n");
      expect(part(stdout, "its own")).toBe(OPEN);
      expect(part(stdout, "another's")).toBe(OPEN.replace("77: nothing", "77: 93.184.216.1"));
    },
  );

  test("closes the network where the packet filter cannot be told of it, until it can", async () => {
    const { stdout, stderr } = await fakeHost(
      `${machine("ann")}
      create one; smolvm cp /run/ask-all.py one:/root/ask-all.py >/dev/null
      asked() { smolvm exec one -- python3 /root/ask-all.py ${ADDRESSES} | grep -E '^[0-9]'; }
      echo "== before"; asked
      mv /usr/sbin/nft /usr/sbin/away
      ip address add 93.184.216.77/32 dev uplink; sleep 1
      echo "== closed"; asked; pgrep -x 'pas(ta|st).*' || echo no connector
      mv /usr/sbin/away /usr/sbin/nft
      for i in $(seq 60); do [ -z "$(pgrep -x 'pas(ta|st).*')" ] || break; sleep 0.2; done; sleep 1
      echo "== open"; asked
      cat >/run/hangs <<'SH'
#!/bin/sh
exec sleep 1000
SH
      chmod +x /run/hangs; mv /usr/sbin/nft /usr/sbin/away; cp /run/hangs /usr/sbin/nft
      ip address del 93.184.216.77/32 dev uplink; sleep 1
      echo "== it hangs"; asked
      smolvm stop one >/dev/null
      echo "== left"; gone
      smolvm rm --force one >/dev/null`,
      { timeoutMs: scaled(150_000) },
    );
    expect(stderr).toBe("");
    const closed = "93.184.216.34: nothing\n93.184.216.77: nothing\n";
    expect(part(stdout, "before")).toBe(OPEN);
    expect(part(stdout, "closed")).toBe(`${closed}no connector\n`);
    expect(part(stdout, "open")).toBe(OPEN);
    expect(part(stdout, "it hangs")).toBe(closed);
    expect(part(stdout, "left")).toBe("");
  });
});

test("where nothing but QEMU is installed a first command runs, with an open network, and leaves nothing", async () => {
  const { stdout, stderr } = await fakeHost(
    `${machine("ann")}
    rm -f /usr/bin/pasta* /usr/sbin/nft /usr/bin/bwrap
    echo "== run"; smolvm run --quiet --memory 256M -- python3 -c 'import urllib.request; print(urllib.request.urlopen("http://name.example/").status)' || true
    echo "== told"; as ann $smolvm doctor </dev/null 2>&1 | grep -A1 'Network:' || true
    echo "== left"; processes`,
    { timeoutMs: scaled(150_000) },
  );
  expect(stderr).toContain("HTTP"); // what answers there is no web server, and was reached
  expect(part(stdout, "told")).toMatch(
    /Network: open: no network card.*pasta is not installed\n +fix: Install it: sudo apt-get install -y passt\n/,
  );
  expect(part(stdout, "left")).toBe("");
});

describe("what is sent by a guest's root that no honest program sends, over an open network", () => {
  test.each([
    ["in a network namespace", "", "namespace"],
    ["filtered within QEMU", "rm /usr/bin/pasta*", "process"],
  ])("%s, comes to the public internet as this machine's, and to nobody else", async (_name, change, way) => {
    const { stdout, stderr } = await fakeHost(
      `${machine("root")}
      cat >/run/odd.py <<'PYTHON'${ODD}PYTHON
      cat >/run/note-udp.py <<'PYTHON'${NOTE_UDP}PYTHON
      start ip netns exec internet python3 /run/note-udp.py 93.184.216.34 10.99.0.1 169.254.169.254
      start python3 /run/note-udp.py 127.0.0.1 93.184.216.1 172.17.0.1
      ${change}
      create one --qemu-network slirp; smolvm cp /run/odd.py one:/root/odd.py >/dev/null; smolvm cp /run/ask-all.py one:/root/ask-all.py >/dev/null
      echo "== way"; info one way
      echo "== sent"; smolvm exec one -- python3 /root/odd.py
      sleep 1
      echo "== came"; sort -u /run/udp
      echo "== still"; few
      smolvm rm --force one >/dev/null`,
      { timeoutMs: scaled(150_000) },
    );
    expect(stderr).toBe("");
    expect(part(stdout, "way")).toBe(`${way}\n`);
    expect(part(stdout, "sent")).toBe("sent\n");
    const came = part(stdout, "came").trimEnd().split("\n");
    expect(came).toContain("93.184.216.34 from 93.184.216.1 plain 5");
    expect(came).toContain("93.184.216.34 from 93.184.216.1 largelar 3000");
    // Whatever a packet says of where it comes from, it leaves as this machine's; nothing came to any other address.
    expect(came.filter((line) => !line.startsWith("93.184.216.34 from 93.184.216.1 "))).toEqual([]);
    expect(part(stdout, "still")).toBe(HELD);
  });
});

test("doctor --deep sees a filter that is none", async () => {
  const { stdout, stderr } = await fakeHost(
    `${machine("root")}
    deep() { smolvm doctor --deep --backend qemu 2>/dev/null | grep -A1 'Network proven' || true; }
    echo "== real"; deep
    stand_in nft <<<'exit 0'
    echo "== liar"; deep`,
    { timeoutMs: scaled(200_000) },
  );
  expect(stderr).toBe("");
  expect(part(stdout, "real")).toContain(
    "namespace: a guest's root reached this machine by none of its addresses",
  );
  expect(part(stdout, "liar")).toMatch(/the guest reached (.*, )?93\.184\.216\.1/);
});
