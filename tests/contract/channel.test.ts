import { execFile, spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { encodeHello } from "../../src/agent/wire/hello.ts";
import { NONCE_BYTES } from "../../src/agent/wire/messages.ts";
import { SmolVM } from "../../src/index.ts";
import { BACKENDS, small } from "../helpers/backends.ts";
import { useTempHome } from "../helpers/home.ts";
import { until } from "../helpers/wait.ts";

useTempHome();

/** Says the hello that a host would say, by every way that a process of the guest could think of. */
const INTRUDER = `
import glob, os, socket, sys
hello = bytes.fromhex(sys.argv[1])
answers = []
for cid in (1, 2, 3):
    try:
        with socket.socket(socket.AF_VSOCK, socket.SOCK_STREAM) as s:
            s.settimeout(5)
            s.connect((cid, 1024))
            s.sendall(hello)
            if s.recv(1): answers.append("vsock %d" % cid)
    except OSError:
        pass
for port in glob.glob("/dev/vport*"):
    try:
        os.close(os.open(port, os.O_RDWR | os.O_NONBLOCK))
        answers.append(port)
    except OSError:
        pass
print("answers:", answers)
`;

const run = promisify(execFile);
const HELPERS = join(import.meta.dirname, "../helpers");

const status = (pid: number): string => readFileSync(`/proc/${pid}/status`, "latin1");

/** As many hosts as have room at once are served. */
async function everyPort(of: SmolVM): Promise<void> {
  const meet = (n: number): string =>
    `touch /tmp/${n}; until [ -e /tmp/1 -a -e /tmp/2 -a -e /tmp/3 ]; do sleep 0.05; done; echo ${n}; sleep 0.5; rm -f /tmp/${n}`;
  const hosts = [1, 2, 3].map((n) =>
    run(process.execPath, [join(HELPERS, "child-run.ts"), of.name, meet(n)]),
  );
  expect((await Promise.all(hosts)).map(({ stdout }) => stdout)).toEqual(["1\n", "2\n", "3\n"]);
}

describe.each(BACKENDS)("the agent's channel on %s", (backend) => {
  let vm: SmolVM;
  beforeAll(async () => {
    vm = await SmolVM.create(small(backend, { lifetime: "detached" })); // so that handles of it come and go
  });
  afterAll(async () => {
    await vm.delete({ force: true });
  });

  test("is open to the host only: to the guest's own users, the agent, which is root, does not speak", async () => {
    const hello = encodeHello(randomBytes(NONCE_BYTES), "intruder").toString("hex");
    const said = await vm.run(["python3", "-c", INTRUDER, hello], { user: "nobody" });
    expect(said).toMatchObject({ stdout: "answers: []\n", exitCode: 0 });
    expect((await vm.run("echo still here")).stdout).toBe("still here\n");
  });

  test("is anybody's, here and in a copy, whatever waits in it for a host that does not read, and when that has been killed", async () => {
    const host = spawn(process.execPath, [join(HELPERS, "child-flood.ts"), vm.name], { stdio: "ignore" });
    const copies: SmolVM[] = [];
    try {
      await until("the host has stopped", () => /^State:\tT/m.test(status(host.pid!)));
      // In the third of the looks all that they can print has been printed.
      for (let quiet = 0; quiet < 3; )
        quiet = (await vm.run("grep -l '(yes) R' /proc/[0-9]*/stat")).stdout === "" ? quiet + 1 : 0;
      copies.push(...(await vm.fork()));
      for (const copy of copies) await everyPort(copy);
      await everyPort(vm);
    } finally {
      host.kill("SIGKILL");
      await once(host, "exit");
      for (const copy of copies) await copy.delete({ force: true });
    }
    await everyPort(vm);
  });

  test("is ready for who speaks at once, before the guest's kernel has opened the port", async () => {
    /** The agent's CPU time, in ticks of 10 ms (proc(5), fields 14 and 15). */
    const agentTicks = async (): Promise<number> => {
      const [utime, stime] = (await vm.run("cut -d' ' -f14,15 /proc/1/stat")).stdout.split(" ");
      return Number(utime) + Number(stime);
    };
    const SESSIONS = 40;
    const whenIdle = (): Promise<unknown> => new Promise((resolve) => setTimeout(resolve, 30));
    const before = await agentTicks();
    for (let i = 0; i < SESSIONS; i++) {
      await whenIdle();
      await vm.run("true");
    }
    const between = await agentTicks();
    for (let i = 0; i < SESSIONS; i++) {
      await whenIdle();
      await using other = await SmolVM.get(vm.name);
      await other.run("true");
    }
    // An agent that tried again and again, with its priority, kept that kernel from opening the port for 9 ms and more each time.
    const forRuns = between - before;
    const forSessions = (await agentTicks()) - between - forRuns;
    expect(forSessions).toBeLessThan(Math.max(20, forRuns));
  });
});
