import { describe, expect, test } from "vitest";
import { BACKENDS } from "../../helpers/backends.ts";
import { fakeHost, part } from "../../helpers/fake-host.ts";
import { INTERNET, TAPS } from "../../helpers/internet.ts";
import { scaled } from "../../helpers/speed.ts";

const LONG = process.env.SMOLVM_TEST_LONG === "1";
const LAB = process.env.SMOLVM_LAB !== undefined;
const ROUNDS: readonly number[] = LONG ? [1, 2, 3, 4, 5] : [1];

/** In the guest: asks all of ADDRESS... at once on port 80, then a name server for a name, and prints each answer. */
const ASK_ALL = `
import concurrent.futures, socket, struct, sys
def ask(address):
    try:
        return socket.create_connection((address, 80), 4).recv(100).decode()
    except OSError:
        return "nothing"
with concurrent.futures.ThreadPoolExecutor(16) as pool:
    for address, answer in zip(sys.argv[1:], pool.map(ask, sys.argv[1:])):
        print(address + ":", answer)
try:
    print("a name:", socket.gethostbyname("name.example"))
except OSError as error:
    print("a name:", error)
`;

/** Answers every question for an A record with 93.184.216.34. */
const NAME_SERVER = `
import socket
server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
server.bind(("1.1.1.1", 53))
print("ready", flush=True)
while True:
    query, address = server.recvfrom(512)
    end = query.index(b"\\0", 12) + 5
    answer = b"\\xc0\\x0c\\x00\\x01\\x00\\x01\\x00\\x00\\x00\\x3c\\x00\\x04" + bytes([93, 184, 216, 34])
    server.sendto(query[:2] + b"\\x81\\x80\\x00\\x01\\x00\\x01\\x00\\x00\\x00\\x00" + query[12:end] + answer, address)
`;

/** In the guest: sends its name to the internet, and to whom it may not, again and again. */
const TALK = `
import socket, time
gateway = [line.split()[2] for line in open("/proc/net/route") if line.split()[1] == "00000000"][0]
gateway = socket.inet_ntoa(bytes.fromhex(gateway)[::-1])
talk = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
while True:
    for address in "93.184.216.34", "10.99.0.1", "169.254.169.254", "93.184.216.1", gateway:
        try: talk.sendto(open("/etc/hostname", "rb").read().strip(), (address, 7777))
        except OSError: pass
    time.sleep(0.1)
`;

/** At some addresses: notes what comes, whence and to which of them. */
const HEAR = `
import socket, sys, threading
def hear(server):
    while True:
        data, (source, _) = server.recvfrom(100)
        with open("/run/heard", "a") as heard: print(server.getsockname()[0], source, data.decode(), file=heard)
for address in sys.argv[1:]:
    server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    server.bind((address, 7777))
    threading.Thread(target=hear, args=(server,), daemon=True).start()
print("ready", flush=True)
threading.Event().wait()
`;

/** A machine with an internet, whose two taps are root's, with the command line, and where this machine has KVM, with that for a group of its own. */
const machine = (backend: string): string => `
tap_user=root
${LAB ? "device /dev/kvm 10 232 660 root:47111" : ""}
cat >/run/name-server.py <<'PYTHON'${NAME_SERVER}PYTHON
cat >/run/ask-all.py <<'PYTHON'${ASK_ALL}PYTHON
export XDG_DATA_HOME=/tmp/data SMOLVM_TEMPLATE=off # or a template's machine would have one of the two for a moment
smolvm() { $smolvm "$@" </dev/null; }
create() { smolvm create --quiet --start --isolation user --memory 256M --backend ${backend} ${backend === "qemu" ? "--qemu-network tap" : ""} --name "$@"; }
tap() { smolvm info --json "$1" | python3 -c 'import json, sys; print(json.load(sys.stdin)["data"]["network"].get("tap"))'; }
uid() { smolvm info --json "$1" | python3 -c 'import json, sys; print(json.load(sys.stdin)["data"]["isolation"].get("uid"))'; }
${TAPS}
${INTERNET}
start ip netns exec internet python3 /run/name-server.py
`;

describe.each(BACKENDS)("sandboxes with taps on %s", (backend) => {
  test("reach the public internet and names, and nothing else, and nothing reaches them", async () => {
    const { stdout, stderr } = await fakeHost(
      `${machine(backend)}
      create one & first=$!; create two; wait $first
      echo "== taps"; { tap one; tap two; } | sort
      echo "== owners"; for name in one two; do echo "$(cat /sys/class/net/$(tap $name)/owner) $(uid $name)"; done
      echo "== inside"; smolvm exec one -- sh -c 'ip -4 -o addr show eth0; ip route; cat /etc/resolv.conf'
      number=$(tap one); number=\${number#smolvm}; other=$((1 - number)); echo "$number $other"
      # IPv6, as a guest's root and a careless host would have it
      ip -6 addr add fd00::1/64 nodad dev smolvm$number
      smolvm exec one -- sh -c 'ip -6 addr add fd00::2/64 nodad dev eth0'
      $smolvm exec two -- sh -c 'cat >/root/serve.py' </run/serve.py
      $smolvm exec one -- sh -c 'cat >/root/ask-all.py' </run/ask-all.py
      start $smolvm exec two -- python3 -u /root/serve.py
      questions() {
        smolvm exec one -- python3 /root/ask-all.py \\
          93.184.216.34 10.99.0.1 169.254.169.254 10.213.$number.1 93.184.216.1 10.213.$other.2 fd00::1
        ask internet 10.213.$other.2
        ask here 10.213.$other.2
      }
      echo "== filtered"; questions
      nft delete table inet smolvm
      nft 'table ip open { chain leaving { type nat hook postrouting priority srcnat; oifname "uplink" masquerade; }; }'
      echo "== open"; questions
      smolvm rm --all --force`,
      { timeoutMs: scaled(150_000) },
    );
    expect(stderr).toBe("");
    // Each is open to one VMM, which has a uid of its own.
    const owners = part(stdout, "owners").trim().split("\n");
    expect(owners).toEqual([expect.stringMatching(/^(\d{10}) \1$/), expect.stringMatching(/^(\d{10}) \1$/)]);
    expect(new Set(owners).size).toBe(2);
    expect(part(stdout, "taps")).toBe("smolvm0\nsmolvm1\n");
    const inside = part(stdout, "inside").trimEnd().split("\n");
    const [own, other] = inside.pop()!.split(" ");
    expect(inside.join("\n")).toContain(`10.213.${own}.2/30`);
    expect(inside.join("\n")).toContain(`default via 10.213.${own}.1`);
    expect(inside).toEqual(expect.arrayContaining(["nameserver 1.1.1.1", "nameserver 9.9.9.9"]));
    expect(part(stdout, "filtered").trimEnd().split("\n")).toEqual([
      "93.184.216.34: 93.184.216.1",
      "10.99.0.1: nothing",
      "169.254.169.254: nothing",
      `10.213.${own}.1: nothing`,
      "93.184.216.1: nothing",
      `10.213.${other}.2: nothing`,
      "fd00::1: nothing",
      "a name: 93.184.216.34",
      `internet 10.213.${other}.2: nothing`,
      `here 10.213.${other}.2: nothing`,
    ]);
    // It is the filter: without it, all of that is reached.
    expect(part(stdout, "open")).not.toContain("nothing");
    expect(part(stdout, "open")).toContain("a name: 93.184.216.34");
  });

  test("have theirs as long as their machine runs, and say what to do when all are in use", async () => {
    const { stdout, stderr } = await fakeHost(
      `${machine(backend)}
      run() { "$@" 2>&1 && echo "exit 0" || echo "exit $?"; }
      carriers() { cat /sys/class/net/smolvm?/carrier; }
      create one; create two
      echo "== third"; run create three --json
      echo "== stopped"; smolvm stop one; tap one; run create three
      echo "== killed"; kill -9 "$(smolvm info --json two | python3 -c 'import json, sys; print(json.load(sys.stdin)["data"]["pid"])')"
      run smolvm start one # nobody has looked at the one that died
      echo "== died"; smolvm stop one >/dev/null
      run env SMOLVM_FAILPOINT="after tap" $smolvm start one
      run smolvm start two; carriers
      echo "== another home"; run env XDG_DATA_HOME=/tmp/other $smolvm create --start --name four --memory 256M \\
        --backend ${backend} ${backend === "qemu" ? "--qemu-network tap" : ""}
      echo "== removed"; smolvm rm --all --force >/dev/null; carriers; cat /sys/class/net/smolvm?/owner; smolvm gc | grep -v ^image:`,
      { timeoutMs: scaled(200_000) },
    );
    const third = part(`${stdout}${stdout.includes("== third") ? "" : stderr}`, "third");
    expect(JSON.parse(third.slice(0, third.lastIndexOf("exit"))).error).toMatchObject({
      code: "TAP_UNAVAILABLE",
      message: expect.stringContaining("all 2 taps are in use"),
      hint: "Stop a sandbox (smolvm ls), or raise 'taps' in /etc/smolvm/runtime.conf, then: /usr/local/lib/smolvm/network up",
    });
    expect(part(stdout, "stopped")).toMatch(/None\n.*exit 0\n$/s);
    expect(part(stdout, "killed")).toMatch(/exit 0\n$/);
    expect(part(stdout, "died")).toMatch(/exit 137\n.*exit 0\n1\n1\n$/s);
    expect(part(stdout, "another home")).toContain("all 2 taps are in use");
    // Nobody has them open, and they are root's again.
    expect(part(stdout, "removed")).toEqual(
      expect.stringMatching(/^0\n0\n0\n0\n(Nothing was left behind.\n)?$/),
    );
  });

  test("of three homes that start at once each gets one, and a fourth is told that there is none", async () => {
    const { stdout, stderr } = await fakeHost(
      `${machine(backend)}
      sed -i s/taps=2/taps=3/ /etc/smolvm/runtime.conf; /usr/local/lib/smolvm/network up
      for round in ${ROUNDS.join(" ")}; do
        started=()
        for home in a b c; do XDG_DATA_HOME=/tmp/$home create $home >/tmp/$home.said 2>&1 & started+=($!); done
        wait "\${started[@]}"
        echo "== taps $round"; for home in a b c; do XDG_DATA_HOME=/tmp/$home tap $home; done | sort
        if [ $round = 1 ]; then echo "== fourth"; XDG_DATA_HOME=/tmp/d create d 2>&1 || true; fi
        for home in a b c; do XDG_DATA_HOME=/tmp/$home smolvm rm --all --force >/dev/null; done
      done
      cat /tmp/[abc].said | grep -v '^[abc]$' >&2 || true
      echo "== owners"; cat /sys/class/net/smolvm?/owner`,
      { timeoutMs: scaled(200_000) },
    );
    expect(stderr).toBe("");
    for (const round of ROUNDS) expect(part(stdout, `taps ${round}`)).toBe("smolvm0\nsmolvm1\nsmolvm2\n");
    expect(part(stdout, "fourth")).toContain("all 3 taps are in use");
    expect(part(stdout, "owners")).toBe("0\n0\n0\n");
  });

  test.runIf(LONG || LAB)(
    "that go on from one moment have each their own, and are filtered by it as soon as they run",
    async () => {
      const { stdout, stderr } = await fakeHost(
        `${machine(backend)}
      sed -i s/taps=2/taps=4/ /etc/smolvm/runtime.conf; /usr/local/lib/smolvm/network up
      cat >/run/hear.py <<'PYTHON'${HEAR}PYTHON
      cat >/run/talk.py <<'PYTHON'${TALK}PYTHON
      start ip netns exec internet python3 /run/hear.py 93.184.216.34 10.99.0.1 169.254.169.254
      start python3 /run/hear.py 0.0.0.0
      create one --publish 8081:80
      for file in ask-all talk serve; do smolvm cp /run/$file.py one:/root/$file.py >/dev/null; done
      smolvm exec one -- sh -c 'for file in talk serve; do python3 /root/$file.py >/dev/null 2>&1 & done'
      smolvm snapshot create --quiet one saved >/dev/null
      smolvm snapshot restore --quiet saved --name two >/dev/null; smolvm fork --quiet one --name three >/dev/null
      echo "== taps"; for name in one two three; do tap $name; done
      echo "== cards"; for name in one two three; do smolvm exec $name -- sh -c 'ip -4 -o addr show eth0 | tr -s " " | cut -d " " -f 4; cat /sys/class/net/eth0/address' | paste -s -; done
      echo "== reached"
      for name in one two three; do
        others=$(for other in one two three; do [ $other = $name ] || echo 10.213.$(tap $other | tr -d a-z).2; done)
        smolvm exec $name -- python3 /root/ask-all.py 93.184.216.34 10.99.0.1 $others
      done
      echo "== published"; python3 -c 'import socket; print(socket.create_connection(("127.0.0.1", 8081), 4).recv(99).decode())'
      sleep 1 # each talks on
      echo "== heard"; sort -u /run/heard
      smolvm rm --all --force >/dev/null`,
        { timeoutMs: scaled(150_000) },
      );
      expect(stderr).toBe("");
      const numbers = part(stdout, "taps")
        .trim()
        .split("\n")
        .map((name) => name.replace("smolvm", ""));
      expect(new Set(numbers).size).toBe(3);
      const cards = part(stdout, "cards")
        .trim()
        .split("\n")
        .map((line) => line.split("\t"));
      expect(cards.map(([address]) => address)).toEqual(numbers.map((number) => `10.213.${number}.2/30`));
      expect(new Set(cards.map(([, mac]) => mac)).size).toBe(3);
      const reached = numbers.flatMap((own) => [
        "93.184.216.34: 93.184.216.1",
        "10.99.0.1: nothing",
        ...numbers.filter((number) => number !== own).map((number) => `10.213.${number}.2: nothing`),
        "a name: 93.184.216.34",
      ]);
      expect(part(stdout, "reached").trim().split("\n")).toEqual(reached);
      expect(part(stdout, "published")).toBe("127.0.0.1\n");
      expect(part(stdout, "heard").trim().split("\n")).toEqual(
        ["one", "three", "two"].map((name) => `93.184.216.34 93.184.216.1 ${name}`),
      );
    },
  );

  test("take another where somebody else was faster", async () => {
    const { stdout } = await fakeHost(
      `${machine(backend)}
      # One that is down looks free, whoever has it open.
      ip link set smolvm0 down
      cat >/run/hold.py <<'PYTHON'
import fcntl, struct, time
tap = open("/dev/net/tun", "r+b", buffering=0)
fcntl.ioctl(tap, 0x400454ca, struct.pack("16sH22x", b"smolvm0", 0x5002)) # TUNSETIFF: IFF_TAP, IFF_NO_PI, IFF_VNET_HDR
print("ready", flush=True)
time.sleep(1000)
PYTHON
      start python3 /run/hold.py
      for i in 1 2 3; do
        if [ $i = 1 ]; then create one; else smolvm start one; fi >/dev/null 2>/tmp/said || cat /tmp/said
        echo "$(tap one) $(smolvm ls --json | python3 -c 'import json, sys; print(json.load(sys.stdin)["data"][0]["state"])')"
        smolvm stop one >/dev/null
      done
      smolvm rm --all --force >/dev/null`,
      { timeoutMs: scaled(150_000) },
    );
    expect(stdout).toBe("smolvm1 running\n".repeat(3));
  });
});

test("without taps a sandbox that wants one is refused, with the command that makes them", async () => {
  const { stdout } = await fakeHost(`
    export XDG_DATA_HOME=/tmp/data
    echo "== none"; $smolvm create --backend qemu --qemu-network tap 2>&1 || echo "exit $?"
    mkdir -p /etc/smolvm; printf 'tap_user=ann\\ntaps=2\\nsubnet=10.213\\ndns=1.1.1.1\\n' >/etc/smolvm/runtime.conf
    echo "== ann's"; $smolvm create --backend qemu --qemu-network tap 2>&1 || true
    sed -i s/ann/root/ /etc/smolvm/runtime.conf
    echo "== gone"; $smolvm create --backend qemu --qemu-network tap 2>&1 || true`);
  expect(part(stdout, "none")).toMatch(
    /this network needs a tap: no taps are set up on this machine\n.*system-setup.sh --configure-runtime\nexit 1\n/,
  );
  expect(part(stdout, "ann's")).toContain("the taps belong to ann, not to root");
  expect(part(stdout, "gone")).toMatch(
    /none of the 2 taps is there\n.*\/usr\/local\/lib\/smolvm\/network up\n/,
  );
});
