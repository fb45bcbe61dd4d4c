import { expect, test } from "vitest";
import { BACKENDS } from "../../helpers/backends.ts";
import { fakeHost, part } from "../../helpers/fake-host.ts";
import { INTERNET, TAPS } from "../../helpers/internet.ts";
import { scaled } from "../../helpers/speed.ts";

const LONG = process.env.SMOLVM_TEST_LONG === "1";
const MBPS = 16;
const BYTES = 4_000_000;
const RATE_S = BYTES / (MBPS * 125_000);
/** What that takes at least to the guest, and from it, where a second of the rate may come at once. */
const LEAST_S: readonly number[] = [RATE_S - 0.3, RATE_S - 1.1];

/** Sends to who asks for it, or takes what comes: as much as it is told, and then says how long that took for it. */
const SERVER = `
import socket, threading, time
server = socket.create_server(("", 8000), backlog=50)
print("ready", flush=True)
def serve(client):
    way, size = client.recv(100).decode().split()
    size, begin = int(size), time.monotonic()
    if way == "give": client.sendall(b"x" * size)
    else:
        while size > 0: size -= len(client.recv(1 << 20)) or size
        client.sendall(b"%.2f" % (time.monotonic() - begin))
    client.close()
while True:
    threading.Thread(target=serve, args=(server.accept()[0],), daemon=True).start()
`;

/** In the guest: both ways, one after the other; prints the seconds that each took. */
const CLIENT = `
import socket, sys, time
size = int(sys.argv[1])
def measure(way):
    s = socket.create_connection(("93.184.216.34", 8000), 10)
    s.settimeout(60)
    s.sendall(f"{way} {size}".encode())
    time.sleep(0.1)
    begin = time.monotonic()
    if way == "give":
        left = size
        while left > 0:
            got = len(s.recv(1 << 20))
            assert got > 0
            left -= got
    else:
        s.sendall(b"x" * size)
        s.recv(100)
    return time.monotonic() - begin
print("%.2f %.2f" % (measure("give"), measure("take")))
`;

test.each(BACKENDS)(
  "an open network on %s carries what it may and no more, in each direction, also from a template",
  async (backend) => {
    const tap = backend === "firecracker";
    const { stdout, stderr } = await fakeHost(
      `tap_user=root
    ${process.env.SMOLVM_LAB === undefined ? "" : "device /dev/kvm 10 232 660 root:47111"}
    ${tap ? TAPS : ""}
    ${INTERNET}
    rm -f /etc/resolv.conf; echo nameserver 1.1.1.1 >/etc/resolv.conf
    cat >/run/server.py <<'PYTHON'${SERVER}PYTHON
    cat >/run/client.py <<'PYTHON'${CLIENT}PYTHON
    start ip netns exec internet python3 /run/server.py
    smolvm() { XDG_DATA_HOME=/tmp/data $smolvm "$@" </dev/null; }
    smolvm image warm --quiet --memory 256M --backend ${backend} 2>/dev/null
    smolvm create --quiet --start --memory 256M --backend ${backend} --network-rate-limit ${MBPS} --name one >/dev/null
    smolvm cp /run/client.py one:/root/client.py >/dev/null
    echo "== from"; smolvm info --json one | python3 -c 'import json, sys; print(json.load(sys.stdin)["data"]["startedFrom"])'
    echo "== template"; smolvm exec one -- python3 /root/client.py ${BYTES}
    ${LONG ? `smolvm stop one >/dev/null; smolvm start one >/dev/null; echo "== booted"; smolvm exec one -- python3 /root/client.py ${BYTES}` : ""}
    smolvm create --quiet --start --memory 256M --backend ${backend} --name free >/dev/null
    smolvm cp /run/client.py free:/root/client.py >/dev/null
    echo "== free"; smolvm exec free -- python3 /root/client.py ${BYTES}
    smolvm rm --all --force >/dev/null`,
      { timeoutMs: scaled(150_000) },
    );
    expect(stderr).toBe("");
    const times = (name: string): number[] => part(stdout, name).trim().split(" ").map(Number);
    expect(part(stdout, "from")).toBe("template\n");
    console.log(`${MBPS} Mbit/s, ${BYTES} bytes: ${stdout.replaceAll("\n", " ")}`);
    for (const name of ["template", ...(LONG ? ["booted"] : [])])
      times(name).forEach((seconds, way) => {
        expect(seconds).toBeGreaterThan(LEAST_S[way]!);
        expect(seconds).toBeLessThan(RATE_S * 3);
      });
    times("free").forEach((seconds, way) => void expect(seconds).toBeLessThan(LEAST_S[way]!));
  },
);

test.runIf(BACKENDS.includes("qemu"))("a limit that cannot be kept is refused, and not ignored", async () => {
  const { stdout } = await fakeHost(
    `tap_user=root
    ${TAPS}
    export XDG_DATA_HOME=/tmp/data
    create() { $smolvm create --backend qemu --network-rate-limit 5 "$@" 2>&1 || true; }
    echo "== tap"; create --qemu-network tap
    echo "== off"; create --network off
    echo "== unfiltered"; create --unfiltered
    rm -f /usr/bin/pasta*
    echo "== slirp"; create --qemu-network slirp
    echo "== door"; create --name far; $smolvm info --json far | python3 -c 'import json, sys; print(json.load(sys.stdin)["data"]["network"]["mode"])'`,
  );
  expect(part(stdout, "tap")).toContain("cannot be kept by qemu on a tap");
  expect(part(stdout, "off")).toContain("there is none");
  expect(part(stdout, "unfiltered")).toContain("cannot be kept by an unfiltered network");
  expect(part(stdout, "slirp")).toContain(
    "--network-rate-limit cannot be kept by this sandbox's network here",
  );
  expect(part(stdout, "door")).toMatch(/far\n.*open\n$/s);
});
