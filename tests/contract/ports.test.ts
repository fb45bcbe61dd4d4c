import { once } from "node:events";
import { type AddressInfo, createConnection, createServer } from "node:net";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { SmolVM, type VMConfig } from "../../src/index.ts";
import { BACKENDS, HAS_PYTHON, hasSlirp, small } from "../helpers/backends.ts";
import { cliJson } from "../helpers/cli.ts";
import { useTempHome } from "../helpers/home.ts";
import { scaled } from "../helpers/speed.ts";
import { until } from "../helpers/wait.ts";

useTempHome();

const ECHO_SERVER = `
import socketserver
class Echo(socketserver.BaseRequestHandler):
    def handle(self):
        total = b""
        while True:
            chunk = self.request.recv(65536)
            if not chunk: break
            total += chunk
        self.request.sendall(b"%d " % len(total) + total[:5])
socketserver.ThreadingTCPServer.allow_reuse_address = True
socketserver.ThreadingTCPServer.request_queue_size = 64 # of the usual five the sixth at once may be reset
server = socketserver.ThreadingTCPServer(("127.0.0.1", 7000), Echo)
print("listening", flush=True)
server.serve_forever()
`;

/** Asked "cut", it sends half an answer and resets; else it notes in /tmp/told how what it is sent ends. */
const RUDE_SERVER = `
import socket, struct, sys
server = socket.create_server(("127.0.0.1", 7001))
print("listening", flush=True)
while True:
    client, _ = server.accept()
    try:
        if client.recv(4) == b"cut\\n":
            client.sendall(b"half of it")
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        else:
            client.sendall(b"go on")
            while client.recv(65536): pass
            print("an end", file=open("/tmp/told", "a"))
    except ConnectionResetError:
        print("a reset", file=open("/tmp/told", "a"))
    client.close()
`;

describe.skipIf(!HAS_PYTHON).each(BACKENDS)("ports on %s", (backend) => {
  let vm: SmolVM;
  beforeAll(async () => {
    vm = await SmolVM.create(small(backend));
    for (const program of [ECHO_SERVER, RUDE_SERVER]) {
      const server = vm.spawn(["python3", "-c", program], { detached: true });
      const { id } = await server.started;
      for await (const { data } of vm.processes.attach(id))
        if (Buffer.from(data).includes("listening")) break;
    }
  });
  afterAll(async () => {
    await vm.delete({ force: true });
  });

  test("are reached by a connection of one's own, without a network card", async () => {
    const connection = await vm.connect(7000);
    connection.end(Buffer.alloc(300_000, "abcde"));
    const chunks: Buffer[] = [];
    for await (const chunk of connection) chunks.push(chunk as Buffer);
    expect(Buffer.concat(chunks).toString()).toBe("300000 abcde");
  });

  test("lead out to one service of the host's, without a network card, and to nothing else", async () => {
    const server = createServer({ allowHalfOpen: true }, (socket) => {
      let got = 0;
      socket.on("data", (chunk) => {
        got += chunk.length;
      });
      socket.on("end", () => socket.end(`${got} bytes`));
    });
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    const { port } = server.address() as AddressInfo;
    const client = (to: number): string =>
      `import socket\ntry:\n    s = socket.create_connection(("127.0.0.1", ${to}), 20); s.sendall(b"x" * 300000); s.shutdown(1); print(s.recv(99).decode())\nexcept OSError as e: print(type(e).__name__)`;
    const ask = async (to: number): Promise<string> =>
      (await vm.run(["python3", "-c", client(to)])).stdout.trim();
    expect(await ask(8090)).toBe("ConnectionRefusedError");
    const brought = await vm.ports.bring(8090, { port });
    expect(brought).toMatchObject({ guestPort: 8090, host: "127.0.0.1", port });
    const answers = await Promise.all(Array.from({ length: 5 }, () => ask(8090)));
    expect(answers).toEqual(new Array(5).fill("300000 bytes"));
    await expect(vm.ports.bring(8090, { port })).rejects.toMatchObject({ code: "PORT_IN_USE" });
    await expect(vm.ports.bring(7000, { port })).rejects.toMatchObject({ code: "PORT_IN_USE" }); // the echo server's
    await expect(vm.ports.bring(0, { port })).rejects.toMatchObject({ code: "CONFIG_INVALID" });
    brought.close();
    expect(await ask(8090)).toBe("ConnectionRefusedError");
    const again = await vm.ports.bring(8090, { port });
    server.close();
    await once(server, "close");
    expect(await ask(8090)).toMatch(/ConnectionResetError|OSError|BrokenPipeError/);
    again.close();
  });

  test("a sandbox that was made with one has it whenever it runs, and one that is detached has the supervisor's", async () => {
    const server = createServer((socket) => socket.end("the model"));
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    const { port } = server.address() as AddressInfo;
    const ask =
      "import socket, time\nfor turn in range(100):\n    try: print(socket.create_connection(('127.0.0.1', 8090), 20).recv(99).decode()); break\n    except OSError as e: time.sleep(0.2)";
    for (const lifetime of ["owner", "detached"] as const) {
      const one = await SmolVM.create(small(backend, { bring: [{ guestPort: 8090, port }], lifetime }));
      try {
        const answer = async (): Promise<string> =>
          (await one.run(["python3", "-c", ask], { timeoutMs: scaled(60_000) })).stdout;
        expect(await answer()).toBe("the model\n");
        expect((await one.info()).brought).toEqual([{ guestPort: 8090, host: "127.0.0.1", port }]);
        await one.stop();
        await one.start();
        expect(await answer()).toBe("the model\n");
        if (lifetime === "owner") continue;
        // Whoever asked for it is gone, and so is the one who served it.
        const supervisor = async (): Promise<number> =>
          ((await cliJson(["supervisor", "status"])).data as { pid: number }).pid;
        const pid = await supervisor();
        process.kill(pid, "SIGKILL");
        await cliJson(["info", one.name]);
        expect(await answer()).toBe("the model\n");
        expect(await supervisor()).not.toBe(pid);
      } finally {
        await one.delete({ force: true });
      }
    }
    server.close();
  });

  test("are exposed on the host's loopback, for many connections at once", async () => {
    const exposed = await vm.ports.expose(7000);
    expect(exposed.url).toBe(`http://127.0.0.1:${exposed.hostPort}`);
    const answers = await Promise.all(
      Array.from({ length: 8 }, async (_, i) => {
        const socket = createConnection(exposed.hostPort, "127.0.0.1");
        socket.end("x".repeat(i + 1));
        const chunks: Buffer[] = [];
        for await (const chunk of socket) chunks.push(chunk as Buffer);
        return Buffer.concat(chunks).toString();
      }),
    );
    expect(answers.map((answer) => answer.split(" ")[0])).toEqual(["1", "2", "3", "4", "5", "6", "7", "8"]);
    await exposed.close();
    const refused = createConnection(exposed.hostPort, "127.0.0.1");
    const [error] = await once(refused, "error");
    expect(error).toMatchObject({ code: "ECONNREFUSED" });
  });

  test("that are reset are reset at the other end: connections, exposed and published ones", async () => {
    const exposed = await vm.ports.expose(7001);
    const published = await vm.ports.publish(7001);
    const ways = [
      ["CONNECTION_RESET", () => vm.connect(7001)],
      ["ECONNRESET", async () => createConnection(exposed.hostPort, "127.0.0.1")],
      ["ECONNRESET", async () => createConnection(published.hostPort!, "127.0.0.1")],
    ] as const;
    for (const [code, dial] of ways) {
      const cut = await dial();
      const failed = once(cut, "error");
      let got = "";
      cut.on("data", (chunk) => {
        got += chunk;
      });
      cut.write("cut\n");
      expect((await failed)[0]).toMatchObject({ code });
      expect(got).toBe("half of it");

      const cutting = await dial();
      cutting.on("error", () => {}).write("what comes");
      await once(cutting, "data");
      if ("resetAndDestroy" in cutting) cutting.resetAndDestroy();
      else cutting.destroy(new Error("given up"));
    }
    const told = async () => (await vm.run("cat /tmp/told")).stdout;
    await until("the server has seen all of them end", async () => (await told()).split("\n").length > 3);
    expect(await told()).toBe("a reset\n".repeat(3));
    await exposed.close();
    await vm.ports.unpublish();
  });

  test("where nothing listens refuse the connection, and a taken host port is named", async () => {
    await expect(vm.connect(7999)).rejects.toMatchObject({ code: "CONNECTION_REFUSED" });
    const taken = createServer().listen(0, "127.0.0.1");
    await once(taken, "listening");
    const { port } = taken.address() as AddressInfo;
    await expect(vm.ports.expose(7000, { hostPort: port })).rejects.toMatchObject({ code: "PORT_IN_USE" });
    taken.close();
  });
});

describe.each(BACKENDS)("the network on %s", (backend) => {
  test("is absent when it is off", async () => {
    await using vm = await SmolVM.create(small(backend, { network: "off" }));
    expect((await vm.run("ls /sys/class/net")).stdout).toBe("lo\n");
  });
});

// Taps and what they reach: tests/integration/network/taps.test.ts.
describe.each(BACKENDS)("a network by taps on %s", (backend) => {
  test("is refused before anything is made where none are set up, with the command that does", async () => {
    const wanted: VMConfig = { network: "open", ...(hasSlirp(backend) ? { qemuNetwork: "tap" } : {}) };
    await expect(SmolVM.create(small(backend, wanted))).rejects.toMatchObject({
      code: "NETWORK_SETUP_MISSING",
      hint: expect.stringContaining("system-setup.sh --configure-runtime"),
    });
    expect(await SmolVM.list()).toEqual([]);
  });
});

describe.each(BACKENDS.filter(hasSlirp))("the network on %s", (backend) => {
  test("that is open gives an address and a name server, and unfiltered all that this host reaches", async () => {
    const server = createServer((socket) => socket.end("from the host\n")).listen(0, "127.0.0.1");
    await once(server, "listening");
    const { port } = server.address() as AddressInfo;
    await using vm = await SmolVM.create(small(backend, { network: { mode: "open", unfiltered: true } }));
    const info = await vm.info();
    expect(info.network).toMatchObject({ mode: "open", way: "unfiltered" });
    expect(info.network.note).toMatch(/what this host reaches/);
    const { stdout } = await vm.run("ip -4 -o addr show eth0; ip route; cat /etc/resolv.conf");
    expect(stdout).toContain("10.0.2.15/24");
    expect(stdout).toContain("default via 10.0.2.2");
    expect(stdout).toContain("nameserver 10.0.2.3");
    const read = await vm.run(["curl", "-sS", "--http0.9", `http://10.0.2.2:${port}`]);
    expect(read.stdout).toBe("from the host\n");
    server.close();
  });
});
