import type { DatabaseSync } from "node:sqlite";
import { isAlive, type ProcessIdentity } from "../host/process/process-identity.ts";
import { transaction, write } from "./database.ts";
import { holderOf, pruneHolders, thisProcess } from "./holders.ts";

export interface Lease {
  readonly port: number;
  /** the last holder died without giving it back: the guest may not have noticed yet */
  readonly takenOver: boolean;
}

/** The port that is no session port: for stopping, and for the supervisor. */
const CONTROL_PORT = 0;

/**
 * Session ports of the sandboxes: which process uses which, and who waits. A port serves one process at a time;
 * the lease of a dead process is taken over. Waiters are served in the order in which they came.
 */
export class ChannelLeases {
  readonly #database: DatabaseSync;

  constructor(database: DatabaseSync) {
    this.#database = database;
  }

  /** Queues this process for a port of the sandbox. Returns its ticket. */
  enqueue(vmId: string): number {
    const { lastInsertRowid } = write(
      this.#database,
      "INSERT INTO channel_waiters (vm_id, holder) VALUES (?, ?)",
      vmId,
      thisProcess(),
    );
    return Number(lastInsertRowid);
  }

  /** Leaves the queue without a port. */
  withdraw(ticket: number): void {
    write(this.#database, "DELETE FROM channel_waiters WHERE ticket = ?", ticket);
  }

  /**
   * Takes a free port of 1..ports if it is this ticket's turn, and leaves the queue.
   * @param ticket undefined: not queued yet. Where a port is free for who comes last, as mostly, that is one write less
   */
  tryAcquire(vmId: string, ticket: number | undefined, ports: number): Lease | undefined {
    return transaction(this.#database, () => {
      const waiters = this.#database
        .prepare("SELECT ticket, holder FROM channel_waiters WHERE vm_id = ? AND ticket < ? ORDER BY ticket")
        .all(vmId, ticket ?? Number.MAX_SAFE_INTEGER);
      let ahead = 0;
      for (const waiter of waiters) {
        if (isAlive(holderOf(waiter))) ahead++;
        else this.withdraw(Number(waiter.ticket));
      }
      const held = new Map(this.#leases(vmId).map((lease) => [lease.port, lease.holder]));
      const free: Lease[] = [];
      for (let port = 1; port <= ports; port++) {
        const holder = held.get(port);
        if (!holder) free.push({ port, takenOver: false });
        else if (!isAlive(holder)) free.push({ port, takenOver: true });
      }
      // Clean ports first: a taken-over one may need the guest to notice that its last user is gone.
      free.sort((a, b) => Number(a.takenOver) - Number(b.takenOver));
      const lease = free[ahead]; // the ones before belong to those who came first
      if (!lease) return undefined;
      if (ticket !== undefined) this.withdraw(ticket);
      this.#database
        .prepare("INSERT OR REPLACE INTO channel_leases (vm_id, port, holder) VALUES (?, ?, ?)")
        .run(vmId, lease.port, thisProcess());
      return lease;
    });
  }

  /** Takes port 0, which only the supervisor uses. Returns the holder if that is another living process. */
  takeControl(vmId: string): ProcessIdentity | undefined {
    return transaction(this.#database, () => {
      const holder = this.controlHolder(vmId);
      if (holder && holder.pid !== process.pid) return holder;
      this.#database
        .prepare("INSERT OR REPLACE INTO channel_leases (vm_id, port, holder) VALUES (?, ?, ?)")
        .run(vmId, CONTROL_PORT, thisProcess());
      return undefined;
    });
  }

  /** The living process that has port 0, if there is one. */
  controlHolder(vmId: string): ProcessIdentity | undefined {
    const holder = this.#leases(vmId).find(({ port }) => port === CONTROL_PORT)?.holder;
    return holder && isAlive(holder) ? holder : undefined;
  }

  /** Gives a port back. One that was taken over by another process meanwhile stays that one's. */
  release(vmId: string, port: number): void {
    write(
      this.#database,
      "DELETE FROM channel_leases WHERE vm_id = ? AND port = ? AND holder = ?",
      vmId,
      port,
      thisProcess(),
    );
  }

  /** Forgets all leases and waiters of a sandbox: its machine is gone. */
  clear(vmId: string): void {
    write(this.#database, "DELETE FROM channel_leases WHERE vm_id = ?", vmId);
  }

  /** Forgets the leases and the places in the queue of processes that are gone. Returns how many they were. */
  prune(): number {
    return pruneHolders(this.#database, "channel_leases") + pruneHolders(this.#database, "channel_waiters");
  }

  /** Pids of the processes that hold session ports, for messages. */
  holders(vmId: string): number[] {
    return this.#leases(vmId)
      .filter(({ port }) => port !== CONTROL_PORT)
      .map(({ holder }) => holder.pid);
  }

  /** True if somebody waits for a port of this sandbox. */
  hasWaiters(vmId: string): boolean {
    return (
      this.#database.prepare("SELECT 1 FROM channel_waiters WHERE vm_id = ? LIMIT 1").get(vmId) !== undefined
    );
  }

  #leases(vmId: string): { port: number; holder: ProcessIdentity }[] {
    return this.#database
      .prepare("SELECT port, holder FROM channel_leases WHERE vm_id = ?")
      .all(vmId)
      .map((row) => ({ port: Number(row.port), holder: holderOf(row) }));
  }
}
