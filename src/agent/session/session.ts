import type { Socket } from "node:net";
import { isSmolVMError } from "../../errors.ts";
import { Deadline } from "../../util/deadline.ts";
import { escapeTerminal } from "../../util/escape-terminal.ts";
import { messageOf } from "../../util/message-of.ts";
import { monotonicMs } from "../../util/monotonic.ts";
import { encodeFrame, FrameDecoder, FrameType, MAX_STREAMS } from "../wire/frame.ts";
import { checkVersion, type HelloScan } from "../wire/hello.ts";
import { Goodbye, type HelloAck } from "../wire/messages.ts";
import { decode } from "../wire/schema.ts";
import { violation } from "../wire/violation.ts";
import {
  type Connected,
  type ConnectOptions,
  connectAgent,
  type Greeted,
  greetAgent,
  HELLO_RETRY_MS,
} from "./connect.ts";
import type { Endpoint } from "./endpoint.ts";
import { Outbox } from "./outbox.ts";
import { interruptedError, type SessionEnd } from "./session-end.ts";
import {
  AgentStream,
  type GuestChannel,
  type SessionStream,
  type StreamHandler,
  type StreamLink,
  type StreamRequest,
} from "./stream.ts";

/** A guest that lets this many bytes pile up unread while it sends PINGs is cut off. */
const MAX_PONG_BACKLOG = 4 * 1024 * 1024;
/** How long {@link AgentSession.close} waits for queued bytes to leave, in ms. */
const CLOSE_MS = 1000;

/** How long a guest that is captured may take until it answers again, in ms: its memory is written meanwhile. */
const COME_BACK_MS = 120_000;

/** Places that only urgent requests get. */
const KEPT_FOR_URGENT = 8;

const PING_BYTES = 8;

const NOTHING: Buffer = Buffer.alloc(0);

/** An answer to the hello that is not there yet. */
interface AwaitedAnswer {
  readonly scan: HelloScan;
  /** ends the session */
  readonly timer: NodeJS.Timeout;
}

/** The end of a session that was begun with a hello that nobody has answered. */
const UNANSWERED: SessionEnd = {
  reason: "lost",
  message: "the guest did not answer the hello",
  cause: undefined,
};

/**
 * One conversation with a guest's agent over one socket: any number of requests at once, each a stream with its own credit.
 * Whatever the guest sends, memory stays bounded by the open streams' windows; a broken rule ends the session.
 * While no stream is open, the session does not keep the process alive.
 */
export class AgentSession {
  #hello: HelloAck | undefined;
  /** as long as the hello is not answered: what looks for the answer, and what gives it up */
  #awaited: AwaitedAnswer | undefined;
  /** resolves when the session is over, and never rejects */
  readonly ended: Promise<SessionEnd>;
  #end: SessionEnd | undefined;
  #resolveEnded: (end: SessionEnd) => void = () => {};
  #socket: Socket;
  readonly #endpoint: Endpoint;
  /** between two connections: what gives up the search for the next */
  #search: AbortController | undefined;
  readonly #outbox: Outbox;
  readonly #decoder: FrameDecoder;
  readonly #streams = new Map<number, SessionStream>();
  /** opened here while there was no place for them in the guest; urgent ones first */
  readonly #queue: { readonly stream: SessionStream; readonly urgent: boolean }[] = [];
  readonly #waitingForRoom = new Set<SessionStream>();
  readonly #pings = new Map<string, () => void>();
  /** streams whose end nobody waits for */
  readonly #background = new Set<SessionStream>();
  #nextId = 1;
  #nextPing = 0;
  #closing: Promise<void> | undefined;

  private constructor(endpoint: Endpoint, begun: Connected | Greeted) {
    const { socket } = begun;
    this.#endpoint = endpoint;
    this.#socket = socket;
    this.ended = new Promise((resolve) => {
      this.#resolveEnded = resolve;
    });
    this.#outbox = new Outbox(socket);
    this.#outbox.onRoom = () => this.#pumpWaiting();
    this.#decoder = new FrameDecoder("guest", {
      frame: (stream, type, flags, payload) => this.#frame(stream, type, flags, payload),
      data: (stream, channel, piece) => this.#stream(stream).data(channel as GuestChannel, piece),
    });
    socket.unref();
    if ("ack" in begun) {
      this.#hello = begun.ack;
      this.#listen(begun.rest);
    } else {
      const timer = setTimeout(() => this.#finish(UNANSWERED), HELLO_RETRY_MS).unref();
      this.#awaited = { scan: begun.scan, timer };
      this.#listen(NOTHING);
    }
  }

  /** What the agent said of itself. */
  get hello(): HelloAck {
    if (this.#hello === undefined) throw new Error("the agent has not answered the hello");
    return this.#hello;
  }

  /** Takes what comes over the connection that there is now. */
  #listen(rest: Buffer): void {
    const socket = this.#socket;
    const isOurs = (): boolean => this.#socket === socket && this.#search === undefined;
    let failure: unknown;
    socket.on("error", (error) => {
      failure = error;
    });
    socket.on("close", () => {
      if (isOurs())
        this.#finish({ reason: "lost", message: "the channel to the guest ended", cause: failure });
    });
    socket.on("data", (chunk) => {
      if (isOurs()) this.#receive(chunk as Buffer);
    });
    if (rest.length > 0) this.#receive(rest);
    socket.resume();
  }

  /**
   * The guest's machine is about to be captured, which ends its connections: both ends have said all over this one, and go on over the
   * next. Who uses the session notices a pause at most.
   */
  async #part(token: Uint8Array): Promise<void> {
    const search = new AbortController();
    const old = this.#socket;
    this.#outbox.write(encodeFrame(0, FrameType.SWITCH, 0));
    this.#outbox.stop();
    this.#search = search;
    old.end(() => old.destroy());
    setTimeout(() => old.destroy(), CLOSE_MS).unref();
    try {
      const deadline = Deadline.of("coming back to the sandbox", {
        timeoutMs: COME_BACK_MS,
        signal: search.signal,
      });
      const { socket, ack, rest } = await connectAgent(this.#endpoint, { deadline, resume: token });
      if (this.#end !== undefined || !ack.resumed) {
        socket.destroy();
        throw new Error("the guest does not know the session any more");
      }
      this.#search = undefined;
      this.#socket = socket;
      this.#letGo();
      socket.write(encodeFrame(0, FrameType.SWITCH, 0));
      this.#outbox.moveTo(socket);
      this.#listen(rest);
    } catch (cause) {
      this.#finish({
        reason: "lost",
        message: "the channel to the guest ended, for it to be captured, and did not come back",
        cause,
      });
    }
  }

  /**
   * Connects, retrying until the socket is there and the agent answers, and agrees on a version.
   *
   * @throws SmolVMError TIMEOUT or ABORTED by the deadline, AGENT_VERSION, AGENT_PROTOCOL, AGENT_LOST when `options.exited`
   *   resolves first, HOST_FAILED when the socket cannot be used
   */
  static async connect(endpoint: Endpoint, options: ConnectOptions): Promise<AgentSession> {
    const connect = options.eager ? greetAgent : connectAgent;
    return new AgentSession(endpoint, await connect(endpoint, options));
  }

  /** How the session ended, or undefined while it lives. */
  get end(): SessionEnd | undefined {
    return this.#end;
  }

  /** Streams that are open or wait to be opened. */
  get streamCount(): number {
    return this.#streams.size + this.#queue.length;
  }

  /** No stream is open but background ones: nobody waits for this session. */
  get idle(): boolean {
    return this.streamCount === this.#background.size;
  }

  /**
   * Opens a stream. Beyond 504 at once (512 for an urgent one), it waits in order for another to end.
   *
   * @throws SmolVMError AGENT_LOST if the session is over
   */
  open(request: StreamRequest, handler: StreamHandler): AgentStream {
    return this.openRaw(request, (id, link) => new AgentStream(id, link, request, handler));
  }

  /**
   * Opens a stream whose frames the caller writes and reads itself, as the supervisor's relay does.
   * @param make the stream, with the id and the link that it gets
   * @throws SmolVMError AGENT_LOST if the session is over
   */
  openRaw<Stream extends SessionStream>(
    request: Pick<StreamRequest, "what" | "effects" | "urgent" | "background">,
    make: (id: number, link: StreamLink) => Stream,
  ): Stream {
    if (this.#end !== undefined || this.#closing !== undefined) {
      const end = this.#end ?? { reason: "closed", message: "the session was closed", cause: undefined };
      throw interruptedError(end, { what: request.what, dispatched: false, effects: request.effects });
    }
    const id = this.#nextId;
    this.#nextId += 2;
    const stream = make(id, this.#link);
    if (request.background) this.#background.add(stream);
    else if (this.idle) this.#socket.ref();
    const urgent = request.urgent === true;
    if (this.#hasPlace(urgent)) {
      this.#streams.set(id, stream);
      stream.begin();
    } else {
      const at = urgent ? this.#queue.findIndex((other) => !other.urgent) : -1;
      this.#queue.splice(at < 0 ? this.#queue.length : at, 0, { stream, urgent });
    }
    return stream;
  }

  readonly #link: StreamLink = {
    write: (bytes: Uint8Array): void => this.#outbox.write(bytes),
    roomy: (): boolean => this.#outbox.roomy(),
    waitForRoom: (stream: SessionStream): void => {
      this.#waitingForRoom.add(stream);
    },
    flushed: (): Promise<void> => this.#outbox.flushed(),
    over: (stream: SessionStream): void => this.#over(stream),
  };

  /** So little is on its way to the guest that it may be read soon. */
  get roomy(): boolean {
    return this.#outbox.roomy();
  }

  /** Resolves when all that was said so far has left, or the session is over: the guest reads what it is told. */
  flushed(): Promise<void> {
    return this.#outbox.flushed();
  }

  /**
   * Measures a round trip, in milliseconds.
   *
   * @throws SmolVMError AGENT_LOST when the session ends, TIMEOUT or ABORTED by the deadline
   */
  async ping(deadline?: Deadline): Promise<number> {
    const what = "a ping of the guest's agent";
    const lost = (end: SessionEnd) => interruptedError(end, { what, dispatched: true, effects: false });
    if (this.#end !== undefined) throw lost(this.#end);
    const payload = Buffer.alloc(PING_BYTES);
    payload.writeUInt32LE(this.#nextPing++ >>> 0, 0);
    const key = payload.toString("latin1");
    const startedAt = monotonicMs();
    const answered = new Promise<void>((resolve) => this.#pings.set(key, resolve));
    this.#socket.ref();
    this.#outbox.write(encodeFrame(0, FrameType.PING, 0, payload));
    const answer = Promise.race([
      answered,
      this.ended.then((end) => {
        throw lost(end);
      }),
    ]);
    try {
      await (deadline ? deadline.race(answer) : answer);
    } finally {
      this.#letGo();
    }
    return monotonicMs() - startedAt;
  }

  /** Ends the session: what is queued is sent first (for at most a second). The guest kills what the session started, except detached processes. */
  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    if (this.#end !== undefined) return;
    if (this.#search !== undefined) {
      this.#finish({ reason: "closed", message: "the session was closed", cause: undefined });
      return;
    }
    const closed = new Promise<void>((resolve) => this.#socket.once("close", () => resolve()));
    this.#outbox.flush();
    this.#finish({ reason: "closed", message: "the session was closed", cause: undefined }, "gently");
    const timer = setTimeout(() => this.#socket.destroy(), CLOSE_MS);
    await closed;
    clearTimeout(timer);
  }

  #receive(chunk: Buffer): void {
    if (this.#end !== undefined) return;
    try {
      const frames = this.#awaited === undefined ? chunk : this.#answer(chunk, this.#awaited);
      if (frames.length > 0) this.#decoder.push(frames);
    } catch (error) {
      // Who connects once more, and waits for the answer, is told which version it was.
      const reason = isSmolVMError(error, "AGENT_VERSION") ? "lost" : "protocol";
      this.#finish({ reason, message: messageOf(error), cause: error });
      return;
    }
    // Credit that was granted while reading leaves now, not a turn later.
    this.#outbox.flush();
  }

  /** Takes the answer to the hello, if it is in there. Returns what came behind it. */
  #answer(chunk: Buffer, { scan, timer }: AwaitedAnswer): Buffer {
    const found = scan.push(chunk);
    if (found === undefined) return NOTHING;
    checkVersion(found.ack);
    clearTimeout(timer);
    this.#awaited = undefined;
    this.#hello = found.ack;
    return found.rest;
  }

  #stream(id: number): SessionStream {
    const stream = this.#streams.get(id);
    if (stream === undefined) throw violation(`a frame for stream ${id}, which is not open`);
    return stream;
  }

  #frame(id: number, type: number, flags: number, payload: Buffer): void {
    if (this.#search !== undefined) throw violation("a frame behind SUSPEND");
    if (id !== 0) {
      this.#stream(id).frame(type, flags, payload);
      return;
    }
    switch (type) {
      case FrameType.PING:
        if (this.#outbox.queuedBytes > MAX_PONG_BACKLOG) throw violation("PINGs whose answers are not read");
        this.#outbox.write(encodeFrame(0, FrameType.PONG, 0, payload));
        return;
      case FrameType.PONG: {
        const key = payload.toString("latin1");
        const resolve = this.#pings.get(key);
        if (resolve === undefined) throw violation("a PONG without a PING");
        this.#pings.delete(key);
        resolve();
        return;
      }
      case FrameType.GOODBYE: {
        const reason = escapeTerminal(decode(Goodbye, payload).reason, 64);
        this.#finish({
          reason: "goodbye",
          message: `the sandbox was stopped${reason === "" ? "" : ` (${reason})`}`,
          cause: undefined,
        });
        return;
      }
      case FrameType.SUSPEND:
        void this.#part(Buffer.from(payload));
        return;
      default:
        throw violation("a second answer to the hello");
    }
  }

  #hasPlace(urgent: boolean): boolean {
    return this.#streams.size < (urgent ? MAX_STREAMS : MAX_STREAMS - KEPT_FOR_URGENT);
  }

  #over(stream: SessionStream): void {
    this.#waitingForRoom.delete(stream);
    this.#background.delete(stream);
    if (this.#streams.delete(stream.id)) {
      const [next] = this.#queue;
      if (this.#end === undefined && next !== undefined && this.#hasPlace(next.urgent)) {
        this.#queue.shift();
        this.#streams.set(next.stream.id, next.stream);
        next.stream.begin();
      }
    } else {
      const at = this.#queue.findIndex((queued) => queued.stream === stream);
      if (at >= 0) this.#queue.splice(at, 1);
    }
    this.#letGo();
  }

  /** Lets the process end if nothing is awaited from the guest. */
  #letGo(): void {
    if (this.idle && this.#pings.size === 0 && this.#end === undefined) this.#socket.unref();
  }

  #pumpWaiting(): void {
    if (this.#waitingForRoom.size === 0) return;
    // Each stream gets one go, in the order of waiting; who has more to send waits again, behind the others.
    for (const stream of [...this.#waitingForRoom]) {
      if (!this.#outbox.roomy()) return;
      this.#waitingForRoom.delete(stream);
      stream.pump();
    }
  }

  #finish(end: SessionEnd, how: "at once" | "gently" = "at once"): void {
    if (this.#end !== undefined) return;
    this.#end = end;
    clearTimeout(this.#awaited?.timer);
    this.#search?.abort();
    if (how === "gently") this.#socket.end(() => this.#socket.destroy());
    else this.#socket.destroy();
    this.#outbox.close();
    this.#waitingForRoom.clear();
    for (const stream of [...this.#streams.values(), ...this.#queue.map((queued) => queued.stream)])
      stream.lose(end);
    this.#streams.clear();
    this.#queue.length = 0;
    this.#resolveEnded(end);
  }
}
