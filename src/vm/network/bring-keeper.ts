import { type BroughtPort, bring } from "../../agent/door/bring.ts";
import type { AgentSession } from "../../agent/session/session.ts";
import type { BringPort } from "../../config/spec.ts";
import type { Home } from "../home.ts";

/** After a session has ended, or while a program of the guest's has the port: how soon to try again, in ms. */
const AGAIN_MS = 500;

/** Serves the ports of one sandbox that lead to services of the host's, for as long as it runs, over one session after the other. */
export class BringKeeper {
  readonly #home: Home;
  readonly #id: string;
  readonly #session: () => Promise<AgentSession>;
  readonly #wanted: readonly BringPort[];
  readonly #open = new Set<BroughtPort>();
  #closed = false;

  /** @param session a session with the sandbox's agent, as long as it runs */
  constructor(home: Home, id: string, wanted: readonly BringPort[], session: () => Promise<AgentSession>) {
    this.#home = home;
    this.#id = id;
    this.#wanted = wanted;
    this.#session = session;
  }

  /**
   * Begins. Resolves when all of them lead where they are to.
   * @throws SmolVMError as `bring`, and what the session's lack means; then none does
   */
  async open(): Promise<void> {
    try {
      for (const wanted of this.#wanted) await this.#serve(wanted);
    } catch (error) {
      this.close();
      throw error;
    }
  }

  /** Nobody listens there any more. */
  close(): void {
    this.#closed = true;
    for (const port of this.#open) port.close();
    this.#open.clear();
  }

  async #serve(wanted: BringPort): Promise<void> {
    const port = await bring(await this.#session(), wanted.guestPort, wanted);
    if (this.#closed) {
      port.close();
      return;
    }
    this.#open.add(port);
    void port.ended.then(() => {
      this.#open.delete(port);
      this.#again(wanted);
    });
  }

  /** The session has ended: its machine may have, too. */
  #again(wanted: BringPort): void {
    if (this.#closed) return;
    const timer = setTimeout(() => {
      if (this.#closed || this.#home.store.vms.find(this.#id)?.state !== "running") return;
      this.#serve(wanted).catch(() => this.#again(wanted));
    }, AGAIN_MS);
    timer.unref();
  }
}
