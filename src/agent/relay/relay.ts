import type { Socket } from "node:net";
import { Outbox } from "../session/outbox.ts";
import type { AgentSession } from "../session/session.ts";
import { encodeFrame, FrameDecoder, FrameType, MAX_OPEN, OPEN_MORE } from "../wire/frame.ts";
import { MAGIC } from "../wire/hello.ts";
import { Goodbye, HelloAck, Open } from "../wire/messages.ts";
import { decode, encode } from "../wire/schema.ts";
import { violation } from "../wire/violation.ts";
import { type HostHello, readHostHello } from "./host-hello.ts";
import { RelayedStream, type RelayOutput } from "./relayed-stream.ts";

/** A client that leaves more than this unread of frames that need no credit is cut off, in bytes. */
const MAX_CONTROL_BACKLOG = 4 * 1024 * 1024;
/** How long a client may take to say hello, in ms. */
const HELLO_MS = 5_000;
/** A request for a signal is a few numbers: shorter than this, in bytes. */
const MAX_SIGNAL = 128;
/** A client's unfinished requests, at most: more than a session may have streams it has no use for. */
const MAX_UNFINISHED = 512;

/**
 * Carries one client's session with an agent over a session that many share: the client speaks the agent's protocol as if
 * it had the channel for itself. Its hello is answered here; its streams get other numbers; when it goes, they are stopped.
 * Resolves when the client is gone.
 *
 * @param socket paused
 */
export async function relay(socket: Socket, session: AgentSession): Promise<void> {
  socket.on("error", () => {}); // its close tells
  const closed = new Promise<void>((resolve) => socket.once("close", () => resolve()));
  try {
    const hello = await awaitHello(socket);
    new RelayedClient(socket, session, hello);
  } catch {
    socket.destroy(); // it broke the protocol, or hung up
  }
  await closed;
}

/** Whether a request is to signal a process: a short one, so no other is looked into. */
function isSignal(open: Buffer): boolean {
  return open.length <= MAX_SIGNAL && decode(Open, open).processSignal !== undefined;
}

async function awaitHello(socket: Socket): Promise<HostHello> {
  let bytes: Buffer = Buffer.alloc(0);
  for (;;) {
    bytes = Buffer.concat([bytes, await nextChunk(socket)]);
    const hello = readHostHello(bytes);
    if (hello !== undefined) return hello;
  }
}

/** The next piece that comes; the socket is paused again within its event, so that none is missed. */
function nextChunk(socket: Socket): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const gone = (): void => reject(new Error("the client hung up"));
    socket.setTimeout(HELLO_MS, () => socket.destroy());
    socket.once("close", gone);
    socket.once("data", (chunk) => {
      socket.pause();
      socket.setTimeout(0);
      socket.off("close", gone);
      resolve(chunk as Buffer);
    });
    socket.resume();
  });
}

class RelayedClient implements RelayOutput {
  readonly #socket: Socket;
  readonly #session: AgentSession;
  readonly #outbox: Outbox;
  readonly #streams = new Map<number, RelayedStream>();
  /** requests of which parts are still to come */
  readonly #unfinished = new Map<number, Buffer[]>();
  #lastId = 0;
  /** bytes of frames without credit since the outbox was last empty */
  #controlBytes = 0;

  constructor(socket: Socket, session: AgentSession, { hello, rest }: HostHello) {
    this.#socket = socket;
    this.#session = session;
    this.#outbox = new Outbox(socket);
    const ack = encode(HelloAck, { ...session.hello, nonce: hello.nonce });
    this.#outbox.write(MAGIC);
    this.#outbox.write(encodeFrame(0, FrameType.HELLO_ACK, 0, ack));
    const decoder = new FrameDecoder("host", {
      frame: (stream, type, flags, payload) => this.#frame(stream, type, flags, payload),
      data: (stream, _channel, piece) => this.#streams.get(stream)?.passData(piece),
    });
    const receive = (chunk: Buffer): void => {
      try {
        decoder.push(chunk);
      } catch {
        socket.destroy(); // a client that breaks the protocol must not spoil the session that others use
      }
    };
    socket.once("close", () => this.#gone());
    socket.on("data", receive);
    void session.ended.then((end) => {
      if (end.reason === "goodbye") {
        this.#outbox.write(encodeFrame(0, FrameType.GOODBYE, 0, encode(Goodbye, { reason: "shutdown" })));
        this.#outbox.flush();
      }
      socket.end();
    });
    if (rest.length > 0) receive(rest);
    socket.resume();
  }

  write(bytes: Uint8Array): void {
    this.#outbox.write(bytes);
  }

  writeControl(frame: Buffer): void {
    if (this.#outbox.queuedBytes === 0) this.#controlBytes = 0;
    this.#controlBytes += frame.length;
    if (this.#controlBytes > MAX_CONTROL_BACKLOG) this.#socket.destroy();
    else this.#outbox.write(frame);
  }

  over(clientId: number): void {
    this.#streams.delete(clientId);
  }

  #frame(id: number, type: number, flags: number, payload: Buffer): void {
    switch (type) {
      case FrameType.OPEN:
        this.#open(id, flags, payload);
        return;
      case FrameType.PING:
        this.#outbox.write(encodeFrame(0, FrameType.PONG, 0, payload));
        return;
      case FrameType.PONG:
        return; // this end sends no PING
      case FrameType.HELLO:
        throw violation("a second hello");
      default:
        this.#streams.get(id)?.pass(type, flags, payload); // else it has crossed the stream's RESULT
    }
  }

  #open(id: number, flags: number, payload: Buffer): void {
    const parts = this.#unfinished.get(id) ?? [];
    if (parts.length === 0 && id <= this.#lastId) throw violation(`stream ${id} again`);
    this.#lastId = Math.max(this.#lastId, id);
    parts.push(Buffer.from(payload)); // a copy: the memory goes on being used
    if (parts.reduce((sum, part) => sum + part.length, 0) > MAX_OPEN)
      throw violation("a request above 1 MiB");
    if (flags === OPEN_MORE) {
      this.#unfinished.set(id, parts);
      if (this.#unfinished.size > MAX_UNFINISHED) throw violation("too many unfinished requests");
      return;
    }
    this.#unfinished.delete(id);
    const client = { id, open: Buffer.concat(parts), output: this };
    const urgent = isSignal(client.open);
    this.#session.openRaw({ what: "a relayed request", effects: true, urgent }, (own, link) => {
      const stream = new RelayedStream(own, link, client);
      this.#streams.set(id, stream); // before it begins: its answer may come at once
      return stream;
    });
  }

  #gone(): void {
    for (const stream of [...this.#streams.values()]) stream.abandon();
    this.#streams.clear();
    this.#unfinished.clear();
    this.#outbox.close();
  }
}
