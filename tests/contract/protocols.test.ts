import { createHash } from "node:crypto";
import { once } from "node:events";
import { type ClientHttp2Stream, connect as connectHttp2, createServer as createHttp2 } from "node:http2";
import { type AddressInfo, createConnection, type Server, type Socket } from "node:net";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { SmolVM } from "../../src/index.ts";
import { BACKENDS, HAS_PYTHON, hasSlirp, small } from "../helpers/backends.ts";
import { useTempHome } from "../helpers/home.ts";
import { HAS_LOW_PORTS, type NameServer, nameServer, ownLoopback, serve } from "../helpers/small-internet.ts";
import { scaled } from "../helpers/speed.ts";

useTempHome();
const here = ownLoopback();

/** Carries connections to each port of the guest's loopback to a port of a server outside, with their ends: LOCAL HOST PORT... */
const RELAY = `
import asyncio, sys
async def copy(reader, writer):
    while piece := await reader.read(65536):
        writer.write(piece)
        await writer.drain()
    writer.write_eof()
def carry(host, port):
    async def one(reader, writer):
        try:
            there = await asyncio.open_connection(host, port)
            await asyncio.gather(copy(reader, there[1]), copy(there[0], writer))
        except OSError: pass
        finally: writer.close()
    return one
async def main():
    words = iter(sys.argv[1:])
    for local, host, port in zip(words, words, words):
        await asyncio.start_server(carry(host, int(port)), "127.0.0.1", int(local), backlog=500)
    print("listening", flush=True)
    await asyncio.Event().wait()
asyncio.run(main())
`;

/** Speaks WebSocket with a name on port 80: the handshake, then one masked frame, whose text comes back. */
const WEBSOCKET = `
import socket, sys
s = socket.create_connection((sys.argv[1], 80), 20)
s.sendall(b"GET /chat HTTP/1.1\\r\\nHost: %s\\r\\nUpgrade: websocket\\r\\nConnection: Upgrade\\r\\nSec-WebSocket-Version: 13\\r\\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\\r\\n\\r\\n" % sys.argv[1].encode())
got = b""
while b"\\r\\n\\r\\n" not in got: got += s.recv(1000)
print(got.split(b"\\r\\n")[0].decode())
s.sendall(b"\\x81\\x85\\x01\\x02\\x03\\x04" + bytes(c ^ k for c, k in zip(b"hello", b"\\x01\\x02\\x03\\x04\\x01")))
print(s.recv(100)[2:].decode())
`;

/** RFC 6455: agrees, and sends back each frame's content. */
function webSocketEcho(socket: Socket): void {
  let bytes: Buffer = Buffer.alloc(0);
  let agreed = false;
  socket.on("end", () => socket.end());
  socket.on("data", (chunk) => {
    bytes = Buffer.concat([bytes, chunk as Buffer]);
    if (!agreed) {
      const end = bytes.indexOf("\r\n\r\n");
      if (end < 0) return;
      const key = /^sec-websocket-key: *(\S+)/im.exec(bytes.toString("latin1", 0, end))?.[1] ?? "";
      const accept = createHash("sha1").update(`${key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest("base64");
      socket.write(
        `HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${accept}\r\n\r\n`,
      );
      bytes = bytes.subarray(end + 4);
      agreed = true;
    }
    for (let frame = readFrame(bytes); frame !== undefined; frame = readFrame(bytes)) {
      bytes = bytes.subarray(frame.length);
      const { data } = frame;
      const size = data.length < 126 ? [data.length] : [127, 0, 0, 0, 0, ...lengthBytes(data.length)];
      socket.write(Buffer.concat([Buffer.from([frame.first, ...size]), data]));
      if ((frame.first & 15) === 8) socket.end();
    }
  });
}

function lengthBytes(length: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(length);
  return bytes;
}

/** The first masked frame, if it is whole. */
function readFrame(bytes: Buffer): { first: number; data: Buffer; length: number } | undefined {
  if (bytes.length < 2) return undefined;
  const short = bytes[1]! & 127;
  const extra = short === 127 ? 8 : short === 126 ? 2 : 0;
  if (bytes.length < 6 + extra) return undefined;
  const size = extra === 8 ? bytes.readUInt32BE(6) : extra === 2 ? bytes.readUInt16BE(2) : short;
  const begin = 6 + extra;
  if (bytes.length < begin + size) return undefined;
  const mask = bytes.subarray(begin - 4, begin);
  const data = Buffer.from(bytes.subarray(begin, begin + size).map((byte, at) => byte ^ mask[at % 4]!));
  return { first: bytes[0]!, data, length: begin + size };
}

/**
 * Each mode, with the same servers of the host's: with a restricted network the guest's own program reaches them through the door, else they are
 * brought to the guest. This host reaches them by an exposed port of the guest's, so everything passes the guest in both directions.
 */
const MODES = BACKENDS.flatMap((backend) => [
  { mode: "off", backend },
  ...(hasSlirp(backend) ? [{ mode: "open", backend }] : []),
  { mode: "restricted", backend },
]);

describe.each(MODES)(
  "with a network that is $mode, on $backend, there and back through the guest",
  ({ mode, backend }) => {
    let vm: SmolVM;
    let dns: NameServer | undefined;
    const closing: (() => void)[] = [];
    /** this host's ports that lead by way of the guest to the servers */
    const ports: Record<string, number> = {};

    beforeAll(async () => {
      if (mode === "restricted" && !HAS_PYTHON) return; // nothing of it is run
      dns = await nameServer({ "good.test": [here] });
      process.env.SMOLVM_RESOLVER = dns.address;
      const http2 = createHttp2();
      http2.on("stream", (stream) => {
        stream.respond({ ":status": 200 });
        stream.pipe(stream);
      });
      http2.listen(0, here);
      await once(http2, "listening");
      closing.push(() => http2.close());
      const waiting: Socket[] = [];
      const servers: Record<string, number> = {
        http2: ((http2 as unknown as Server).address() as AddressInfo).port,
      };
      const handlers: Record<string, (socket: Socket) => void> = {
        webSocket: webSocketEcho,
        // the client's end comes first
        endsSecond: (socket) => {
          let got = 0;
          socket.on("data", (chunk) => {
            got += chunk.length;
          });
          socket.on("end", () => socket.end(`${got} bytes`));
        },
        // the server's end comes first, and it goes on reading
        endsFirst: (socket) => {
          let got = 0;
          socket.end("first");
          socket.on("data", (chunk) => {
            got += chunk.length;
          });
          socket.on("end", () => received.push(got));
        },
        // nobody gets an answer before all are there
        many: (socket) => {
          waiting.push(socket);
          socket.on("end", () => socket.end());
          if (waiting.length === MANY) for (const one of waiting) one.write("all are here");
        },
      };
      for (const [name, handler] of Object.entries(handlers)) {
        const server = await serve(here, handler);
        servers[name] = server.port;
        closing.push(() => server.close());
      }
      const network =
        mode === "restricted"
          ? { mode: "restricted" as const, allow: ["good.test", here] }
          : (mode as "off" | "open");
      vm = await SmolVM.create(small(backend, { network }));
      const named = Object.entries(servers).map(([name, port], index) => ({
        name,
        port,
        guest: 8100 + index,
      }));
      if (mode === "restricted") {
        const words = named.flatMap(({ guest, port }) => [`${guest}`, "good.test", `${port}`]);
        const relay = vm.spawn(["python3", "-c", RELAY, ...words]);
        for await (const _line of relay.stdout) break;
      } else for (const { guest, port } of named) await vm.ports.bring(guest, { host: here, port });
      for (const { name, guest } of named) ports[name] = (await vm.ports.expose(guest)).hostPort;
    });
    afterAll(async () => {
      await vm?.delete({ force: true });
      for (const close of closing) close();
      dns?.close();
      delete process.env.SMOLVM_RESOLVER;
    });

    const MANY = 200;
    const received: number[] = [];
    const all = async (socket: Socket): Promise<string> => {
      const chunks: Buffer[] = [];
      socket.on("data", (chunk: Buffer) => chunks.push(chunk)); // `for await` would end both directions, on Node 22
      await once(socket, "end");
      return Buffer.concat(chunks).toString();
    };

    test("HTTP/2 carries many requests of one connection at once", async () => {
      const session = connectHttp2(`http://127.0.0.1:${ports.http2}`);
      const answers = await Promise.all(
        Array.from({ length: 20 }, async (_, index) => {
          const stream: ClientHttp2Stream = session.request({ ":method": "POST", ":path": `/${index}` });
          const body = Buffer.alloc(100_000, String.fromCharCode(97 + index));
          stream.end(body);
          const chunks: Buffer[] = [];
          for await (const chunk of stream) chunks.push(chunk as Buffer);
          return Buffer.concat(chunks).equals(body);
        }),
      );
      session.close();
      expect(answers).toEqual(new Array(20).fill(true));
    });

    test("WebSocket carries short and long messages", async () => {
      const socket = new WebSocket(`ws://127.0.0.1:${ports.webSocket}`);
      const heard: string[] = [];
      await new Promise<void>((resolve, reject) => {
        socket.onerror = () => reject(new Error("the connection failed"));
        socket.onopen = () => {
          for (const text of ["hello", "x".repeat(1_000), "y".repeat(200_000)]) socket.send(text);
        };
        socket.onmessage = ({ data }) => {
          heard.push(String(data));
          if (heard.length === 3) socket.close();
        };
        socket.onclose = () => resolve();
      });
      expect(heard.map((text) => `${text.length} ${text[0]}`)).toEqual(["5 h", "1000 x", "200000 y"]);
    });

    test("each direction ends by itself, whichever is first", async () => {
      const socket = createConnection(ports.endsSecond!, "127.0.0.1");
      socket.end(Buffer.alloc(300_000));
      expect(await all(socket)).toBe("300000 bytes");
      const other = createConnection({ port: ports.endsFirst!, host: "127.0.0.1", allowHalfOpen: true });
      expect(await all(other)).toBe("first");
      other.end(Buffer.alloc(300_000));
      await expect.poll(() => received, { timeout: scaled(5_000) }).toEqual([300_000]);
    });

    test(`${MANY} connections are open at the same time`, async () => {
      const answers = await Promise.all(
        Array.from({ length: MANY }, async () => {
          const socket = createConnection(ports.many!, "127.0.0.1");
          const [first] = (await once(socket, "data")) as [Buffer];
          socket.destroy();
          return first.toString();
        }),
      );
      expect(answers).toEqual(new Array(MANY).fill("all are here"));
    });

    // In the others nobody looks at requests.
    if (mode !== "restricted") return;
    test.skipIf(!HAS_LOW_PORTS)(
      "WebSocket passes on port 80, where requests are looked at, and root alone may serve here",
      async () => {
        const server = await serve(here, webSocketEcho, 80);
        const { stdout } = await vm.run(["python3", "-c", WEBSOCKET, "good.test"], { check: true });
        expect(stdout).toBe("HTTP/1.1 101 Switching Protocols\nhello\n");
        server.close();
      },
    );
  },
);
