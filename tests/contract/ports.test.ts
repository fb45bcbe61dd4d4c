import { once } from "node:events";
import { type AddressInfo, createServer } from "node:net";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { SmolVM, type VMConfig } from "../../src/index.ts";
import { BACKENDS, hasSlirp, small } from "../helpers/backends.ts";
import { useTempHome } from "../helpers/home.ts";

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
server = socketserver.ThreadingTCPServer(("127.0.0.1", 7000), Echo)
print("listening", flush=True)
server.serve_forever()
`;

describe.each(BACKENDS)("ports on %s", (backend) => {
  let vm: SmolVM;
  beforeAll(async () => {
    vm = await SmolVM.create(small(backend));
    const server = vm.spawn(["python3", "-c", ECHO_SERVER], { detached: true });
    const { id } = await server.started;
    for await (const { data } of vm.processes.attach(id)) if (Buffer.from(data).includes("listening")) break;
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

  test("are exposed on the host's loopback, for many connections at once", async () => {
    const exposed = await vm.ports.expose(7000);
    expect(exposed.url).toBe(`http://127.0.0.1:${exposed.hostPort}`);
    const { createConnection } = await import("node:net");
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
  test("that is open gives an address, a name server and outgoing connections", async () => {
    const server = createServer((socket) => socket.end("from the host\n")).listen(0, "127.0.0.1");
    await once(server, "listening");
    const { port } = server.address() as AddressInfo;
    await using vm = await SmolVM.create(small(backend, { network: "open" }));
    const info = await vm.info();
    expect(info.network.note).toMatch(/host/); // what it reaches beyond the internet is said, until policies close it
    const { stdout } = await vm.run("ip -4 -o addr show eth0; ip route; cat /etc/resolv.conf");
    expect(stdout).toContain("10.0.2.15/24");
    expect(stdout).toContain("default via 10.0.2.2");
    expect(stdout).toContain("nameserver 10.0.2.3");
    const read = await vm.run(
      `exec 3<>/dev/tcp/10.0.2.2/${port}; cat <&3`.replace(/^/, "bash -c '").concat("'"),
    );
    expect(read.stdout).toBe("from the host\n");
    server.close();
  });
});
