import { networkInterfaces } from "node:os";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { sandboxFields } from "../../src/cli/commands/info.ts";
import { type NetworkEvent, SmolVM } from "../../src/index.ts";
import { BACKENDS, small } from "../helpers/backends.ts";
import { useTempHome } from "../helpers/home.ts";
import {
  HAS_LOW_PORTS,
  httpEcho,
  type NameServer,
  nameServer,
  ownLoopback,
  serve,
  type TestServer,
} from "../helpers/small-internet.ts";
import { scaled } from "../helpers/speed.ts";
import { until } from "../helpers/wait.ts";

useTempHome();
const here = ownLoopback();
/** an address of this machine that its network knows, if it has one */
const lan = Object.values(networkInterfaces())
  .flatMap((addresses) => addresses ?? [])
  .find(({ family, internal }) => family === "IPv4" && !internal)?.address;
const allow = ["good.test", "private.test", "gone.test", here];

/** Sends what it is given, ends its direction, and prints all that comes until the end, or how it was cut. */
const CLIENT = `
import socket, sys
host, port, text = sys.argv[1], int(sys.argv[2]), sys.argv[3].encode().decode("unicode_escape").encode("latin1")
try:
    s = socket.create_connection((host, port), timeout=20)
    s.sendall(text)
    s.shutdown(socket.SHUT_WR)
    got = b""
    while True:
        piece = s.recv(65536)
        if not piece: break
        got += piece
    print("end", got.decode("latin1"))
except (ConnectionResetError, BrokenPipeError): print("reset")
except socket.timeout: print("silence")
except OSError as e: print("reset" if e.errno == 107 else "error " + e.strerror)  # ENOTCONN: reset before the shutdown
`;

describe.each(BACKENDS)("a restricted network on %s", (backend) => {
  let vm: SmolVM;
  let dns: NameServer;
  let echo: TestServer;
  const hosts: string[] = [];

  /** What comes of an HTTP request by curl, or of what is just read: all of the answer, or how it was cut. */
  const get = async (url: string, ...options: string[]): Promise<string> => {
    const curl = ["curl", "-sSvi", "-m", "20", "--http0.9", ...options, url];
    const { stdout, stderr, ok } = await vm.run(curl);
    if (ok) return stdout;
    return stdout + (/reset by peer|Broken pipe/.test(stderr) ? "reset" : stderr);
  };
  const client = async (host: string, port: number, text: string): Promise<string> =>
    (await vm.run(["python3", "-c", CLIENT, host, String(port), text])).stdout.trim();
  const events = async (): Promise<NetworkEvent[]> => {
    const all: NetworkEvent[] = [];
    for await (const event of vm.network.events()) all.push(event);
    return all;
  };
  const last = async (): Promise<NetworkEvent> => (await events()).at(-1)!;

  beforeAll(async () => {
    dns = await nameServer({ "good.test": [here], "private.test": ["10.9.8.7"], "gone.test": [] });
    process.env.SMOLVM_RESOLVER = dns.address;
    echo = await serve(here, httpEcho(hosts));
    vm = await SmolVM.create(small(backend, { network: { mode: "restricted", allow } }));
  });
  afterAll(async () => {
    await vm?.delete({ force: true });
    echo.close();
    dns.close();
    delete process.env.SMOLVM_RESOLVER;
  });

  test("has no card, and says so", async () => {
    expect((await vm.info()).network).toMatchObject({ mode: "restricted", tap: undefined });
    expect((await vm.run("ls /sys/class/net")).stdout.trim()).toBe("lo");
    expect(await vm.network.rules()).toEqual({ allow, deny: [] });
  });

  test("lets programs that know nothing reach what the rules name, by its name", async () => {
    const { stdout } = await vm.run(`curl -sS --max-time 20 http://good.test:${echo.port}/x`);
    expect(stdout).toContain(`GET /x HTTP/1.1\r\nHost: good.test:${echo.port}`);
    expect(await last()).toMatchObject({
      decision: "allowed",
      name: "good.test",
      address: here,
      port: echo.port,
    });
  });

  // The guest has 127.0.0.0/8 for itself, so that this takes another address of this machine.
  test.skipIf(lan === undefined)("and by its address, if a rule is for that", async () => {
    const server = await serve(lan!, httpEcho());
    await vm.network.set({ allow: [...allow, `${lan}/24`.replace(/\d+\/24/, "0/24")] });
    expect(await get(`http://${lan}:${server.port}/a`)).toBe("reset");
    expect(await last()).toMatchObject({ decision: "denied", address: lan, reason: "own-address" });
    await vm.network.set({ allow: [...allow, lan!] });
    expect(await get(`http://${lan}:${server.port}/a`)).toContain("GET /a");
    expect(await last()).toMatchObject({ decision: "allowed", address: lan, rule: lan });
    await vm.network.set({ allow });
    server.close();
  });

  test("resets the rest, asks nobody for its name, and says why", async () => {
    const before = dns.asked.length;
    expect(await get(`http://evil.test:${echo.port}`)).toBe("reset");
    expect(await last()).toMatchObject({ decision: "denied", name: "evil.test", reason: "no-rule" });
    expect(await get(`http://sub.good.test:${echo.port}`)).toBe("reset");
    expect(dns.asked).toHaveLength(before);
    expect(await get(`http://127.0.0.2:${echo.port}`)).toMatch(/connect to server|refused|reset/); // the guest's own
    expect(await get("http://1.2.3.4:443")).toBe("reset");
    expect(await last()).toMatchObject({ decision: "denied", address: "1.2.3.4", reason: "no-rule" });
  });

  test("looks at every address that a name has", async () => {
    expect(await get(`http://private.test:${echo.port}`)).toBe("reset");
    expect(await last()).toMatchObject({
      decision: "denied",
      name: "private.test",
      address: "10.9.8.7",
      reason: "special-purpose",
    });
    expect(await get(`http://gone.test:${echo.port}`)).toBe("reset");
    expect(await last()).toMatchObject({ decision: "failed", name: "gone.test", reason: "unresolved" });
    expect(await get("http://good.test:1")).toBe("reset");
    expect(await last()).toMatchObject({ decision: "failed", name: "good.test", reason: "unreachable" });
  });

  test("passes ends on, each direction by itself, and resets", async () => {
    const slow = await serve(here, (socket) => {
      socket.resume();
      socket.on("end", () => socket.end("behind your end"));
    });
    expect(await client("good.test", slow.port, "hello")).toBe("end behind your end");
    slow.close();
    const rude = await serve(here, (socket) => {
      socket.once("data", () => socket.resetAndDestroy());
    });
    expect(await client("good.test", rude.port, "hello")).toBe("reset");
    rude.close();
    const seen = await serve(here, (socket) => {
      socket.resume();
      socket.write("hello");
    });
    await vm.run(`python3 -c 'import socket,struct,time
s=socket.create_connection(("good.test",${seen.port}));s.recv(5);s.setsockopt(socket.SOL_SOCKET,socket.SO_LINGER,struct.pack("ii",1,0));s.close()'`);
    await until("the connection is gone", () => seen.open.size === 0);
    expect(seen.count()).toBe(1);
    seen.close();
  });

  test("carries much, and what a server says first", async () => {
    const size = 8 << 20;
    const big = await serve(here, (socket) => socket.end(Buffer.alloc(size, "x")));
    const { stdout } = await vm.run(`curl -sS --http0.9 http://good.test:${big.port} | wc -c`);
    expect(Number(stdout)).toBe(size);
    big.close();
  });

  test.skipIf(!HAS_LOW_PORTS)(
    "on port 80, which only root may serve here, looks at every request",
    async () => {
      const web = await serve(here, httpEcho(hosts), 80);
      hosts.length = 0;
      const get = (host: string): string => `GET / HTTP/1.1\\r\\nHost: ${host}\\r\\n\\r\\n`;
      expect(await client("good.test", 80, get("good.test") + get("Good.Test."))).toContain("200 OK");
      expect(await client("good.test", 80, get("evil.test"))).toBe("reset");
      expect(await last()).toMatchObject({ decision: "closed", reason: "other-host" });
      expect(await client("good.test", 80, get("good.test") + get("evil.test"))).not.toContain("evil");
      expect(await client("good.test", 80, "SSH-2.0-x\\r\\n\\r\\n")).toBe("reset");
      expect(await last()).toMatchObject({ decision: "closed", reason: "not-http" });
      expect(hosts.filter((host) => host.includes("evil"))).toEqual([]);
      web.close();
    },
  );

  test.skipIf(!HAS_LOW_PORTS)(
    "on port 443, which only root may serve here, wants TLS that names the host",
    async () => {
      const tls = await serve(here, (socket) => socket.on("data", () => socket.end("it came")), 443);
      // Of an address's URL curl tells no name.
      const hello = (name: string): Promise<string> =>
        get(`https://${name}`, "--insecure", "--connect-to", "::good.test:443");
      await hello("good.test");
      expect(await last()).toMatchObject({ decision: "allowed", name: "good.test", port: 443 });
      expect(tls.count()).toBe(1);
      await hello("evil.test");
      expect(await last()).toMatchObject({ decision: "closed", reason: "other-server-name" });
      await hello("1.2.3.4");
      expect(await last()).toMatchObject({ decision: "closed", reason: "no-server-name" });
      expect(await get("http://good.test:443")).toBe("reset");
      expect(await last()).toMatchObject({ decision: "closed", reason: "not-tls" });
      tls.close();
    },
  );

  test("changes its rules while it runs: at once for what is new, within a second for what is there", async () => {
    // Also where it is a second attempt.
    await vm.network.set({ allow });
    await vm.run("rm -f /tmp/enough");
    const held = await serve(here, (socket) => void socket.write("hello"));
    // It waits as long as it takes on a slow machine: that the host cuts it is what is looked at.
    const running = get(`http://good.test:${held.port}`, "-m", "0");
    await until("it is connected", () => held.open.size === 1);
    // Who connects all the time has the broker read the new rules before it looks at the old connections.
    const busy = vm.run(
      `timeout 300 sh -c 'while [ ! -e /tmp/enough ]; do curl -s -m 5 http://good.test:${echo.port} >/dev/null; done'; true`,
    );
    await until(
      "it connects",
      async () => (await events()).filter(({ port }) => port === echo.port).length > 10,
    );
    const changedAt = performance.now();
    await vm.network.set({ allow: [here] });
    await until("the old connection is cut", () => held.open.size === 0);
    const tookMs = performance.now() - changedAt;
    await vm.files.write("/tmp/enough", "");
    await busy;
    expect(await get(`http://good.test:${held.port}`)).toBe("reset");
    expect(await running).toBe("helloreset");
    expect(tookMs).toBeLessThan(scaled(1_000));
    // Those that were just being made may have been cut with it.
    const cut = (await events()).filter(
      ({ reason, port }) => reason === "rules-changed" && port === held.port,
    );
    expect(cut).toMatchObject([{ decision: "closed", name: "good.test" }]);
    expect(await vm.network.rules()).toEqual({ allow: [here], deny: [] });
    await expect(vm.network.set({ mode: "open" } as object)).rejects.toMatchObject({ code: "NOT_SUPPORTED" });
    await expect(vm.network.set({ allow: ["http://x"] })).rejects.toMatchObject({ code: "CONFIG_INVALID" });
    await vm.network.set({ allow: ["good.test", here], deny: [`good.test:${held.port}`] });
    expect(await get(`http://good.test:${held.port}`)).toBe("reset");
    expect(await get(`http://good.test:${echo.port}`)).toContain("200");
    held.close();
  });
});

test("a network of another kind has neither rules to change nor a log", async () => {
  const vm = await SmolVM.define({ network: "off", lifetime: "detached" });
  await expect(vm.network.set({ allow: [] })).rejects.toMatchObject({ code: "NOT_SUPPORTED" });
  await expect(vm.network.rules()).rejects.toMatchObject({ code: "NOT_SUPPORTED" });
  await expect(vm.network.events().next()).rejects.toMatchObject({ code: "NOT_SUPPORTED" });
  await vm.delete();
});

test("rules and the limit are in what is told of a sandbox", async () => {
  const many = Array.from({ length: 10 }, (_, at) => `${at}.test`);
  const vm = await SmolVM.define({
    network: { mode: "restricted", allow: many, deny: ["*:25"] },
    networkRateLimitMbps: 10,
  });
  const info = await vm.info();
  expect(info.network).toMatchObject({ rules: { allow: many, deny: ["*:25"] }, rateLimitMbps: 10 });
  const text = sandboxFields(info);
  expect(text).toMatch(/^allowed: +0.test, .*7.test and 2 more \(smolvm network rules\)$/m);
  expect(text).toMatch(/^denied: +\*:25$/m);
  expect(text).toMatch(/^rate limit: +10 Mbit\/s in each direction$/m);
  await vm.network.set({});
  expect(sandboxFields(await vm.info())).toMatch(/^allowed: +nothing$/m);
  await vm.delete();
});
