import type { Socket } from "node:net";
import { Duplex } from "node:stream";
import { SmolVMError } from "../../errors.ts";
import { ChunkQueue } from "../../util/chunk-queue.ts";
import { Deadline } from "../../util/deadline.ts";
import { escapeTerminal } from "../../util/escape-terminal.ts";
import { resetConnection } from "../../util/reset-connection.ts";
import { shown } from "../../util/shown.ts";
import { guestError } from "../session/guest-error.ts";
import type { AgentSession } from "../session/session.ts";
import type { AgentStream } from "../session/stream.ts";
import { DoorConnection, type GuestError, Open, type Opened } from "../wire/messages.ts";
import { decode, encode } from "../wire/schema.ts";
import { violation } from "../wire/violation.ts";

/** Where a connection goes, seen from inside the guest. */
export type ForwardTarget =
  | {
      /** 1 to 65,535 */
      readonly port: number;
      /** name or address; default 127.0.0.1 */
      readonly host?: string | undefined;
    }
  | {
      /** path of a Unix socket */
      readonly unix: string;
    };

const WINDOW = 1024 * 1024;

/**
 * A connection to a TCP port or Unix socket in the guest, over the agent's channel; it needs no network there. Resolves when it
 * is connected. Ending the Duplex ends that direction alone. Destroying it closes the connection; with an error, or with
 * something left to send, the server in the guest sees it reset. Where that resets it, the Duplex has the error CONNECTION_RESET.
 *
 * @param options `deadline` for connecting
 * @throws SmolVMError CONFIG_INVALID, CONNECTION_REFUSED, FILE_NOT_FOUND (Unix socket), TIMEOUT, ABORTED, AGENT_LOST, AGENT_PROTOCOL
 */
export async function forward(
  session: AgentSession,
  target: ForwardTarget,
  options: { deadline?: Deadline | undefined } = {},
): Promise<Duplex> {
  const what = `connecting to ${describe(target)} in the sandbox`;
  const deadline = options.deadline ?? Deadline.of(what);
  deadline.check();
  return await connected(
    new ForwardStream(session, { open: request(target), what, label: describe(target) }),
    deadline,
  );
}

/**
 * Takes up a connection that left the guest and of which its agent told (agent/door): the Duplex is what the program in the guest sends and gets, as
 * with {@link forward}. It keeps neither the session nor this process.
 * @param number the agent's number for it
 * @param window how much the guest may send ahead, in bytes
 * @throws SmolVMError TIMEOUT, ABORTED, AGENT_LOST, AGENT_PROTOCOL, and FILE_NOT_FOUND if it has gone meanwhile
 */
export async function takeUp(
  session: AgentSession,
  number: number,
  window: number,
  deadline: Deadline,
): Promise<Duplex> {
  const open = encode(Open, { doorAccept: { connection: number }, window });
  const label = "its destination";
  const what = "taking up a connection of the sandbox";
  return await connected(
    new ForwardStream(session, { open, what, label, background: true, window }),
    deadline,
  );
}

/** A connection that left the guest, on the stream that waited for it. */
export interface Arrival {
  /** what its agent tells of it */
  readonly told: DoorConnection;
  /** what the program in the guest sends and gets; it is not destroyed by an error before somebody listens to that */
  readonly connection: Duplex;
  /** lets the guest send as much ahead, in bytes */
  widen(window: number): void;
}

/**
 * Waits for the next connection that leaves the guest, so that it need not be told first and then asked for. It keeps neither the session nor this process.
 * @param window how much the guest may send ahead, in bytes
 * @param arrived it is there
 * @param failed there will be none: the guest's refusal, or the session's end
 * @returns gives up waiting
 * @throws SmolVMError AGENT_LOST if the session is over
 */
export function awaitNext(
  session: AgentSession,
  window: number,
  arrived: (arrival: Arrival) => void,
  failed: (error: unknown) => void,
): () => void {
  const open = encode(Open, { doorAccept: { next: true }, window });
  const what = "waiting for a connection of the sandbox";
  const onOpened = ({ connection: told }: Opened): void => {
    const widen = (wider: number): void => connection.widen(wider);
    arrived({ told: told ?? decode(DoorConnection, Buffer.alloc(0)), connection, widen });
  };
  const connection = new ForwardStream(session, {
    open,
    what,
    label: "its destination",
    background: true,
    window,
    onOpened,
  });
  connection.on("error", () => {}); // who takes it listens too
  connection.connected.catch(failed);
  return () => void connection.destroy();
}

async function connected(connection: ForwardStream, deadline: Deadline): Promise<Duplex> {
  try {
    await deadline.race(connection.connected);
    return connection;
  } catch (error) {
    connection.destroy();
    throw error;
  }
}

/** What a connection is asked for with, and how it is called. */
interface ForwardRequest {
  readonly open: Buffer;
  readonly what: string;
  readonly label: string;
  readonly background?: boolean;
  /** credit that `open` gives, in bytes; default {@link WINDOW} */
  readonly window?: number;
  /** told at once what the guest says of it */
  readonly onOpened?: (opened: Opened) => void;
}

function describe(target: ForwardTarget): string {
  if ("unix" in target) return `'${escapeTerminal(target.unix, 200)}'`;
  return target.host === undefined
    ? `port ${target.port}`
    : `${escapeTerminal(target.host, 200)}:${target.port}`;
}

/** Throws CONFIG_INVALID unless `port` is a whole number from 1 to 65,535. */
export function checkPort(port: number, name: string): void {
  if (Number.isInteger(port) && port >= 1 && port <= 65_535) return;
  throw new SmolVMError("CONFIG_INVALID", `${name} ${shown(port)} is not a whole number from 1 to 65535`);
}

function request(target: ForwardTarget): Buffer {
  const text = (value: string, name: string): Buffer => {
    if (value === "" || value.includes("\0"))
      throw new SmolVMError("CONFIG_INVALID", `${name} is empty or holds a NUL`);
    return Buffer.from(value);
  };
  if ("unix" in target) return encode(Open, { forward: { unix: text(target.unix, "unix") }, window: WINDOW });
  checkPort(target.port, "the guest port");
  const host = target.host === undefined ? undefined : text(target.host, "host");
  return encode(Open, { forward: { host, port: target.port }, window: WINDOW });
}

/**
 * Carries what comes on a socket of this host to a connection of the guest's, and back, with ends and resets.
 * @param connect gives what it is to be carried to; where there is none the socket is reset
 */
export async function carryOver(socket: Socket, connect: () => Promise<Duplex>): Promise<void> {
  socket.on("error", () => socket.destroy());
  try {
    const connection = await connect();
    connection.on("error", () => {}); // its close tells
    const onClose = (): void => {
      if (socket.readableEnded && connection.readableEnded) return; // what it sent is still on its way
      // A client that has not ended what it sends was cut off, and so is the server.
      connection.destroy(socket.readableEnded ? undefined : new Error("the client is gone"));
    };
    if (socket.destroyed) {
      onClose();
      return;
    }
    connection.once("close", () => {
      if (connection.errored !== null) resetAfterWriting(socket);
      else if (!socket.writableEnded) socket.destroy();
    });
    socket.once("close", onClose);
    // Each direction ends on its own: pipe() passes the end on.
    socket.pipe(connection);
    connection.pipe(socket);
  } catch {
    resetConnection(socket); // as a refused connection shows once it was accepted; the caller of connect() gets the reason
  }
}

/** Resets a connection behind what was written to it: a reset throws away what has not left yet. */
function resetAfterWriting(socket: Socket): void {
  if (socket.writableLength === 0 || socket.writableEnded) resetConnection(socket);
  else socket.write("", () => resetConnection(socket));
}

class ForwardStream extends Duplex {
  readonly connected: Promise<void>;
  readonly #stream: AgentStream;
  readonly #queue = new ChunkQueue<undefined>();
  #wanted = false;
  #inputOver = false;
  /** what the guest's end reset the connection with: told behind the last bytes that came before */
  #cut: SmolVMError | undefined;
  #over = false;
  /** bytes of the write that is under way: the stream has them, whatever is written behind them waits here */
  #handedOver = 0;
  #onConnected!: { resolve: () => void; reject: (error: unknown) => void };
  #isConnected = false;
  /** whoever waited for the connection has it, and could say what to do about errors */
  #isTaken = false;

  constructor(
    session: AgentSession,
    { open, what, label, background = false, window = WINDOW, onOpened }: ForwardRequest,
  ) {
    super({ allowHalfOpen: true, highWaterMark: 64 * 1024 });
    this.connected = new Promise((resolve, reject) => {
      this.#onConnected = { resolve, reject };
    });
    this.connected.catch(() => {}); // the stream's error tells it too
    this.#stream = session.open(
      { open, what, effects: false, opens: true, window, background },
      {
        opened: (opened) => {
          this.#isConnected = true;
          this.#onConnected.resolve();
          setImmediate(() => {
            this.#isTaken = true;
            this.#deliver();
          });
          onOpened?.(opened);
        },
        data: (_channel, piece) => {
          this.#queue.push(undefined, piece);
          this.#deliver();
        },
        end: () => this.#endInput(),
        result: (result) => {
          this.#over = true;
          if (result.error !== undefined && this.#isConnected) this.#cutOff(result.error, label);
          else if (result.error !== undefined) this.#fail(guestError(result.error, "forward", what));
          else if (this.#isConnected) this.#endInput();
          else this.#fail(violation("a connection that ends without having begun"));
        },
        lost: (error) => {
          this.#over = true;
          this.#fail(error);
        },
      },
    );
  }

  /** The guest may send as much ahead, in bytes. */
  widen(window: number): void {
    this.#stream.widen(window);
  }

  // --- Duplex

  override _read(): void {
    this.#wanted = true;
    this.#deliver();
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, callback: (error?: Error) => void): void {
    this.#handedOver = chunk.length;
    this.#stream.send(chunk).then(() => callback());
  }

  override _writev(chunks: { chunk: Buffer }[], callback: (error?: Error) => void): void {
    this.#handedOver = this.writableLength;
    this.#stream.sendAll(chunks.map(({ chunk }) => chunk)).then(() => callback());
  }

  override _final(callback: (error?: Error) => void): void {
    this.#stream.end();
    callback();
  }

  override _destroy(error: Error | null, callback: (error?: Error | null) => void): void {
    this.#queue.clear();
    // The agent closes what has ended, and resets what has not.
    const allSent = this.writableLength <= this.#handedOver;
    if (error === null && allSent) this.#stream.end();
    // What has ended in order in both directions is left to its result: a reset would overtake what the guest still has to deliver.
    if (!this.#over && !(this.writableFinished && this.readableEnded)) this.#stream.abandon();
    callback(error);
  }

  #deliver(): void {
    while (this.#wanted) {
      const chunk = this.#queue.shift();
      if (chunk === undefined) break;
      this.#stream.grant(1, chunk.data.length);
      this.#wanted = this.push(chunk.data);
    }
    if (this.#queue.bytes > 0) return;
    if (this.#cut !== undefined) {
      // Its end may have come together with its beginning: an error before anybody listens would end the process.
      if (this.#isTaken) this.destroy(this.#cut);
    } else if (this.#inputOver && !this.readableEnded) this.push(null);
  }

  #cutOff(error: GuestError, label: string): void {
    this.#cut = guestError(error, "forward", `the connection to ${label} in the sandbox`);
    this.#deliver();
  }

  #endInput(): void {
    if (this.#inputOver) return;
    this.#inputOver = true;
    this.#deliver();
  }

  #fail(error: SmolVMError): void {
    if (this.#isTaken) this.destroy(error);
    else if (this.#isConnected) this.#cut = error;
    else this.#onConnected.reject(error);
  }
}
