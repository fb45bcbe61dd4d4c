import { ChunkQueue } from "../../util/chunk-queue.ts";
import type { Deadline } from "../../util/deadline.ts";
import type { Opened, Result } from "../wire/messages.ts";
import { violation } from "../wire/violation.ts";
import { type Call, call } from "./call.ts";
import type { AgentSession } from "./session.ts";
import type { AgentStream } from "./stream.ts";

/** Bytes that may be under way or waiting to be taken. */
const WINDOW = 1024 * 1024;

/** A request whose answer is content: pulled, so that it comes no faster than it is used. */
export class Inflow {
  /** the guest has begun; rejects with what kept it from it */
  readonly opened: Promise<Opened>;
  /** the guest's good result; rejects with what went wrong */
  readonly result: Promise<Result>;
  #stream: AgentStream | undefined;
  #giveUp: (error: unknown) => void = () => {};
  readonly #queue = new ChunkQueue<undefined>();
  #taken = 0;
  #ended = false;
  #over = false;
  #failure: { error: unknown } | undefined;
  #wake: () => void = () => {};

  /** @param needsEnd a good result without an END of channel 1 before it is a broken answer */
  constructor(session: AgentSession, request: Omit<Call, "opens">, deadline: Deadline, needsEnd: boolean) {
    let onOpened: (opened: Opened) => void = () => {};
    let onFailure: (error: unknown) => void = () => {};
    let begun = false;
    this.opened = new Promise((resolve, reject) => {
      onOpened = resolve;
      onFailure = reject;
    });
    this.opened.catch(() => {}); // whoever pulls hears of it as well
    this.result = call(session, { window: WINDOW, ...request, opens: true }, deadline, {
      started: (stream, giveUp) => {
        this.#stream = stream;
        this.#giveUp = giveUp;
      },
      opened: (opened) => {
        begun = true;
        onOpened(opened);
      },
      data: (piece) => {
        this.#queue.push(undefined, piece);
        this.#wake();
      },
      end: () => {
        this.#ended = true;
        this.#wake();
      },
    });
    this.result.then(
      () => {
        const broken = !begun
          ? "content without OPENED"
          : needsEnd && !this.#ended
            ? "content without its end"
            : undefined;
        if (broken !== undefined) this.#failure = { error: violation(broken) };
        onFailure(this.#failure?.error);
        this.#over = true;
        this.#wake();
      },
      (error: unknown) => {
        this.#failure = { error };
        onFailure(error);
        this.#over = true;
        this.#wake();
      },
    );
  }

  /** The next piece of content: undefined after the last one and a good result. Gives the credit of the last piece back. */
  async take(): Promise<Buffer | undefined> {
    if (this.#taken > 0) {
      this.#stream?.grant(1, this.#taken);
      this.#taken = 0;
    }
    for (;;) {
      // What came before a failure is not worth having: the whole has failed.
      if (this.#failure !== undefined) throw this.#failure.error;
      const chunk = this.#queue.shift();
      if (chunk !== undefined) {
        this.#taken = chunk.data.length;
        return chunk.data;
      }
      if (this.#over) return undefined;
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
  }

  /** All pieces that are there, at least one; undefined after the last. */
  async takeAll(): Promise<Buffer[] | undefined> {
    const first = await this.take();
    if (first === undefined) return undefined;
    const pieces = [first];
    for (let next = this.#queue.shift(); next !== undefined; next = this.#queue.shift()) {
      this.#taken += next.data.length;
      pieces.push(next.data);
    }
    return pieces;
  }

  /** The rest is not wanted: the guest stops, and `result` rejects with `reason`. Does nothing after the end. */
  cancel(reason: unknown): void {
    if (this.#over) return;
    this.#queue.clear();
    this.#giveUp(reason);
  }
}
