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
    vm = await SmolVM.create(small(backend));
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
});
