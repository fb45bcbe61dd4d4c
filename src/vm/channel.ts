import { AgentSession } from "../agent/session.ts";
import { CHANNEL_WAIT_MS, HELLO_TIMEOUT_MS } from "../config/defaults.ts";
import { SmolVMError } from "../errors.ts";
import type { Lease } from "../store/leases.ts";
import type { VmRecord } from "../store/vms.ts";
import { Deadline } from "../util/deadline.ts";
import { endpointOf, type Home, sessionsAreUnlimited } from "./home.ts";
import { recover } from "./recover.ts";

/** Between looks at the queue: the store has no way to call back, and a port is held for milliseconds mostly. */
const QUEUE_POLL_MS = 5;
/** How often an idle channel looks whether another process waits for its port. */
const IDLE_CHECK_MS = 250;
/** After a holder was killed: time for the guest to notice that the host side of the port is gone. */
const TAKE_OVER_PAUSE_MS = 30;

/**
 * This process's way to the agent of one sandbox: a leased session port and the session on it, made when first
 * needed, shared by everything this process does, and given back when it is idle and others wait.
 */
export class Channel {
  readonly #home: Home;
  readonly #id: string;
  #current: Promise<AgentSession> | undefined;

  constructor(home: Home, id: string) {
    this.#home = home;
    this.#id = id;
  }

  /**
   * The session to the guest's agent.
   * @throws SmolVMError VM_STATE with the exact start command, CHANNEL_BUSY naming the holders, AGENT_LOST, AGENT_VERSION
   */
  session(deadline: Deadline): Promise<AgentSession> {
    // Not awaited before it is stored: concurrent callers share one session.
    this.#current ??= this.#connect(deadline).catch((error) => {
      this.#current = undefined;
      throw error;
    });
    return this.#current;
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
    const record = await recover(this.#home, this.#home.store.vms.get(this.#id));
    if (record.state !== "running") {
      throw new SmolVMError("VM_STATE", `sandbox '${record.name}' is ${record.state}, not running`, {
        hint: `Start it: smolvm start ${record.name}`,
        details: { state: record.state, error: record.error },
      });
    }
    const lease = sessionsAreUnlimited(record)
      ? undefined
      : await acquireLease(this.#home, record.id, record.spec.machine.sessionPorts, deadline);
    try {
      if (lease?.takenOver) await deadline.sleep(TAKE_OVER_PAUSE_MS);
      const hello = Deadline.of(`connecting to sandbox '${record.name}'`, {
        timeoutMs: Math.min(HELLO_TIMEOUT_MS, deadline.remainingMs),
        signal: deadline.signal,
      });
      const session = await AgentSession.connect(endpointOf(this.#home, record, lease?.port ?? 0), {
        deadline: hello,
      });
      this.#watch(session, lease);
      return session;
    } catch (error) {
      if (lease) this.#home.store.leases.release(record.id, lease.port);
      throw error;
    }
  }

  /** @param lease the session port that it has; none where sessions are unlimited, and nobody has to wait for it */
  #watch(session: AgentSession, lease: Lease | undefined): void {
    const current = this.#current;
    void session.ended.then(() => {
      clearInterval(timer);
      // After a restart the channel may have the next session already.
      if (this.#current === current) this.#current = undefined;
      if (!lease) return;
      try {
        this.#home.store.leases.release(this.#id, lease.port);
      } catch {
        // The store cannot be written (a full disk): the lease ends with this process, others take it over.
      }
    });
    const timer = setInterval(() => {
      if (lease && session.streamCount === 0 && this.#home.store.leases.hasWaiters(this.#id))
        void this.close();
    }, IDLE_CHECK_MS);
    timer.unref();
  }
}

/** Waits in line for a session port. @throws SmolVMError CHANNEL_BUSY naming the processes that hold the ports */
async function acquireLease(home: Home, id: string, ports: number, deadline: Deadline): Promise<Lease> {
  const { leases } = home.store;
  const ticket = leases.enqueue(id);
  const until = performance.now() + Math.min(CHANNEL_WAIT_MS, deadline.remainingMs);
  try {
    for (;;) {
      const lease = leases.tryAcquire(id, ticket, ports);
      if (lease) return lease;
      if (performance.now() >= until) {
        const holders = leases.holders(id);
        throw new SmolVMError(
          "CHANNEL_BUSY",
          `all ${ports} session ports are in use, by the processes ${holders.join(", ")}`,
          {
            hint: "Wait until one of them has finished, or run several commands from one process.",
            details: { holders },
          },
        );
      }
      await deadline.sleep(QUEUE_POLL_MS);
    }
  } catch (error) {
    leases.withdraw(ticket);
    throw error;
  }
}

/** Leases a session port of a machine that was just launched, where they are leased: nobody else can hold one. */
export function firstLease(home: Home, record: VmRecord): Lease | undefined {
  const { leases } = home.store;
  leases.clear(record.id);
  if (sessionsAreUnlimited(record)) return undefined;
  const lease = leases.tryAcquire(record.id, leases.enqueue(record.id), record.spec.machine.sessionPorts);
  if (!lease) throw new SmolVMError("INTERNAL", "a machine that was just launched has no free session port");
  return lease;
}
