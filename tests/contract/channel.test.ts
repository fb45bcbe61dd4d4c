import { randomBytes } from "node:crypto";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { encodeHello } from "../../src/agent/wire/hello.ts";
import { NONCE_BYTES } from "../../src/agent/wire/messages.ts";
import { SmolVM } from "../../src/index.ts";
import { BACKENDS, small } from "../helpers/backends.ts";
import { useTempHome } from "../helpers/home.ts";

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
    expect(forSessions).toBeLessThan(Math.max(10, forRuns));
  });
});
