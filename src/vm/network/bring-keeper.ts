import { type BroughtPort, bring } from "../../agent/door/bring.ts";
import type { AgentSession } from "../../agent/session/session.ts";
import type { BringPort } from "../../config/spec.ts";
import type { Home } from "../home.ts";
import { type Keeper, serveAgain } from "./keeper.ts";

/** Serves the ports of one sandbox that lead to services of the host's, for as long as it runs, over one session after the other. */
export class BringKeeper implements Keeper {
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
      serveAgain(
        this.#home,
        this.#id,
        () => this.#closed,
        () => this.#serve(wanted),
      );
    });
  }
}
