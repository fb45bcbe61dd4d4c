import { cpSync, existsSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { identify, isAlive, signalProcess } from "../../../src/host/process/process-identity.ts";
import { runProgram } from "../../../src/host/process/run.ts";
import { type NetworkEvent, SmolVM } from "../../../src/index.ts";
import { Deadline } from "../../../src/util/deadline.ts";
import { BACKENDS, small } from "../../helpers/backends.ts";
import { CHECKOUT, CLI, cli, cliJson } from "../../helpers/cli.ts";
import { freePort } from "../../helpers/free-port.ts";
import { supervisorsOf, useTempHome } from "../../helpers/home.ts";
import { CAN_HAVE_MANAGER, type OwnManager, startOwnManager } from "../../helpers/own-manager.ts";
import { type NameServer, nameServer, ownLoopback, serve } from "../../helpers/small-internet.ts";
import { scaled } from "../../helpers/speed.ts";
import { until } from "../../helpers/wait.ts";

const TURNS = process.env.SMOLVM_TEST_LONG === "1" ? 10 : 1;

// With `smolvm supervisor unit` under a real systemd manager. Nothing is told to that manager but what docs/supervisor.md says.
describe.skipIf(!CAN_HAVE_MANAGER)("the systemd unit", () => {
  const home = useTempHome();
  const here = ownLoopback();
  let manager: OwnManager;
  let dns: NameServer;

  beforeAll(async () => {
    dns = await nameServer({ "good.test": [here] });
    process.env.SMOLVM_RESOLVER = dns.address;
    manager = await startOwnManager(join(home, "config"));
    mkdirSync(manager.units, { recursive: true });
    writeFileSync(unitFile(), (await cli(["supervisor", "unit"])).stdout);
    await manager.systemctl("enable", "--now", "smolvm");
    await until("it runs", async () => (await mainPid()) !== 0);
  });
  afterAll(async () => {
    await cli(["pool", "rm", "p"]); // of a test that failed
    await cli(["rm", "--all", "-f"]);
    await manager.systemctl("disable", "--now", "smolvm");
    await manager.stop();
    dns.close();
    delete process.env.SMOLVM_RESOLVER;
  });

  const unitFile = (): string => join(manager.units, "smolvm.service");
  const mainPid = async (): Promise<number> =>
    Number(await manager.systemctl("show", "--property=MainPID", "--value", "smolvm"));
  const status = async () => (await cliJson(["supervisor", "status"])).data;

  /** Kills the unit's process; resolves when that is gone. */
  async function kill(): Promise<void> {
    const supervisor = identify(await mainPid());
    expect(signalProcess(supervisor, "SIGKILL")).toBe(true);
    await until("it is gone", () => !isAlive(supervisor));
  }

  test("has a killed supervisor back at once: connections, events, rules and ports go on, and no command is run", async () => {
    const server = await serve(here, (socket) => socket.once("data", () => socket.end("hello\n")));
    const secret = await serve(here, (socket) => socket.end("secret"));
    const port = await freePort();
    const vm = await SmolVM.create(
      small(BACKENDS[0]!, {
        name: "kept",
        lifetime: "detached",
        network: { mode: "restricted", allow: [`good.test:${server.port}`, `${here}:${server.port}`] },
        ports: [{ guestPort: 7, hostPort: port }],
      }),
    );
    const answers = `import socket
l = socket.create_server(("127.0.0.1", 7))
while True:
    c = l.accept()[0]; c.sendall(b"up"); c.close()`;
    await vm.spawn(["python3", "-c", answers], { detached: true }).started;
    // In the guest, without a pause: what is allowed, and what is not.
    const hunt = `while :; do for port in ${secret.port} ${server.port}; do
      (exec 3<>/dev/tcp/good.test/$port; echo x >&3; head -c 6 <&3 >>/tmp/heard) 2>/dev/null; done; done`;
    await vm.spawn(["bash", "-c", hunt], { detached: true }).started;
    for (let turn = 0; turn < TURNS; turn++) {
      const before = server.count();
      await until("what is allowed passes", () => server.count() > before);
      const killedAt = Date.now();
      await kill();
      const then = server.count();
      await until("it is served again", () => server.count() > then + 1);
      await until("its port is open again", async () => (await greeting(port)) === "up");
      const decided = (await kept(vm)).filter(({ at }) => at > killedAt).map(({ decision }) => decision);
      expect(new Set(decided)).toEqual(new Set(["allowed", "denied"]));
    }
    expect((await status()).pid).toBe(await mainPid());
    // Rules that are changed while it is away are those with which it begins.
    await kill();
    const [then, changedAt] = [server.count(), Date.now()];
    await vm.network.set({});
    const refused = (event: NetworkEvent): boolean => event.at > changedAt && event.port === server.port;
    await until("what was allowed is refused", async () => (await kept(vm)).some(refused));
    expect(server.count()).toBe(then);
    expect(secret.count()).toBe(0);
    await vm.delete({ force: true });
    server.close();
    secret.close();
  });

  test("leaves the sandboxes of its pools alone", async () => {
    const made = await cli([
      "pool",
      "create",
      "--name",
      "p",
      "--size",
      "1",
      "--network",
      "off",
      "--memory",
      "256M",
    ]);
    expect(made.code).toBe(0);
    const vm = await SmolVM.take("p", { lifetime: "detached" });
    const { pid } = await vm.info();
    await kill();
    await until("it is back", async () => (await mainPid()) !== 0);
    expect((await vm.run("echo alive")).stdout).toBe("alive\n");
    expect((await vm.info()).pid).toBe(pid);
    expect((await cli(["pool", "rm", "p"])).code).toBe(0);
    await vm.delete({ force: true });
  });

  test("goes on with a newer program that has taken its place, and an older one leaves a newer one there", async () => {
    await manager.systemctl("stop", "smolvm");
    // A command of the test before may have found that one was needed: it is a newer one than the first here, and goes by itself.
    await until("there is none", () => supervisorsOf(home).length === 0);
    const earlier = join(home, "earlier");
    if (!existsSync(earlier)) {
      mkdirSync(earlier);
      cpSync(join(CHECKOUT, "src"), join(earlier, "src"), { recursive: true });
      for (const name of ["native", "node_modules"]) symlinkSync(join(CHECKOUT, name), join(earlier, name));
    }
    const manifest = JSON.parse(readFileSync(join(CHECKOUT, "package.json"), "utf8"));
    const install = (version: string): void =>
      writeFileSync(join(earlier, "package.json"), JSON.stringify({ ...manifest, version }));
    install("0.0.1");
    const deadline = Deadline.of("printing the unit", { timeoutMs: scaled(60_000) });
    const argv = [CLI[0]!, join(earlier, "src/cli/bin.ts"), "supervisor", "unit"];
    writeFileSync(unitFile(), (await runProgram(argv, { deadline })).stdout);
    await manager.systemctl("daemon-reload");
    await manager.systemctl("start", "smolvm");
    await until("the old one runs", async () => (await status()).version === "0.0.1");
    install(manifest.version); // as npm does, in the same place
    // A command of the new program, to which the old supervisor makes room.
    expect((await cli(["create", "--name", "brief", "--ttl", "1h"])).code).toBe(0);
    await until("systemd has started the new one", async () => {
      const { pid, version } = await status();
      return version === manifest.version && pid !== undefined && pid === (await mainPid());
    });
    // Elsewhere is a newer one: the unit's does not come between that and its commands.
    install("0.0.1");
    await manager.systemctl("stop", "smolvm");
    expect((await cli(["ls"])).code).toBe(0); // something is to be done: one of the newer program is started
    await until("it runs", async () => (await status()).running);
    const { pid } = await status();
    await manager.systemctl("start", "smolvm");
    await until("the unit has ended", async () => (await mainPid()) === 0);
    expect(await manager.systemctl("show", "--property=Result,NRestarts", "smolvm")).toContain(
      "Result=success",
    );
    expect(await status()).toMatchObject({ pid, version: manifest.version });
  });
});

async function kept(vm: SmolVM): Promise<NetworkEvent[]> {
  const events: NetworkEvent[] = [];
  for await (const event of vm.network.events()) events.push(event);
  return events;
}

/** What a port of this machine says. */
async function greeting(port: number): Promise<string> {
  return new Promise((resolve) => {
    let got = "";
    connect(port, "127.0.0.1")
      .on("data", (data) => {
        got += data;
      })
      .on("error", () => resolve(""))
      .on("close", () => resolve(got));
  });
}
