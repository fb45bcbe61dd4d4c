import { AgentSession } from "../agent/session.ts";
import { HELLO_TIMEOUT_MS } from "../config/defaults.ts";
import { SmolVMError } from "../errors.ts";
import { Deadline } from "../util/deadline.ts";
import { endpointOf, type Home } from "../vm/home.ts";
import { requireRunning } from "../vm/running.ts";

/** The supervisor's own session with each sandbox that somebody reaches through it, over the port that nobody else uses. */
export class Upstreams {
  readonly #home: Home;
  readonly #onEnd: (id: string) => void;
  readonly #sessions = new Map<string, Promise<AgentSession>>();

  /** @param onEnd told when a sandbox's session is over: it may have stopped, or crashed */
  constructor(home: Home, onEnd: (id: string) => void) {
    this.#home = home;
    this.#onEnd = onEnd;
  }

  /** The session with a sandbox, made if there is none. @throws SmolVMError VM_STATE, CHANNEL_BUSY, AGENT_LOST, TIMEOUT */
  session(id: string): Promise<AgentSession> {
    const known = this.#sessions.get(id);
    if (known) return known;
    const made = this.#connect(id);
    this.#sessions.set(id, made);
    made.then(
      (session) => session.ended.then(() => this.#forget(id)),
      () => this.#sessions.delete(id),
    );
    return made;
  }

  async closeAll(): Promise<void> {
    for (const session of this.#sessions.values()) await (await session.catch(() => undefined))?.close();
  }

  async #connect(id: string): Promise<AgentSession> {
    const record = await requireRunning(this.#home, id);
    const holder = this.#home.store.leases.takeControl(id);
    if (holder && holder.pid !== process.pid) {
      throw new SmolVMError(
        "CHANNEL_BUSY",
        `process ${holder.pid}, an older supervisor, still serves this sandbox`,
        {
          hint: "Wait until its commands have finished.",
          details: { holders: [holder.pid] },
        },
      );
    }
    try {
      return await AgentSession.connect(endpointOf(this.#home, record, 0), {
        deadline: Deadline.of(`connecting to sandbox '${record.name}'`, { timeoutMs: HELLO_TIMEOUT_MS }),
        client: "smolvm supervisor",
      });
    } catch (error) {
      this.#release(id);
      throw error;
    }
  }

  #forget(id: string): void {
    this.#sessions.delete(id);
    this.#release(id);
    this.#onEnd(id);
  }

  #release(id: string): void {
    try {
      this.#home.store.leases.release(id, 0);
    } catch {
      // The store cannot be written (a full disk): the lease ends with this process.
    }
  }
}
