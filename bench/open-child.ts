/** Measures an open network, in a network namespace in which there is an internet (rows/open.ts); prints the samples. */
import { spawn } from "node:child_process";
import { SmolVM } from "../src/index.ts";
import { rawAgent } from "./machine.ts";
import type { NetworkSamples } from "./rows/network-rows.ts";
import type { MeasuredWay } from "./rows/open.ts";
import { CLIENT, CONNECTIONS, SERVER } from "./rows/restricted.ts";
import type { Setting } from "./setting.ts";
import { checkOutput, interleave, type Samples, timed } from "./stats.ts";

const HOST = "93.184.216.34";
const PORT = 8000;

/** Answers one byte with one, "g" with as much as is wanted, and "p" and more with how much that was. */
const INTERNET_SERVER = `
import socket, sys, threading
size = int(sys.argv[1])
block = b"0123456789abcdef" * 4096
def serve(client):
    asked = client.recv(1)
    if asked == b"x": client.sendall(b"y")
    elif asked == b"g":
        for _ in range(size // len(block)): client.sendall(block)
    else:
        got = 0
        while True:
            piece = len(client.recv(1 << 20))
            if piece == 0: break
            got += piece
        client.sendall(b"%d" % got)
    client.close()
server = socket.create_server(("", ${PORT}), backlog=100)
print("ready", flush=True)
while True:
    threading.Thread(target=serve, args=(server.accept()[0],), daemon=True).start()
`;

const DOWN = `
import socket
s = socket.create_connection(("${HOST}", ${PORT})); s.sendall(b"g"); got = 0
while True:
    piece = len(s.recv(1 << 20))
    if piece == 0: break
    got += piece
print(got)
`;
const UP = `
import socket
s = socket.create_connection(("${HOST}", ${PORT})); s.sendall(b"p"); s.sendfile(open("/root/blob", "rb")); s.shutdown(1); print(s.recv(99).decode())
`;

const { target, n = 5, mib, way } = JSON.parse(process.argv[2]!) as Setting & { readonly way: MeasuredWay };
const size = mib * 2 ** 20;
const block = Buffer.alloc(64 * 1024, "0123456789abcdef");
const server = spawn(
  "ip",
  ["netns", "exec", "bench-internet", "python3", "-c", INTERNET_SERVER, String(size)],
  {
    stdio: ["ignore", "pipe", "inherit"],
  },
);
await new Promise((resolve) => server.stdout.once("data", resolve));
try {
  const card = way === "tap" ? ({ qemuNetwork: "tap" } as const) : {};
  await using vm = await SmolVM.create({ ...target, ...card, memSizeMib: 1024, network: "open" });
  const { network } = await vm.info();
  const had = network.tap === undefined ? network.way : "tap";
  if (had !== way) throw new Error(`the network is open by ${had}, not by ${way}: ${network.note}`);
  const raw = await rawAgent(vm, 4);
  await vm.run(`head -c ${size} /dev/zero > /root/blob`);
  const own = vm.spawn(["python3", "-c", SERVER]);
  for await (const _line of own.stdout) break;
  const python = async (code: string, ...args: string[]): Promise<string> =>
    (await vm.run(["python3", "-c", code, ...args], { check: true })).stdout;
  const rates = (ours: () => Promise<void>, floor: () => Promise<void>): Promise<Samples> => {
    const rate = (act: () => Promise<void>) => async () => (mib * 1000) / (await timed(act));
    return interleave(n, { ours: rate(ours), floor: rate(floor) });
  };
  const down = await rates(
    async () => checkOutput(await python(DOWN), `${size}\n`),
    async () => {
      const { text } = await raw.run("cat | wc -c", { stdin: block, times: size / block.length });
      checkOutput(text, `${size}\n`);
    },
  );
  const up = await rates(
    async () => checkOutput(await python(UP), `${size}\n`),
    async () => {
      const { bytes } = await raw.run("cat /root/blob", { keep: false });
      checkOutput(String(bytes), String(size));
    },
  );
  const connect = await interleave(n, {
    ours: async () => Number(await python(CLIENT, HOST, String(PORT), String(CONNECTIONS))),
    floor: async () => Number(await python(CLIENT, "127.0.0.1", "7777", String(CONNECTIONS))),
  });
  raw.close();
  await own.kill("SIGKILL");
  const samples: NetworkSamples = { down, up, connect };
  console.log(JSON.stringify(samples));
} finally {
  server.kill("SIGKILL");
}
