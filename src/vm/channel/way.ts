import type { Endpoint } from "../../agent/session/endpoint.ts";
import { CHANNEL_WAIT_MS } from "../../config/defaults.ts";
import { SmolVMError } from "../../errors.ts";
import type { Lease } from "../../store/leases.ts";
import type { VmRecord } from "../../store/vms.ts";
import type { Deadline } from "../../util/deadline.ts";
import { monotonicMs } from "../../util/monotonic.ts";
import { endpointOf, type Home, sessionsAreUnlimited } from "../home.ts";

/** Between looks at the queue: the store has no way to call back, and a port is held for milliseconds mostly. */
const QUEUE_POLL_MS = 5;
/** Longer than an idle holder takes to notice that somebody waits: then the supervisor is started for those who wait. */
const PATIENCE_MS = 300;

/** How this process gets to a sandbox's agent. */
export interface Way {
  readonly endpoint: Endpoint;
  /** the session port that it has for itself; undefined through the supervisor, and where sessions are unlimited */
  readonly lease: Lease | undefined;
  /** nothing of an earlier session can be left over on it */
  readonly fresh: boolean;
}

/**
 * A session port, if one is free or becomes free soon; else through the supervisor, which any number of processes can
 * share; where there can be none, the next port that becomes free.
 * @throws SmolVMError CHANNEL_BUSY naming the processes that hold the ports; TIMEOUT, ABORTED
 */
export async function findWay(home: Home, record: VmRecord, deadline: Deadline): Promise<Way> {
  if (sessionsAreUnlimited(record))
    return { endpoint: endpointOf(home, record, 0), lease: undefined, fresh: false };
  const { leases, supervisor } = home.store;
  const { id } = record;
  const ports = record.spec.machine.sessionPorts;
  let ticket: number | undefined;
  const startedAt = monotonicMs();
  let relayFailed: unknown;
  try {
    for (;;) {
      const lease = leases.tryAcquire(id, ticket, ports);
      if (lease) return { endpoint: endpointOf(home, record, lease.port), lease, fresh: false };
      ticket ??= leases.enqueue(id);
      const waitedMs = monotonicMs() - startedAt;
      if (relayFailed === undefined && (waitedMs > PATIENCE_MS || supervisor.current())) {
        try {
          const { relayEndpoint } = await import("../supervisor/duties.ts"); // few commands meet so many others
          const endpoint = await relayEndpoint(home, id, deadline);
          leases.withdraw(ticket);
          return { endpoint, lease: undefined, fresh: true };
        } catch (error) {
          deadline.check();
          relayFailed = error;
        }
      }
      if (waitedMs >= Math.min(CHANNEL_WAIT_MS, deadline.remainingMs))
        throw busy(leases.holders(id), relayFailed);
      await deadline.sleep(QUEUE_POLL_MS);
    }
  } catch (error) {
    if (ticket !== undefined) leases.withdraw(ticket);
    throw error;
  }
}

function busy(holders: readonly number[], cause: unknown): SmolVMError {
  return new SmolVMError(
    "CHANNEL_BUSY",
    `all session ports are in use, by the processes ${holders.join(", ")}, and there is no supervisor to share one`,
    {
      hint: "Wait until one of them has finished, or run several commands from one process.",
      details: { holders: [...holders] },
      cause,
    },
  );
}

/** Leases a session port of a machine that was just launched, where they are leased: nobody else can hold one. */
export function firstLease(home: Home, record: VmRecord): Lease | undefined {
  const { leases } = home.store;
  leases.clear(record.id);
  if (sessionsAreUnlimited(record)) return undefined;
  const lease = leases.tryAcquire(record.id, undefined, record.spec.machine.sessionPorts);
  if (!lease) throw new SmolVMError("INTERNAL", "a machine that was just launched has no free session port");
  return lease;
}
