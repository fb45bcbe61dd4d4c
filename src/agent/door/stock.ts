import { isSmolVMError } from "../../errors.ts";
import { type Arrival, awaitNext } from "../forward/forward.ts";
import type { AgentSession } from "../session/session.ts";

/** Streams that wait for connections, or brought one about which nothing is decided yet: all that a guest can send on them unasked is this process's to keep. */
const PLACES = 16;
/** How much a guest may send ahead on each, in bytes. */
const WINDOW: number = 64 * 1024;

/**
 * Streams on which the guest's agent hands the next connections over, so that a connection costs one message of the guest's before its content, and not three
 * between both. They are opened by the half dozen, behind what is decided. Where there are none, because many come at once or the agent does not know
 * them, it tells of connections as ever.
 */
export class Stock {
  readonly #session: AgentSession;
  readonly #arrived: (arrival: Arrival) => void;
  readonly #waiting = new Set<() => void>();
  #taken = 0;
  #over = false;

  /** @param arrived must not throw, and is followed by one `decided` */
  constructor(session: AgentSession, arrived: (arrival: Arrival) => void) {
    this.#session = session;
    this.#arrived = arrived;
  }

  /** Opens what is missing, if that is half of them. */
  fill(): void {
    if (this.#waiting.size + this.#taken > PLACES / 2) return;
    if (!this.#session.roomy) return; // the guest does not read; it may tell of connections later
    while (!this.#over && this.#waiting.size + this.#taken < PLACES) this.#open();
  }

  /** What has arrived was decided about: its place is free. */
  decided(): void {
    this.#taken--;
    this.fill();
  }

  /** Nothing is waited for any more. */
  close(): void {
    this.#over = true;
    for (const giveUp of this.#waiting) giveUp();
    this.#waiting.clear();
  }

  #open(): void {
    try {
      const giveUp = awaitNext(
        this.#session,
        WINDOW,
        (arrival) => {
          this.#waiting.delete(giveUp);
          this.#taken++;
          this.#arrived(arrival);
        },
        (error) => {
          this.#waiting.delete(giveUp);
          // A guest that is being captured, or has too much to do, takes others later.
          this.#over ||= !isSmolVMError(error, "VM_BUSY");
        },
      );
      this.#waiting.add(giveUp);
    } catch {
      this.#over = true; // the session is
    }
  }
}
