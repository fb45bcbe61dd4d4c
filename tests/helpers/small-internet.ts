import { randomInt } from "node:crypto";
import { createSocket } from "node:dgram";
import { once } from "node:events";
import { type AddressInfo, createServer, type Server, type Socket } from "node:net";

/** What the world of a test knows of names: addresses of IPv4. */
export type Names = Map<string, readonly string[]>;

/**
 * Whether this process may listen on ports 80 and 443: root's may, and on Windows anybody's (SMOLVM_TEST_LOW_PORTS=0: not there either, under
 * wine as an ordinary user).
 */
export const HAS_LOW_PORTS: boolean =
  process.platform === "win32" ? process.env.SMOLVM_TEST_LOW_PORTS !== "0" : process.getuid?.() === 0;

/**
 * A loopback address that no other test file has: ports 80 and 443 of it are free. Only root may listen there.
 */
export function ownLoopback(): string {
  return `127.${randomInt(1, 255)}.${randomInt(1, 255)}.${randomInt(1, 255)}`;
}

/** A name server on the loopback, and what it was asked: nothing of a test may ask anybody else. */
export interface NameServer {
  readonly address: string;
  readonly names: Names;
  /** the names that were asked for, in order */
  readonly asked: string[];
  close(): void;
}

export async function nameServer(names: Readonly<Record<string, readonly string[]>>): Promise<NameServer> {
  const known: Names = new Map(Object.entries(names));
  const asked: string[] = [];
  const socket = createSocket("udp4");
  socket.on("message", (message, from) => {
    const labels: string[] = [];
    let at = 12;
    for (let length = message[at]!; length > 0; length = message[at]!) {
      labels.push(message.toString("latin1", at + 1, at + 1 + length));
      at += length + 1;
    }
    const name = labels.join(".").toLowerCase();
    const isA = message.readUInt16BE(at + 1) === 1;
    if (isA) asked.push(name);
    const addresses = isA ? (known.get(name) ?? []) : [];
    const head = Buffer.from(message.subarray(0, 12));
    head.writeUInt16BE(known.has(name) ? 0x8180 : 0x8183, 2);
    head.writeUInt16BE(addresses.length, 6);
    head.writeUInt32BE(0, 8);
    const answers = addresses.map((address) =>
      Buffer.from([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 0, 0, 4, ...address.split(".").map(Number)]),
    );
    socket.send(Buffer.concat([head, message.subarray(12, at + 5), ...answers]), from.port, from.address);
  });
  socket.bind(0, "127.0.0.1");
  await once(socket, "listening");
  const { port } = socket.address();
  return { address: `127.0.0.1:${port}`, names: known, asked, close: () => void socket.close() };
}

/** A server of a test, with the connections that it has had. */
export interface TestServer {
  readonly port: number;
  /** how many connections came */
  readonly count: () => number;
  /** those that are open */
  readonly open: ReadonlySet<Socket>;
  close(): void;
}

/** Listens on an address, at any port or that one. */
export async function serve(
  address: string,
  handle: (socket: Socket) => void,
  port = 0,
): Promise<TestServer> {
  let count = 0;
  const open = new Set<Socket>();
  const server: Server = createServer({ allowHalfOpen: true }, (socket) => {
    count++;
    open.add(socket);
    socket.on("error", () => {});
    socket.on("close", () => open.delete(socket));
    handle(socket);
  });
  server.listen(port, address);
  await once(server, "listening");
  return {
    port: (server.address() as AddressInfo).port,
    count: () => count,
    open,
    close: () => {
      for (const socket of open) socket.destroy();
      server.close();
    },
  };
}

/** Answers each request head with its own lines as the body, and notes the hosts that were asked for. */
export function httpEcho(hosts: string[] = []): (socket: Socket) => void {
  return (socket) => {
    let text = "";
    socket.on("data", (chunk) => {
      text += chunk.toString("latin1");
      for (let end = text.indexOf("\r\n\r\n"); end >= 0; end = text.indexOf("\r\n\r\n")) {
        const head = text.slice(0, end);
        text = text.slice(end + 4);
        hosts.push(/^host: *(.*)$/im.exec(head)?.[1] ?? "");
        socket.write(`HTTP/1.1 200 OK\r\nContent-Length: ${head.length}\r\n\r\n${head}`);
        if (/^connection: *close$/im.test(head)) socket.end();
      }
    });
    socket.on("end", () => socket.end());
  };
}
