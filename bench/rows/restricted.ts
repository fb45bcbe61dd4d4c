import { once } from "node:events";
import { type AddressInfo, createServer } from "node:net";
import { SmolVM } from "../../src/index.ts";
import { nameServer } from "../../tests/helpers/small-internet.ts";
import { rawAgent } from "../machine.ts";
import type { Setting } from "../setting.ts";
import { checkOutput, interleave, type Measurement, type Samples, timed } from "../stats.ts";
import { networkRows } from "./network-rows.ts";

/** Connections of one sample of their time. */
export const CONNECTIONS = 20;

/** How long a connection, a byte and its answer take, in ms: the median of some. */
export const CLIENT = `
import socket, sys, time
host, port, count = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
times = []
for _ in range(count):
    start = time.perf_counter()
    s = socket.create_connection((host, port))
    s.sendall(b"x")
    assert s.recv(1) == b"y"
    times.append(time.perf_counter() - start)
    s.close()
print(sorted(times)[count // 2] * 1000)
`;
export const SERVER = `
import socket
l = socket.create_server(("127.0.0.1", 7777))
print("listening", flush=True)
while True:
    c = l.accept()[0]
    c.recv(1); c.sendall(b"y"); c.close()
`;

/** Row 15: connections that leave a restricted network, against the raw channel, and against the guest's own loopback. */
export async function restricted({ target, n = 5, mib }: Setting): Promise<Measurement[]> {
  const size = mib * 2 ** 20;
  const block = Buffer.alloc(64 * 1024, "0123456789abcdef");
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    socket.on("error", () => {});
    let got = 0;
    let asked = "";
    socket.on("data", (chunk) => {
      if (asked === "") asked = String.fromCharCode(chunk[0]!);
      got += chunk.length;
      if (asked === "x") socket.end("y");
      if (asked === "g") socket.end(Buffer.alloc(size, block));
    });
    socket.on("end", () => socket.end(`${got}`));
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  const host = "bench.test";
  const names = await nameServer({ [host]: ["127.0.0.1"] });
  process.env.SMOLVM_RESOLVER = names.address;
  try {
    await using vm = await SmolVM.create({
      ...target,
      memSizeMib: 1024,
      network: { mode: "restricted", allow: [host, "127.0.0.1"] },
    });
    const raw = await rawAgent(vm, 4);
    await vm.run("head -c $1 /dev/zero > /root/blob".replace("$1", String(size)));
    const own = vm.spawn(["python3", "-c", SERVER]);
    for await (const _line of own.stdout) break;
    const rates = (ours: () => Promise<void>, floor: () => Promise<void>): Promise<Samples> => {
      const rate = (act: () => Promise<void>) => async () => (mib * 1000) / (await timed(act));
      return interleave(n, { ours: rate(ours), floor: rate(floor) });
    };
    const down = await rates(
      async () => {
        const { stdout } = await vm.run([
          "bash",
          "-c",
          `exec 3<>/dev/tcp/${host}/${port}; printf g >&3; cat <&3 | wc -c`,
        ]);
        checkOutput(stdout, `${size}\n`);
      },
      async () => {
        const { text } = await raw.run("cat | wc -c", { stdin: block, times: size / block.length });
        checkOutput(text, `${size}\n`);
      },
    );
    const up = await rates(
      async () => {
        const code = `import socket; s = socket.create_connection(("${host}", ${port})); s.sendfile(open("/root/blob", "rb")); s.shutdown(1); print(s.recv(99).decode())`;
        checkOutput((await vm.run(["python3", "-c", code])).stdout, `${size}\n`);
      },
      async () => {
        const { bytes } = await raw.run("cat /root/blob", { keep: false });
        checkOutput(String(bytes), String(size));
      },
    );
    const connect = async (to: string, at: number): Promise<number> =>
      Number(
        (await vm.run(["python3", "-c", CLIENT, to, String(at), String(CONNECTIONS)], { check: true }))
          .stdout,
      );
    const times = await interleave(n, {
      ours: () => connect(host, port),
      floor: () => connect("127.0.0.1", 7777),
    });
    raw.close();
    await own.kill("SIGKILL");
    return networkRows("15", "restricted", mib, { down, up, connect: times });
  } finally {
    delete process.env.SMOLVM_RESOLVER;
    names.close();
    server.close();
  }
}
