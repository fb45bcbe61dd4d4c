import { describe, expect, test } from "vitest";
import { fakeHost, part } from "../../helpers/fake-host.ts";
import { INTERNET } from "../../helpers/internet.ts";
import { scaled } from "../../helpers/speed.ts";

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
      echo "== away"; pkill -KILL -x 'passt.avx2|passt|pasta.avx2|pasta'; few
      sleep 4; echo "== back"; few
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
    smolvm snapshot create one saved >/dev/null; smolvm snapshot restore saved --name two >/dev/null
    echo "== snapshot"; way two; few two
    smolvm fork one --name three >/dev/null
    echo "== fork"; way three; few three
    smolvm rm --force two three >/dev/null; rm /usr/bin/pasta*
    smolvm snapshot restore saved --name two >/dev/null
    echo "== without pasta"; way two; few two
    smolvm fork two --name three >/dev/null
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
