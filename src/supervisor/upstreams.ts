import { AgentSession } from "../agent/session/session.ts";
import { HELLO_TIMEOUT_MS } from "../config/defaults.ts";
import { SmolVMError } from "../errors.ts";
import type { VmRecord } from "../store/vms.ts";
import { Deadline } from "../util/deadline.ts";
import { endpointOf, type Home, sessionsAreUnlimited } from "../vm/home.ts";
import { requireRunning } from "../vm/recovery/running.ts";

/** The supervisor's own session with each sandbox that somebody reaches through it, over the port that no command uses. */
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
    made.catch(() => this.#sessions.delete(id));
    return made;
  }

  async closeAll(): Promise<void> {
    for (const session of this.#sessions.values()) await (await session.catch(() => undefined))?.close();
  }

  async #connect(id: string): Promise<AgentSession> {
    const record = await requireRunning(this.#home, { id, name: id });
    const port = this.#takePort(record);
    try {
      const session = await AgentSession.connect(endpointOf(this.#home, record, port), {
        deadline: Deadline.within(HELLO_TIMEOUT_MS, `connecting to sandbox '${record.name}'`),
        client: "smolvm supervisor",
      });
      void session.ended.then(() => {
        this.#sessions.delete(id);
        this.#release(id, port);
        this.#onEnd(id);
      });
      return session;
    } catch (error) {
      this.#release(id, port);
      throw error;
    }
  }

  /** Port 0; while an older supervisor, which finishes what others wait for, still has that: a session port like any other. */
  #takePort(record: VmRecord): number {
    const { leases } = this.#home.store;
    const { id } = record;
    if (sessionsAreUnlimited(record) || !leases.takeControl(id)) return 0;
    const lease = leases.tryAcquire(id, undefined, record.spec.machine.sessionPorts);
    if (lease) return lease.port;
    throw new SmolVMError(
      "CHANNEL_BUSY",
      "all channels of the sandbox are in use, one of them by an older supervisor",
      {
        hint: "Wait until a command that uses one has finished.",
        details: { holders: leases.holders(id) },
      },
    );
  }

  #release(id: string, port: number): void {
    try {
      this.#home.store.leases.release(id, port);
    } catch {
      // The store cannot be written (a full disk): the lease ends with this process.
    }
  }
}
