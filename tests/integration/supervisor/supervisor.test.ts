import { spawn } from "node:child_process";
import { cpSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { connect } from "node:net";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { SmolVM } from "../../../src/index.ts";
import { cli, cliJson, createBox, RunningCli } from "../../helpers/cli.ts";
import { freePort } from "../../helpers/free-port.ts";
import { processesNaming, supervisorsOf, useTempHome } from "../../helpers/home.ts";
import { scaled } from "../../helpers/speed.ts";
import { until } from "../../helpers/wait.ts";

const ROOT = join(import.meta.dirname, "../../..");
const home = useTempHome();
const dataDir = join(home, "data/smolvm");

afterAll(async () => {
  await cli(["rm", "--all", "-f"]);
  await until("the supervisor, with nothing to do, has ended", () => supervisors().length === 0);
});

const supervisors = (): number[] => supervisorsOf(home);

/** What the guest answers on a port: connected to again until it does. */
async function answerOf(port: number, text: string): Promise<string> {
  return until(`an answer on port ${port}`, async () => {
    const answer = await new Promise<string>((resolve) => {
      const socket = connect(port, "127.0.0.1", () => socket.write(text));
      let got = "";
      socket.on("data", (data) => {
        got += data;
      });
      socket.on("error", () => resolve("")).on("close", () => resolve(got));
    });
    return answer;
  });
}

/** In the guest: answers each connection with what it said, in capitals. */
const SHOUT =
  "import socket as s; l=s.create_server(('127.0.0.1', 7))\nwhile 1: c=l.accept()[0]; c.sendall(c.recv(9).upper()); c.close()";

async function shout(name: string): Promise<void> {
  await using vm = await SmolVM.get(name);
  await vm.spawn(["python3", "-c", SHOUT], { detached: true }).started;
}

describe("ports of a detached sandbox", () => {
  let port: number;
  beforeAll(async () => {
    port = await freePort();
    await createBox("web", "-p", `${port}:7`);
    await shout("web");
  });

  test("are open when no command runs, and shown", async () => {
    expect(await answerOf(port, "hello")).toBe("HELLO");
    expect((await cliJson(["info", "web"])).data.ports).toEqual([
      { guestPort: 7, hostAddress: "127.0.0.1", hostPort: port },
    ]);
    expect(supervisors()).toHaveLength(1);
  });

  test("come back with the next command when the supervisor was killed, and only one supervisor with them", async () => {
    const [before] = supervisors();
    process.kill(before!, "SIGKILL");
    await until("it is dead", () => supervisors().length === 0);
    await Promise.all([cli(["ls"]), cli(["ls"]), cli(["ls"])]);
    expect(await answerOf(port, "again")).toBe("AGAIN");
    await until("the others have ended", () => supervisors().length === 1);
    expect(supervisors()).not.toContain(before);
  });

  test("close when it stops, and open when it starts", async () => {
    expect((await cli(["stop", "web"])).code).toBe(0);
    await expect(fetch(`http://127.0.0.1:${port}`)).rejects.toThrow();
    expect((await cliJson(["info", "web"])).data.ports).toEqual([]);
    expect((await cli(["start", "web"])).code).toBe(0);
    await shout("web");
    expect(await answerOf(port, "anew")).toBe("ANEW");
  });

  test("are added and removed while it runs; one that is taken is refused and nothing is kept of it", async () => {
    expect((await cliJson(["port", "web", "7"])).data.hostPort).toBe(port); // it has one: another is asked for by its number
    const other = String(await freePort());
    const added = await cliJson(["port", "web", "7", "--host-port", other]);
    expect(added.data).toMatchObject({ name: "web", guestPort: 7, hostAddress: "127.0.0.1" });
    expect(await answerOf(added.data.hostPort, "more")).toBe("MORE");
    expect((await cli(["port", "web"])).text).toBe(
      `127.0.0.1:${port}->7\n127.0.0.1:${added.data.hostPort}->7\n`,
    );

    const taken = createServer();
    await new Promise<void>((resolve) => taken.listen(0, "127.0.0.1", resolve));
    const busy = String((taken.address() as AddressInfo).port);
    const refused = await cliJson(["port", "web", "9", "--host-port", busy]);
    taken.close();
    expect(refused).toMatchObject({ code: 1, error: { code: "PORT_IN_USE" } });
    expect((await cliJson(["port", "web"])).data).toHaveLength(2);

    const removed = ["port", "--remove", "web", "--host-port", String(added.data.hostPort)];
    expect((await cli(removed)).code).toBe(0);
    await expect(fetch(`http://127.0.0.1:${added.data.hostPort}`)).rejects.toThrow();
    expect(await cli(removed)).toMatchObject({
      code: 2,
      stderr: expect.stringContaining("no such port is forwarded"),
    });
  });

  test("that are taken are told before the boot, and nothing is left of the sandbox", async () => {
    const run = await cli(["create", "--name", "late", "--start", "-p", `${port}:80`]);
    expect(run.code).toBe(1);
    expect(run.stderr).toContain(`error: port ${port} of 127.0.0.1 is forwarded into sandbox 'web'`);
    expect((await cliJson(["info", "late"])).error).toMatchObject({ code: "VM_NOT_FOUND" });
  });

  test("close when its machine crashes", async () => {
    process.kill((await cliJson(["info", "web"])).data.pid, "SIGKILL");
    await until("the port is closed", () =>
      fetch(`http://127.0.0.1:${port}`).then(
        () => false,
        (error) => error.cause?.code === "ECONNREFUSED",
      ),
    );
    expect((await cliJson(["info", "web"])).data.state).toBe("error");
  });
});

describe("a time to live", () => {
  // Long enough for a boot and a few commands.
  const seconds = (n: number): string => `${scaled(n)}s`;

  test("removes a detached sandbox while nobody looks, whatever runs in it", async () => {
    await createBox("brief", "--ttl", seconds(15));
    const { expiresAt, pid } = (await cliJson(["info", "brief"])).data;
    await until("its time is over", () => Date.now() > Date.parse(expiresAt), scaled(60_000));
    await until("its machine has ended", () =>
      processesNaming(home).every((line) => Number(line.split(" ")[0]) !== pid),
    );
    // The record goes last.
    await until("it is gone", async () => (await cliJson(["info", "brief"])).error?.code === "VM_NOT_FOUND");
  });

  test("is seen to by the next command where there was no supervisor", async () => {
    const created = await cli(["create", "--name", "forgotten", "--ttl", seconds(6)]);
    expect(created.code).toBe(0);
    for (const pid of supervisors()) process.kill(pid, "SIGKILL");
    const { expiresAt } = (await cliJson(["info", "forgotten"], { env: { SMOLVM_SUPERVISOR: "off" } })).data;
    await until("its time is over", () => Date.now() > Date.parse(expiresAt), scaled(60_000));
    expect((await cliJson(["ls"], { env: { SMOLVM_SUPERVISOR: "off" } })).data).not.toContainEqual(
      expect.objectContaining({ name: "forgotten" }),
    );
  });

  test("removes a sandbox of this process too", async () => {
    await using vm = await SmolVM.create({ network: "off", memSizeMib: 256, ttlMs: scaled(12_000) });
    await until("it is removed", async () => (await SmolVM.list()).every(({ name }) => name !== vm.name));
    await expect(vm.info()).rejects.toMatchObject({ code: "VM_NOT_FOUND" });
  });

  test("that makes no sense is refused", async () => {
    expect(() => new SmolVM({ ttlMs: 10 })).toThrow(/ttlMs/);
    expect((await cli(["create", "--ttl", "soon"])).stderr).toContain("--ttl: 'soon' is not a time");
  });
});

/** The same program in a directory of its own, with that manifest; what starts its command line. */
function ownProgram(name: string, manifest: object): (...args: string[]) => RunningCli {
  const directory = join(home, name);
  mkdirSync(directory);
  cpSync(join(ROOT, "src"), join(directory, "src"), { recursive: true });
  for (const part of ["native", "node_modules"]) symlinkSync(join(ROOT, part), join(directory, part));
  writeFileSync(join(directory, "package.json"), JSON.stringify(manifest));
  return (...args) =>
    new RunningCli(
      spawn(process.execPath, [join(directory, "src/cli/bin.ts"), ...args], {
        stdio: ["ignore", "pipe", "pipe"],
      }),
    );
}

describe("the supervisor", () => {
  test("is replaced by a newer program's; what goes through the old one is finished first", async () => {
    await cli(["supervisor", "stop"]);
    const manifest = JSON.parse(readFileSync(join(ROOT, "package.json"), "utf8"));
    const old = ownProgram("earlier", { ...manifest, version: "0.0.1" });

    const port = await freePort();
    const flags = ["--network", "off", "--memory", "256M", "--start", "-q", "-p", `${port}:7`];
    expect((await old("create", "--name", "old", ...flags).ended).text).toBe("old\n");
    await shout("old");
    expect(await answerOf(port, "before")).toBe("BEFORE");
    const status = JSON.parse((await old("supervisor", "status", "--json").ended).text).data;
    expect(status).toMatchObject({ running: true, version: "0.0.1" });

    // One more than there are session ports, so the last goes through the supervisor.
    const wait = "echo up; while [ ! -e /tmp/go ]; do sleep 0.2; done; echo done";
    const commands: RunningCli[] = [];
    for (let n = 0; n < 5; n++) {
      const command = old("exec", "old", "--", "sh", "-c", wait);
      await command.printed("up"); // before the next: so the first has a port, and the last has none
      commands.push(command);
    }
    const [first, ...others] = commands;
    const added = await cliJson(["port", "old", "7"]); // finds a supervisor that is older than itself
    expect(added.ok).toBe(true);
    expect((await cliJson(["supervisor", "status"])).data.version).toBe(manifest.version);
    expect(supervisors()).toHaveLength(2);
    first!.child.kill("SIGKILL"); // gives the new one a way into the sandbox
    expect(await answerOf(port, "after")).toBe("AFTER");
    expect(supervisors()).toHaveLength(2);

    await cli(["exec", "old", "--", "touch", "/tmp/go"]);
    for (const command of others) expect((await command.ended).text).toBe("up\ndone\n");
    await until("the old one has ended", () => supervisors().length === 1);
    expect((await cli(["rm", "-f", "old"])).code).toBe(0);
  });

  test("that ends before it answers is started three times, and then that is told", async () => {
    await cli(["supervisor", "stop"]);
    const broken = ownProgram("broken", JSON.parse(readFileSync(join(ROOT, "package.json"), "utf8")));
    const program = join(home, "broken/src/supervisor/main.ts");
    writeFileSync(program, 'console.log("broken");\nprocess.exit(1);\n');
    const { stderr } = await broken("create", "--name", "none", "--ttl", "1h").ended;
    expect(stderr).toContain("smolvm's supervisor does not start");
    const log = /cat '(.*)'/.exec(stderr)?.[1];
    // One more where the command found that something needs one.
    const starts = readFileSync(log!, "utf8").split("broken\n").length - 1;
    expect([3, 4]).toContain(starts);
    expect((await cliJson(["info", "none"])).error).toMatchObject({ code: "VM_NOT_FOUND" });
  });

  test("that is forbidden is told, and what does not need it works", async () => {
    const env = { SMOLVM_SUPERVISOR: "off" };
    const refused = await cliJson(["create", "--name", "no", "--ttl", "1h"], { env });
    expect(refused).toMatchObject({
      code: 1,
      error: { code: "NOT_SUPPORTED", hint: expect.stringContaining("unset") },
    });
    expect((await cliJson(["info", "no"])).error).toMatchObject({ code: "VM_NOT_FOUND" });
    expect((await cli(["run", "--network", "off", "--", "echo", "fine"], { env })).text).toBe("fine\n");
  });

  test("that was killed leaves a socket, which gc removes", async () => {
    await cli(["rm", "--all", "-f"]); // with ports of a running sandbox another one would be needed
    expect((await cli(["create", "--name", "gone", "--ttl", "1h"])).code).toBe(0);
    const [pid] = supervisors();
    process.kill(pid!, "SIGKILL");
    const env = { SMOLVM_SUPERVISOR: "off" };
    await cli(["rm", "gone"], { env });
    expect((await cli(["gc"], { env })).text).toMatch(/^socket: .*\/supervisor$/m);
    expect((await cli(["gc"], { env })).text).not.toContain("socket");
  });

  test("writes what it does to a log", () => {
    expect(readFileSync(join(dataDir, "supervisor.log"), "utf8")).toMatch(/ version \S+ begins\n/);
  });
});
