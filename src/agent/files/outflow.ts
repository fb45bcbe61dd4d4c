import type { Deadline } from "../../util/deadline.ts";
import { type Call, call } from "../session/call.ts";
import type { AgentSession } from "../session/session.ts";
import type { AgentStream } from "../session/stream.ts";
import type { Opened, Result } from "../wire/messages.ts";

/** A request that takes content: pushed as fast as the guest takes it. */
export class Outflow {
  /** the guest has begun; rejects with what kept it from it */
  readonly opened: Promise<Opened | undefined>;
  /** the guest's good result; rejects with what went wrong, and then nothing was written */
  readonly result: Promise<Result>;
  #stream!: AgentStream;
  #giveUp: (error: unknown) => void = () => {};
  /** told when the guest's result is a failure: for who waits for more content meanwhile */
  onFailure: (error: unknown) => void = () => {};

  constructor(session: AgentSession, request: Omit<Call, "opens">, deadline: Deadline) {
    let onOpened: (opened: Opened | undefined) => void = () => {};
    const opened = new Promise<Opened | undefined>((resolve) => {
      onOpened = resolve;
    });
    this.result = call(session, { ...request, opens: true }, deadline, {
      started: (stream, giveUp) => {
        this.#stream = stream;
        this.#giveUp = giveUp;
      },
      opened: (message) => onOpened(message),
    });
    this.result.catch((error: unknown) => this.onFailure(error)); // who waits for `opened` or sends hears of it too
    this.opened = Promise.race([opened, this.result.then(() => undefined)]);
    this.opened.catch(() => {});
  }

  /** The guest takes no more: it has answered, or the session is over. */
  get over(): boolean {
    return this.#stream.over;
  }

  /** Resolves when the memory may be used again: the bytes are with the kernel, or nobody wants them any more. */
  send(pieces: readonly Uint8Array[]): Promise<void> {
    return this.#stream.sendAll(pieces);
  }

  /** All was sent. @returns the guest's result */
  end(): Promise<Result> {
    this.#stream.end();
    return this.result;
  }

  /** The content cannot be completed: the guest leaves what it had as it was, and `result` rejects with `reason`. */
  cancel(reason: unknown): void {
    if (!this.#stream.over) this.#giveUp(reason);
  }
}
