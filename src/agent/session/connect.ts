import { watch } from "node:fs";
import { connect as connectSocket, type Socket } from "node:net";
import { dirname } from "node:path";
import { SmolVMError } from "../../errors.ts";
import type { Deadline } from "../../util/deadline.ts";
import { anyBytes } from "../../util/random-bytes.ts";
import { checkVersion, encodeHello, FLUSH_BYTES, HelloScan } from "../wire/hello.ts";
import { type HelloAck, NONCE_BYTES } from "../wire/messages.ts";
import type { Endpoint } from "./endpoint.ts";

/** Options of {@link AgentSession.connect}. */
export interface ConnectOptions {
  /** the limit for everything until the agent has answered */
  readonly deadline: Deadline;
  /** resolves when the machine behind the endpoint is gone, so that waiting is pointless */
  readonly exited?: Promise<unknown> | undefined;
  /**
   * The machine was just booted or restored and nobody has used this endpoint yet: an agent that is silent is still booting,
   * so the channel is not flushed. Default false.
   */
  readonly fresh?: boolean | undefined;
  /**
   * a file that is written to as the machine gets on, its console: after a hang-up it is tried again at each change of that, and
   * hardly in between, because each try takes time away from the very boot that is waited for
   */
  readonly progressFile?: string | undefined;
  /**
   * The guest's machine was captured, or goes on from such a one, and may have lost the connection without a word: it is asked again soon.
   * Default: whether there is something to `resume`.
   */
  readonly afterCapture?: boolean | undefined;
  /** the token of a suspended session that is to go on; that it does, the answer says */
  readonly resume?: Uint8Array | undefined;
  /**
   * What is asked first is sent right behind the hello, a round trip earlier. Only where it may be carried out twice, and nobody can have left half a
   * frame in the channel. A hello that is not answered in a second ends the session: then connect without this. Default false.
   */
  readonly eager?: boolean | undefined;
  /** how this program calls itself to the agent; default "smolvm" */
  readonly client?: string | undefined;
}

/** A socket on which the hello was said, and nothing has come yet. */
export interface Greeted {
  readonly socket: Socket;
  /** finds the answer */
  readonly scan: HelloScan;
}

/** A socket on which the agent has answered the hello. */
export interface Connected {
  readonly socket: Socket;
  readonly ack: HelloAck;
  /** bytes that came after the answer */
  readonly rest: Buffer;
}

/** How this program calls itself to the agent. */
const CLIENT = "smolvm";
/** When a silent agent is asked again, in ms; doubles each time. */
export const HELLO_RETRY_MS: number = 1000;
/** The same after a capture. What lost the connection says so when it is sent something. */
const CAPTURED_RETRY_MS = 20;
/** And at least so often, however long the capture takes. */
const CAPTURED_RETRY_MAX_MS = 200;
/**
 * When who asks in vain hangs up and connects anew, in ms; once, because of a guest that is merely slow the answer is on its way. A port of QEMU's can have been left waiting for a host that is gone, and is freed by one that
 * leaves (qemu: hw/char/virtio-console.c, flush_buf: a write that finds its peer gone marks the port as waiting after its end has been dealt with).
 */
const HANG_UP_MS = 3000;
/** A new socket is looked for at least this often, in ms, should a directory event have been missed. */
const LOOK_AGAIN_MS = 250;
/** A socket that refuses (bound, not yet listening) or hangs up is tried again after 1 ms, then ever more slowly up to this. */
const MAX_BACKOFF_MS = 200;
/** The least pause after a hang-up where something tells when it is time to try again. */
const TOLD_BACKOFF_MS = 16;

/** Connects to the endpoint and exchanges hellos; retries both until the deadline. */
export async function connectAgent(endpoint: Endpoint, options: ConnectOptions): Promise<Connected> {
  const { deadline } = options;
  deadline.check();
  const stop = new AbortController();
  const exited = options.exited?.then(() => {
    throw new SmolVMError("AGENT_LOST", "the machine ended before its agent answered", {
      hint: "See the sandbox's console for what happened: smolvm logs NAME",
    });
  });
  const attempt = connectUntil(endpoint, options, stop.signal);
  // A connection that comes after giving up is dropped by `stop`.
  try {
    return await deadline.race(exited ? Promise.race([attempt, exited as Promise<never>]) : attempt);
  } finally {
    stop.abort();
    attempt.catch(() => {});
  }
}

/**
 * Says hello at an endpoint that is there, and does not wait for the answer.
 * @throws SmolVMError AGENT_LOST where nobody listens; TIMEOUT, ABORTED
 */
export async function greetAgent(
  endpoint: Endpoint,
  { deadline, client = CLIENT }: Pick<ConnectOptions, "deadline" | "client">,
): Promise<Greeted> {
  deadline.check();
  try {
    const socket = await deadline.race(dial(endpoint, deadline.signal));
    const nonce = randomNonce();
    if (endpoint.kind === "unix" && endpoint.greeting !== undefined) socket.write(endpoint.greeting);
    socket.write(encodeHello(nonce, client));
    return { socket, scan: new HelloScan(nonce) };
  } catch (error) {
    deadline.check();
    throw gone(error);
  }
}

async function connectUntil(
  endpoint: Endpoint,
  options: ConnectOptions,
  signal: AbortSignal,
): Promise<Connected> {
  const arrival = new Changes(dirname(endpoint.path));
  const progress = options.progressFile === undefined ? undefined : new Changes(options.progressFile);
  try {
    let backoffMs = 1;
    let hangUpMs = isPort(endpoint) && options.fresh !== true ? HANG_UP_MS : undefined;
    for (;;) {
      let socket: Socket | undefined;
      try {
        socket = await dial(endpoint, signal);
      } catch (error) {
        if (signal.aborted) throw error;
        const code = (error as NodeJS.ErrnoException).code;
        if (options.resume !== undefined && (code === "ENOENT" || code === "ECONNREFUSED")) throw gone(error);
        if (code === "ENOENT") {
          await arrival.next(signal, LOOK_AGAIN_MS);
          continue;
        }
        if (code !== "ECONNREFUSED" && code !== "EAGAIN" && code !== "ECONNRESET" && code !== "EPIPE") {
          throw new SmolVMError(
            "HOST_FAILED",
            `the sandbox's channel cannot be reached: ${(error as Error).message}`,
            {
              details: { errno: code },
              cause: error,
            },
          );
        }
      }
      if (socket !== undefined) {
        const connected = await greet(socket, endpoint, options, hangUpMs, signal);
        if (connected !== undefined) return connected;
        hangUpMs = undefined;
      }
      if (socket === undefined || progress === undefined) await pause(backoffMs, signal);
      else await progress.next(signal, Math.max(backoffMs, TOLD_BACKOFF_MS));
      backoffMs = Math.min(backoffMs * 2, MAX_BACKOFF_MS);
    }
  } finally {
    arrival.close();
    progress?.close();
  }
}

/** Nobody listens any more where a session was. */
function gone(cause: unknown): SmolVMError {
  return new SmolVMError("AGENT_LOST", "the machine is gone", { cause });
}

function dial(endpoint: Endpoint, signal: AbortSignal): Promise<Socket> {
  if (endpoint.kind === "relay") return endpoint.dial(signal);
  return new Promise((resolve, reject) => {
    const socket = connectSocket({ path: endpoint.address ?? endpoint.path });
    const onAbort = (): void => {
      socket.destroy();
      reject(new Error("given up"));
    };
    signal.addEventListener("abort", onAbort, { once: true });
    const settle = (): void => signal.removeEventListener("abort", onAbort);
    socket.once("error", (error) => {
      settle();
      reject(error);
    });
    socket.once("connect", () => {
      settle();
      socket.removeAllListeners("error");
      resolve(socket);
    });
    if (signal.aborted) onAbort();
  });
}

/** Whether it is one of a machine's ports, and not a socket at which many listen. */
function isPort(endpoint: Endpoint): boolean {
  return endpoint.kind === "relay" || endpoint.greeting === undefined;
}

/**
 * Says hello until the agent answers. Undefined if the other end hung up first, or nothing came for `hangUpMs`: that is tried again with a new
 * connection.
 */
function greet(
  socket: Socket,
  endpoint: Endpoint,
  options: ConnectOptions,
  hangUpMs: number | undefined,
  signal: AbortSignal,
): Promise<Connected | undefined> {
  return new Promise((resolve, reject) => {
    let nonce = randomNonce();
    const scan = new HelloScan(nonce);
    const client = options.client ?? CLIENT;
    const { resume, afterCapture = resume !== undefined } = options;
    let retryMs = afterCapture ? CAPTURED_RETRY_MS : HELLO_RETRY_MS;
    let timer: NodeJS.Timeout | undefined;
    let patience: NodeJS.Timeout | undefined;

    const settle = (): void => {
      clearTimeout(timer);
      clearTimeout(patience);
      signal.removeEventListener("abort", onAbort);
      socket.off("data", onData).off("error", onHangUp).off("close", onHangUp);
      socket.pause();
    };
    const onAbort = (): void => {
      settle();
      socket.destroy();
      resolve(undefined);
    };
    const onHangUp = (): void => {
      settle();
      socket.on("error", () => {}); // a late one has nothing to add
      socket.destroy();
      resolve(undefined);
    };
    const onData = (chunk: Buffer): void => {
      clearTimeout(patience); // slow, or with much that is old: it is not the port that waits
      try {
        const found = scan.push(chunk);
        if (found === undefined) return;
        settle();
        checkVersion(found.ack);
        resolve({ socket, ack: found.ack, rest: found.rest });
      } catch (error) {
        settle();
        socket.destroy();
        reject(error);
      }
    };
    const askAgain = (): void => {
      timer = setTimeout(askAgain, retryMs);
      retryMs = afterCapture ? Math.min(retryMs * 2, CAPTURED_RETRY_MAX_MS) : retryMs * 2;
      // Only when the last one is gone: a guest that reads nothing must not make the queue grow.
      if (options.fresh === true || socket.writableLength > 0) return;
      nonce = randomNonce();
      scan.expect(nonce);
      const flush = Buffer.alloc(afterCapture ? 0 : FLUSH_BYTES); // a connection that is new has nothing of others'
      socket.write(Buffer.concat([flush, encodeHello(nonce, client, resume)]));
    };

    signal.addEventListener("abort", onAbort, { once: true });
    socket.on("data", onData).on("error", onHangUp).on("close", onHangUp).resume();
    if (endpoint.kind === "unix" && endpoint.greeting !== undefined) socket.write(endpoint.greeting);
    socket.write(encodeHello(nonce, client, resume));
    timer = setTimeout(askAgain, retryMs);
    if (hangUpMs !== undefined) patience = setTimeout(onHangUp, hangUpMs);
    if (signal.aborted) onAbort();
  });
}

function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(done, ms);
    function done(): void {
      clearTimeout(timer);
      signal.removeEventListener("abort", done);
      if (signal.aborted) reject(new Error("given up"));
      else resolve();
    }
    signal.addEventListener("abort", done, { once: true });
    if (signal.aborted) done();
  });
}

/** Tells when something happens to a file, or in a directory. */
class Changes {
  readonly #path: string;
  #watcher: ReturnType<typeof watch> | undefined;
  #seen = false;
  #wake: (() => void) | undefined;

  constructor(path: string) {
    this.#path = path;
  }

  /** Resolves at the next change, or after a while. The first call returns at once, watching from now on. */
  async next(signal: AbortSignal, atMostMs: number): Promise<void> {
    if (this.#watcher === undefined && this.#watch()) return; // it may have come just before
    if (!this.#seen) {
      const waited = new AbortController();
      this.#wake = () => waited.abort();
      try {
        await pause(atMostMs, AbortSignal.any([signal, waited.signal]));
      } catch (error) {
        if (signal.aborted) throw error;
      }
      this.#wake = undefined;
    }
    this.#seen = false;
  }

  #watch(): boolean {
    try {
      const watcher = watch(this.#path, { persistent: false }, () => {
        this.#seen = true;
        this.#wake?.();
      });
      watcher.on("error", () => this.close()); // looking again after a while remains
      this.#watcher = watcher;
      return true;
    } catch {
      return false; // it is not there yet, or no watches are left: look again after a while
    }
  }

  close(): void {
    this.#watcher?.close();
    this.#watcher = undefined;
  }
}

/** It only has to differ from what earlier sessions sent. */
function randomNonce(): Buffer {
  return anyBytes(NONCE_BYTES);
}
