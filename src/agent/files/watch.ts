import { isSmolVMError, SmolVMError } from "../../errors.ts";
import type { Deadline } from "../../util/deadline.ts";
import { Inflow } from "../session/inflow.ts";
import type { AgentSession } from "../session/session.ts";
import { FileEvent as FileEventMessage } from "../wire/messages.ts";
import { RecordDecoder } from "../wire/records.ts";
import { decode } from "../wire/schema.ts";
import { type FileEvent, fileEvent } from "./file-event.ts";
import { guestPath, guestUser, showPath } from "./guest-path.ts";
import { olderAgent } from "./older-agent.ts";
import type { FileOptions } from "./types.ts";

/** Events that wait here, in bytes: beyond, they wait in the guest, and overflow there. */
const WINDOW = 64 * 1024;

/** Options of `watch`. */
export interface WatchOptions extends FileOptions {
  /** also everything below, new directories included; other file systems and what symlinks lead to are left out. Default false */
  recursive?: boolean | undefined;
  /** ends the watch with ABORTED, as `timeoutMs` does with TIMEOUT; default no limit */
  signal?: AbortSignal | undefined;
}

/**
 * The events at a path, from the moment that it was made. Ends when a loop over it is left, at `close()`, and when the watched
 * directory itself is removed or moved (its last event is `removed` with an empty path). Taking events slowly loses some, which an
 * `overflow` tells; it costs no memory.
 */
export interface FileWatch extends AsyncIterableIterator<FileEvent>, AsyncDisposable {
  /** Ends it: whoever waits for an event gets the end. Closing again is fine. */
  close(): void;
}

/** Watches a path in the guest; see {@link GuestFiles.watch}. Resolves when the guest watches. */
export async function watch(
  session: AgentSession,
  path: string,
  options: WatchOptions,
  deadline: Deadline,
): Promise<FileWatch> {
  const { recursive = false } = options;
  const fileWatch = { path: guestPath(path), recursive, user: guestUser(options.user) };
  const what = `watching ${showPath(path)}`;
  const request = { open: { fileWatch }, what, effects: false, context: "file", window: WINDOW } as const;
  const inflow = new Inflow(session, request, deadline, true);
  inflow.result.catch(() => {}); // taking throws it
  try {
    await inflow.opened;
  } catch (error) {
    if (!isSmolVMError(error, "NOT_SUPPORTED")) throw error;
    throw olderAgent(what, error.details);
  }
  return new Watch(inflow, what);
}

class Watch implements FileWatch {
  readonly #inflow: Inflow;
  readonly #what: string;
  readonly #records: RecordDecoder;
  #events: FileEvent[] = [];
  #taken = 0;
  #closed = false;
  /** one look for events at a time */
  #turn: Promise<unknown> = Promise.resolve();

  constructor(inflow: Inflow, what: string) {
    this.#inflow = inflow;
    this.#what = what;
    this.#records = new RecordDecoder((record) => {
      this.#events.push(fileEvent(decode(FileEventMessage, record)));
    });
  }

  next(): Promise<IteratorResult<FileEvent, undefined>> {
    const event = this.#turn.then(() => this.#next());
    this.#turn = event.catch(() => {});
    return event;
  }

  async #next(): Promise<IteratorResult<FileEvent, undefined>> {
    while (!this.#closed) {
      const event = this.#events[this.#taken++];
      if (event !== undefined) return { done: false, value: event };
      this.#events = [];
      this.#taken = 0;
      try {
        const piece = await this.#inflow.take();
        if (piece === undefined) {
          this.#records.finish();
          break;
        }
        this.#records.push(piece);
      } catch (error) {
        if (this.#closed) break;
        this.#inflow.cancel(error);
        throw error;
      }
    }
    return { done: true, value: undefined };
  }

  async return(): Promise<IteratorResult<FileEvent, undefined>> {
    this.close();
    return { done: true, value: undefined };
  }

  close(): void {
    this.#closed = true;
    this.#inflow.cancel(new SmolVMError("ABORTED", `${this.#what} was ended`));
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.close();
  }
}
