import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { createServer, type Server, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { AgentSession } from "../../src/agent/session/session.ts";
import { encodeFrame, encodeWindow, FrameDecoder, FrameType, OPEN_MORE } from "../../src/agent/wire/frame.ts";
import { MAGIC } from "../../src/agent/wire/hello.ts";
import {
  type FileInfo,
  Goodbye,
  Hello,
  HelloAck,
  Open,
  Opened,
  Result,
  TreeRecord,
} from "../../src/agent/wire/messages.ts";
import { encodeRecord } from "../../src/agent/wire/records.ts";
import { type Draft, decode, encode } from "../../src/agent/wire/schema.ts";
import { Deadline } from "../../src/util/deadline.ts";

/** A request that reached the fake guest, with what the host sent on its stream. */
export class FakeStream {
  readonly connection: FakeConnection;
  readonly id: number;
  readonly open: Open;
  received: Buffer[] = [];
  /** frames other than DATA after the OPEN, by type */
  readonly frames: { type: number; flags: number; payload: Buffer }[] = [];
  onFrame: (type: number) => void = () => {};
  onData: () => void = () => {};

  constructor(connection: FakeConnection, id: number, open: Open) {
    this.connection = connection;
    this.id = id;
    this.open = open;
  }

  opened(message: Draft<Opened> = {}): this {
    this.connection.frame(this.id, FrameType.OPENED, 0, encode(Opened, message));
    return this;
  }

  /** DATA in frames of at most 65,536 bytes. */
  data(channel: number, bytes: Uint8Array | string): this {
    const all = Buffer.from(bytes);
    for (let at = 0; at < all.length; at += 65_536) {
      this.connection.frame(this.id, FrameType.DATA, channel, all.subarray(at, at + 65_536));
    }
    return this;
  }

  end(channel: number): this {
    this.connection.frame(this.id, FrameType.END, channel);
    return this;
  }

  result(message: Draft<Result> = {}): this {
    this.connection.frame(this.id, FrameType.RESULT, 0, encode(Result, message));
    return this;
  }

  window(credit: number): this {
    this.connection.send(encodeWindow(this.id, 0, credit));
    return this;
  }

  /** Tree records as DATA on channel 1. */
  records(...records: Draft<TreeRecord>[]): this {
    return this.data(1, Buffer.concat(records.map((record) => encodeRecord(encode(TreeRecord, record)))));
  }

  saw(type: number): boolean {
    return this.frames.some((frame) => frame.type === type);
  }

  get bytesReceived(): number {
    return this.received.reduce((sum, piece) => sum + piece.length, 0);
  }
}

/** One host's connection to the fake guest. */
export class FakeConnection {
  readonly socket: Socket;
  readonly hellos: Hello[] = [];
  readonly streams: Map<number, FakeStream> = new Map();
  /** session frames of the host, such as PING and PONG */
  readonly sessionFrames: { type: number; payload: Buffer }[] = [];
  readonly #guest: FakeGuest;
  readonly #opens = new Map<number, Buffer[]>();
  #decoder: FrameDecoder | undefined;
  #searched: Buffer = Buffer.alloc(0);

  constructor(guest: FakeGuest, socket: Socket) {
    this.#guest = guest;
    this.socket = socket;
    socket.on("error", () => {}); // hosts may hang up at any time
    socket.on("data", (chunk) => {
      try {
        this.#receive(chunk as Buffer);
      } catch {
        socket.destroy(); // not what the real agent does, but enough for a host that broke a rule
      }
    });
  }

  send(bytes: Uint8Array): void {
    if (this.socket.writable) this.socket.write(bytes);
  }

  frame(stream: number, type: number, flags = 0, payload?: Uint8Array): void {
    this.send(encodeFrame(stream, type, flags, payload));
  }

  hello(message: Draft<HelloAck>): void {
    this.send(Buffer.concat([MAGIC, encodeFrame(0, FrameType.HELLO_ACK, 0, encode(HelloAck, message))]));
  }

  goodbye(reason: string): void {
    this.frame(0, FrameType.GOODBYE, 0, encode(Goodbye, { reason }));
  }

  #receive(chunk: Buffer): void {
    if (this.#decoder !== undefined) {
      this.#decoder.push(chunk);
      return;
    }
    this.#searched = Buffer.concat([this.#searched, chunk]);
    for (;;) {
      const at = this.#searched.indexOf(MAGIC);
      if (at < 0) return;
      const rest = this.#searched.subarray(at + MAGIC.length);
      if (rest.length < 12 || rest.length < 12 + rest.readUInt32LE(0)) return;
      const length = rest.readUInt32LE(0);
      const hello = decode(Hello, rest.subarray(12, 12 + length));
      this.hellos.push(hello);
      this.#searched = rest.subarray(12 + length);
      if (!this.#guest.behaviour.onHello(this, hello)) continue; // keeps searching
      this.#decoder = new FrameDecoder("host", {
        frame: (stream, type, flags, payload) => this.#frame(stream, type, flags, Buffer.from(payload)),
        data: (stream, _channel, piece) => {
          const fake = this.streams.get(stream);
          fake?.received.push(Buffer.from(piece));
          fake?.onData();
        },
      });
      this.#decoder.push(this.#searched);
      return;
    }
  }

  #frame(stream: number, type: number, flags: number, payload: Buffer): void {
    if (stream === 0) {
      this.sessionFrames.push({ type, payload });
      if (type === FrameType.PING && this.#guest.behaviour.answersPings)
        this.frame(0, FrameType.PONG, 0, payload);
      return;
    }
    if (type !== FrameType.OPEN) {
      const fake = this.streams.get(stream);
      fake?.frames.push({ type, flags, payload });
      fake?.onFrame(type);
      return;
    }
    const pieces = [...(this.#opens.get(stream) ?? []), payload];
    this.#opens.set(stream, pieces);
    if (flags === OPEN_MORE) return;
    const fake = new FakeStream(this, stream, decode(Open, Buffer.concat(pieces)));
    this.streams.set(stream, fake);
    this.#guest.behaviour.onOpen(fake);
  }
}

/** How a fake guest answers. */
export interface Behaviour {
  /** returns whether the session has begun (else the guest goes on searching for a hello) */
  onHello(connection: FakeConnection, hello: Hello): boolean;
  onOpen(stream: FakeStream): void;
  answersPings: boolean;
}

const HONEST: Behaviour = {
  onHello(connection, hello) {
    connection.hello({ version: 1, nonce: hello.nonce, agent: "fake", bootId: "fake-boot" });
    return true;
  },
  onOpen(stream) {
    stream.result();
  },
  answersPings: true,
};

/** A guest that speaks the real protocol over a real Unix socket, and lies as told. */
export class FakeGuest implements AsyncDisposable {
  readonly directory: string;
  readonly socketPath: string;
  readonly behaviour: Behaviour;
  readonly connections: FakeConnection[] = [];
  readonly #server: Server;

  private constructor(behaviour: Partial<Behaviour>) {
    this.behaviour = { ...HONEST, ...behaviour };
    this.directory = mkdtempSync(join(tmpdir(), "smolvm-fake-"));
    this.socketPath = join(this.directory, "guest.sock");
    this.#server = createServer((socket) => this.connections.push(new FakeConnection(this, socket)));
  }

  static async start(behaviour: Partial<Behaviour> = {}): Promise<FakeGuest> {
    const guest = new FakeGuest(behaviour);
    await guest.listen();
    return guest;
  }

  /** A guest that does not listen yet. */
  static prepare(behaviour: Partial<Behaviour> = {}): FakeGuest {
    return new FakeGuest(behaviour);
  }

  async listen(): Promise<void> {
    this.#server.listen(this.socketPath);
    await once(this.#server, "listening");
  }

  /** Nobody listens any more; connections stay. */
  stop(): void {
    this.#server.close();
  }

  connect(timeoutMs = 10_000): Promise<AgentSession> {
    const deadline = Deadline.of("connecting to the fake guest", { timeoutMs });
    return AgentSession.connect({ kind: "unix", path: this.socketPath }, { deadline });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const { socket } of this.connections) socket.destroy();
    if (this.#server.listening) {
      this.#server.close();
      await once(this.#server, "close");
    }
    rmSync(this.directory, { recursive: true, force: true });
  }
}

/** A tree's entry as a record. */
export function entry(path: string | Uint8Array, info: Draft<FileInfo> = {}): Draft<TreeRecord> {
  return { entry: { type: 1, mode: 0o644, mtimeS: 1_700_000_000, ...info, path: Buffer.from(path) } };
}

/** A file of a tree, with its content. */
export function file(path: string, content = "content"): Draft<TreeRecord>[] {
  return [entry(path), ...(content === "" ? [] : [{ data: Buffer.from(content) }]), { end: true }];
}

export const ROOT: Draft<TreeRecord> = entry("", { type: 2, mode: 0o755 });
export const directory = (path: string): Draft<TreeRecord> => entry(path, { type: 2, mode: 0o755 });
export const symlink = (path: string, target: string): Draft<TreeRecord> =>
  entry(path, { type: 3, target: Buffer.from(target) });
