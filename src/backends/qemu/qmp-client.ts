import { createConnection, type Socket } from "node:net";
import { SmolVMError } from "../../errors.ts";
import type { Deadline } from "../../util/deadline.ts";
import { encodeCommand, QmpDecoder, type QmpMessage } from "./qmp-codec.ts";

interface Waiting {
  readonly command: string;
  readonly resolve: (value: unknown) => void;
  readonly reject: (error: SmolVMError) => void;
}

/** Between attempts to be let wait. */
const RETRY_MS = 2;

/**
 * One conversation with QEMU's control socket. QEMU serves one client at a time and lets others wait without a word:
 * connect, act, close; every step has a deadline.
 */
export class QmpClient {
  readonly #socket: Socket;
  readonly #decoder = new QmpDecoder();
  readonly #waiting = new Map<number, Waiting>();
  readonly #listeners = new Set<(name: string, data: unknown) => void>();
  #nextId = 1;
  #ended: SmolVMError | undefined;
  #onGreeting: ((version: string) => void) | undefined;
  #onLost: ((error: SmolVMError) => void) | undefined;
  /** rejects with VMM_FAILED when the connection ends */
  readonly lost: Promise<never>;
  /** "7.2.22" */
  version = "";

  private constructor(socket: Socket) {
    this.#socket = socket;
    this.lost = new Promise<never>((_, reject) => {
      this.#onLost = reject;
    });
    this.lost.catch(() => {}); // only who waits for something is told
    socket.on("data", (chunk: Buffer) => this.#receive(chunk)).resume();
    socket.on("error", (error) => this.#end(connectionLost(error)));
    socket.on("close", () => this.#end(connectionLost()));
  }

  /**
   * Connects, reads the greeting and negotiates capabilities.
   * @throws SmolVMError VMM_FAILED (nothing listens, or it is not QMP), TIMEOUT (another client holds it), ABORTED
   */
  static async connect(path: string, deadline: Deadline): Promise<QmpClient> {
    for (;;) {
      deadline.check();
      try {
        return await QmpClient.over(createConnection({ path }), deadline);
      } catch (error) {
        if (!isQueueFull(error)) throw error;
      }
      await deadline.sleep(RETRY_MS);
    }
  }

  /** {@link connect} over a connection that is there already. */
  static async over(socket: Socket, deadline: Deadline): Promise<QmpClient> {
    const client = new QmpClient(socket);
    try {
      await client.#greeted(deadline);
      await client.execute("qmp_capabilities", undefined, deadline);
      return client;
    } catch (error) {
      client.close();
      throw error;
    }
  }

  /**
   * {@link over} for who does not wait: over a socket QEMU takes commands in their order, so that more can be sent before it has greeted.
   * @returns the client, which its user closes, and what fails as {@link connect} does
   */
  static begin(
    socket: Socket,
    deadline: Deadline,
  ): { readonly client: QmpClient; readonly ready: Promise<void> } {
    const client = new QmpClient(socket);
    const greeted = client.#greeted(deadline);
    const negotiated = client.execute("qmp_capabilities", undefined, deadline);
    negotiated.catch(() => {}); // told after the greeting, which tells more
    return { client, ready: greeted.then(() => negotiated).then(() => {}) };
  }

  async #greeted(deadline: Deadline): Promise<void> {
    const greeting = new Promise<string>((resolve) => {
      this.#onGreeting = resolve;
    });
    this.version = await deadline.race(Promise.race([greeting, this.lost]));
  }

  /**
   * Sends a command and waits for its answer.
   * @throws SmolVMError VMM_FAILED (QEMU refused it, or the connection ended), TIMEOUT, ABORTED
   */
  async execute(
    command: string,
    args: Readonly<Record<string, unknown>> | undefined,
    deadline: Deadline,
  ): Promise<unknown> {
    if (this.#ended) throw this.#ended;
    const id = this.#nextId++;
    const answer = new Promise<unknown>((resolve, reject) => {
      this.#waiting.set(id, { command, resolve, reject });
    });
    this.#socket.write(encodeCommand(id, command, args));
    try {
      return await deadline.race(answer);
    } finally {
      this.#waiting.delete(id);
    }
  }

  /** Hears QEMU's events from now on. Returns how to stop. */
  onEvent(listener: (name: string, data: unknown) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** QEMU's run state: "running", "paused", "shutdown", "internal-error" ... */
  async queryStatus(deadline: Deadline): Promise<string> {
    const answer = (await this.execute("query-status", undefined, deadline)) as { status?: unknown } | null;
    return String(answer?.status ?? "");
  }

  /** Ends QEMU at once. An end of the connection is as good as an answer. */
  async quit(deadline: Deadline): Promise<void> {
    try {
      await this.execute("quit", undefined, deadline);
    } catch (error) {
      if (this.#ended === undefined || error !== this.#ended) throw error;
    }
  }

  close(): void {
    this.#socket.destroy();
  }

  #receive(chunk: Buffer): void {
    try {
      for (const message of this.#decoder.push(chunk)) this.#dispatch(message);
    } catch (error) {
      this.#end(error as SmolVMError);
      this.#socket.destroy();
    }
  }

  #dispatch(message: QmpMessage): void {
    if (message.kind === "greeting") this.#onGreeting?.(message.version);
    else if (message.kind === "event")
      for (const listener of this.#listeners) listener(message.name, message.data);
    else {
      const waiting = message.id === undefined ? undefined : this.#waiting.get(message.id);
      if (message.kind === "return") waiting?.resolve(message.value);
      else waiting?.reject(refused(waiting.command, message));
    }
  }

  #end(error: SmolVMError): void {
    if (this.#ended) return;
    this.#ended = error;
    this.#onLost?.(error);
    for (const waiting of this.#waiting.values()) waiting.reject(error);
  }
}

/** More wait to be taken by QEMU than its socket lets wait (one or two, those that have gone again among them): that is over in a moment. */
function isQueueFull(error: unknown): boolean {
  return ((error as Error).cause as NodeJS.ErrnoException | undefined)?.code === "EAGAIN";
}

function connectionLost(cause?: Error): SmolVMError {
  const why = cause === undefined ? "it closed the connection" : cause.message;
  return new SmolVMError("VMM_FAILED", `QEMU's control socket does not answer: ${why}`, { cause });
}

function refused(command: string, answer: { class: string; description: string }): SmolVMError {
  return new SmolVMError("VMM_FAILED", `QEMU refused '${command}': ${answer.description}`, {
    details: { command, class: answer.class },
  });
}
