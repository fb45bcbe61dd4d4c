import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { BACKEND_FEATURES } from "../../src/backends/features.ts";
import type { BackendName } from "../../src/config/spec.ts";
import { identify, isAlive, signalProcess } from "../../src/host/process/process-identity.ts";
import { SandboxPool, SmolVM, type VMConfig } from "../../src/index.ts";
import { BACKENDS, small } from "../helpers/backends.ts";
import { cli, cliJson } from "../helpers/cli.ts";
import { useTempHome } from "../helpers/home.ts";
import {
  type NameServer,
  nameServer,
  ownLoopback,
  serve,
  type TestServer,
} from "../helpers/small-internet.ts";
import { until } from "../helpers/wait.ts";

useTempHome();
const here = ownLoopback();
let dns: NameServer;
let server: TestServer;

beforeAll(async () => {
  dns = await nameServer({ "good.test": [here] });
  process.env.SMOLVM_RESOLVER = dns.address;
  server = await serve(here, (socket) => socket.once("data", () => socket.end("hello\n")));
});
afterEach(async () => {
  for (const vm of await SmolVM.list()) await SmolVM.from(vm).delete({ force: true });
});
afterAll(() => {
  server.close();
  dns.close();
  delete process.env.SMOLVM_RESOLVER;
});

/** Writes what a server says, whatever that is, as it comes. */
const CURL = ["curl", "-sSN", "--http0.9"];

/** What comes of a connection to a name: "hello", or that it was reset. */
async function reach(vm: SmolVM, name = "good.test"): Promise<string> {
  const { stdout, stderr, ok } = await vm.run([...CURL, "-v", "-m", "30", `http://${name}:${server.port}`]);
  if (ok) return stdout.trim();
  return stdout + (/reset by peer|Broken pipe/.test(stderr) ? "reset" : stderr);
}

/** When a supervisor is killed, counted from a connection's beginning. */
const KILLED_AFTER_MS: readonly number[] =
  process.env.SMOLVM_TEST_LONG === "1" ? Array.from({ length: 20 }, (_, turn) => turn * 3) : [0, 4, 11];

describe.each(BACKENDS)("a restricted network on %s", (backend) => {
  const restricted = (more: VMConfig = {}): VMConfig =>
    small(backend, { network: { mode: "restricted", allow: ["good.test", here] }, ...more });

  test("is there again after a restart, and after a stop and a start by somebody else", async () => {
    const vm = await SmolVM.create(restricted());
    expect(await reach(vm)).toBe("hello");
    await vm.restart();
    expect(await reach(vm)).toBe("hello");
    await vm.stop();
    await vm.start();
    expect(await reach(vm)).toBe("hello");
    expect(await reach(vm, "evil.test")).toBe("reset");
  });

  test("of one sandbox is nothing to another", async () => {
    const [one, other] = await SmolVM.createMany(2, restricted());
    await other!.network.set({});
    expect(await reach(one!)).toBe("hello");
    expect(await reach(other!)).toBe("reset");
  });

  test("of a detached sandbox is the supervisor's, and closed while that is away", async () => {
    const vm = await SmolVM.create(restricted({ lifetime: "detached", name: "far" }));
    expect(await reach(vm)).toBe("hello");
    const { pid } = (await cliJson(["supervisor", "status"])).data as { pid: number };
    // What is killed ends its connections in order, or with a reset if it had not read all.
    const slow = await serve(here, (socket) => {
      socket.write("hello");
      socket.on("end", () => socket.end()).resume();
    });
    const held = vm.run(`${CURL.join(" ")} http://good.test:${slow.port} >/tmp/got; echo over`);
    // Until it has got something the guest's connection may be one that nobody has taken up: such a one waits for the next supervisor.
    const got = async (): Promise<string> => vm.files.readText("/tmp/got").catch(() => "");
    await until("it is connected", async () => (await got()) === "hello");
    process.kill(pid, "SIGKILL");
    await until("what it carried is cut", () => slow.open.size === 0);
    expect((await held).stdout).toContain("over");
    slow.close();
    // The next command brings it back; who connects in between waits, and reaches nothing.
    const { stdout } = await cli(["exec", "far", "--", ...CURL, `http://good.test:${server.port}`]);
    expect(stdout.toString()).toBe("hello\n");
    const rules = await cli(["network", "rules", "far"]);
    expect(rules.stdout.toString()).toBe(`allow  good.test\nallow  ${here}\n`);
    expect((await cli(["network", "set", "far", "--nothing"])).code).toBe(0);
    expect(await reach(vm)).toBe("reset");
    const log = (await cli(["network", "log", "far"])).stdout.toString();
    expect(log).toMatch(/ allowed good\.test \(127\..*\) port \d+: by /);
    expect(log).toMatch(/ denied {2}good\.test port \d+: no-rule\n/);
    expect((await cli(["network", "set", "far"])).code).toBe(2);
  });

  test("of a detached sandbox is closed whenever what serves it is killed, and there again with the next command", async () => {
    const vm = await SmolVM.create(restricted({ lifetime: "detached", name: "hunted" }));
    const secret = await serve(here, (socket) => socket.end("secret"));
    await vm.network.set({ allow: [`good.test:${server.port}`, `${here}:${server.port}`] });
    // In the guest, without a pause: what is allowed and what is not, several of each at once.
    const hunt = vm.spawn(
      `for n in 1 2 3; do while :; do for port in ${secret.port} ${server.port}; do
         ${CURL.join(" ")} http://good.test:$port >>/tmp/heard 2>/dev/null; done; done & done; wait`,
      { detached: true },
    );
    await hunt.started;
    for (const afterMs of KILLED_AFTER_MS) {
      const before = server.count();
      await cliJson(["info", "hunted"]); // the next command after what was killed
      await until("what is allowed passes", () => server.count() > before);
      const { pid } = (await cliJson(["supervisor", "status"])).data as { pid: number };
      await new Promise((resolve) => setTimeout(resolve, afterMs));
      const supervisor = identify(pid);
      expect(signalProcess(supervisor, "SIGKILL")).toBe(true);
      await until("it is gone", () => !isAlive(supervisor));
      // Nobody serves it now: nothing more is dialled.
      await new Promise((resolve) => setTimeout(resolve, 50));
      const then = server.count();
      await new Promise((resolve) => setTimeout(resolve, 200));
      expect(server.count()).toBe(then);
    }
    const before = server.count();
    await cliJson(["info", "hunted"]);
    await until("it is served again", () => server.count() > before);
    expect(secret.count()).toBe(0);
    expect(await vm.files.readText("/tmp/heard")).not.toContain("s");
    secret.close();
    await vm.delete({ force: true });
  });

  test("carries no faster than its limit, each way", async () => {
    const vm = await SmolVM.create(restricted({ networkRateLimitMbps: 8 }));
    const size = 2_000_000; // 2 s
    let got = 0;
    const both = await serve(here, (socket) => {
      socket.on("data", (chunk) => {
        got += chunk.length;
      });
      socket.on("end", () => socket.end(Buffer.alloc(size)));
    });
    const startedAt = performance.now();
    const { stdout } = await vm.run([
      "python3",
      "-c",
      `import socket
s = socket.create_connection(("good.test", ${both.port})); s.sendall(b"x" * ${size}); s.shutdown(1)
n = 0
while True:
    piece = s.recv(65536)
    if not piece: break
    n += len(piece)
print(n)`,
    ]);
    const tookMs = performance.now() - startedAt;
    expect([stdout.trim(), got]).toEqual([String(size), size]);
    expect(tookMs).toBeGreaterThan(3_700); // less the bursts
    both.close();
  });

  test("is a pool's sandboxes' once they are taken", async () => {
    await using pool = new SandboxPool({ ...restricted(), size: 1 });
    const vm = await pool.take();
    expect(await reach(vm)).toBe("hello");
    expect(await reach(vm, "evil.test")).toBe("reset");
  });

  test.skipIf(!BACKEND_FEATURES[backend as BackendName].snapshots)(
    "goes with snapshots and forks, as it is when they are made",
    async () => {
      const vm = await SmolVM.create(restricted());
      expect(await reach(vm)).toBe("hello");
      await vm.network.set({ allow: ["good.test", here], deny: ["evil.test"] });
      const [fork] = await vm.fork();
      await vm.snapshot("net");
      await vm.network.set({});
      expect(await reach(vm)).toBe("reset");
      const restored = await SmolVM.restore("net");
      for (const other of [fork!, restored]) {
        expect(await other.network.rules()).toEqual({ allow: ["good.test", here], deny: ["evil.test"] });
        expect(await reach(other)).toBe("hello");
        expect(await reach(other, "evil.test")).toBe("reset");
      }
      await SmolVM.snapshots.delete("net");
    },
  );

  test("is a process's that only starts it and waits for nothing: it does not keep that process", async () => {
    const { code, stdout } = await cli([
      "run",
      "--backend",
      backend,
      "--allow",
      "good.test",
      "--allow",
      here,
      "-m",
      "256M",
      "--",
      ...CURL,
      `http://good.test:${server.port}`,
    ]);
    expect([code, stdout.toString()]).toEqual([0, "hello\n"]);
  });
});
