import { AgentSession } from "../../agent/session/session.ts";
import { HELLO_TIMEOUT_MS } from "../../config/defaults.ts";
import { isSmolVMError } from "../../errors.ts";
import type { Lease } from "../../store/leases.ts";
import { Deadline } from "../../util/deadline.ts";
import type { Home } from "../home.ts";
import { deletedError, type VmRef } from "../recovery/deleted.ts";
import { requireRunning } from "../recovery/running.ts";
import { findWay } from "./way.ts";

/** How often an idle channel looks whether another process waits for its port. */
const IDLE_CHECK_MS = 250;
/** After a holder was killed: time for the guest to notice that the host side of the port is gone. */
const TAKE_OVER_PAUSE_MS = 30;

/**
 * This process's session with the agent of one sandbox, made when first needed and shared by everything this process does.
 * The session port that it leases for that is given back when it is idle and others wait.
 */
export class Channel {
  readonly #home: Home;
  readonly #vm: VmRef;
  #current: Promise<AgentSession> | undefined;

  constructor(home: Home, vm: VmRef) {
    this.#home = home;
    this.#vm = vm;
  }

  /** A session is there, or on its way. */
  get isOpen(): boolean {
    return this.#current !== undefined;
  }

  /**
   * The session to the guest's agent.
   * @throws SmolVMError VM_STATE with the exact start command, CHANNEL_BUSY naming the holders, AGENT_LOST, AGENT_VERSION
   */
  async session(deadline: Deadline): Promise<AgentSession> {
    for (;;) {
      const begins = this.#current === undefined;
      // Not awaited before it is stored: concurrent callers share one session.
      this.#current ??= this.#connect(deadline).catch((error) => {
        this.#current = undefined;
        throw error;
      });
      try {
        return await (begins ? this.#current : deadline.race(this.#current));
      } catch (error) {
        // Whose deadline it was has given up; we have not.
        const givenUp = isSmolVMError(error) && (error.code === "ABORTED" || error.code === "TIMEOUT");
        if (begins || !givenUp || deadline.expired) throw error;
      }
    }
  }

  /** Takes over a session that was made while starting the machine. */
  adopt(session: AgentSession, lease: Lease | undefined): void {
    this.#current = Promise.resolve(session);
    this.#watch(session, lease);
  }

  /** Closes the session, if there is one, and gives the port back. */
  async close(): Promise<void> {
    const current = this.#current;
    this.#current = undefined;
    const session = await current?.catch(() => undefined);
    await session?.close();
    await session?.ended;
  }

  async #connect(deadline: Deadline): Promise<AgentSession> {
    try {
      return await this.#connectNow(deadline);
    } catch (error) {
      throw this.#home.store.vms.find(this.#vm.id) ? error : deletedError(this.#vm); // whatever that made fail first
    }
  }

  async #connectNow(deadline: Deadline): Promise<AgentSession> {
    const record = await requireRunning(this.#home, this.#vm);
    const { endpoint, lease, fresh } = await findWay(this.#home, record, deadline);
    try {
      if (lease?.takenOver) await deadline.sleep(TAKE_OVER_PAUSE_MS);
      const hello = Deadline.of(`connecting to sandbox '${record.name}'`, {
        timeoutMs: Math.min(HELLO_TIMEOUT_MS, deadline.remainingMs),
        signal: deadline.signal,
      });
      const session = await AgentSession.connect(endpoint, { deadline: hello, fresh });
      this.#watch(session, lease);
      return session;
    } catch (error) {
      if (lease) this.#home.store.leases.release(record.id, lease.port);
      throw error;
    }
  }

  /** @param lease the session port that it has; none where nobody has to wait for one */
  #watch(session: AgentSession, lease: Lease | undefined): void {
    const current = this.#current;
    void session.ended.then(() => {
      // After a restart the channel may have the next session already.
      if (this.#current === current) this.#current = undefined;
    });
    if (!lease) return;
    const timer = setInterval(() => {
      if (session.streamCount === 0 && this.#home.store.leases.hasWaiters(this.#vm.id)) void this.close();
    }, IDLE_CHECK_MS);
    timer.unref();
    void session.ended.then(() => {
      clearInterval(timer);
      try {
        this.#home.store.leases.release(this.#vm.id, lease.port);
      } catch {
        // The store cannot be written (a full disk): the lease ends with this process, others take it over.
      }
    });
  }
}
