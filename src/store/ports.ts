import type { DatabaseSync } from "node:sqlite";
import { isAlive } from "../host/process/process-identity.ts";
import { write } from "./database.ts";
import { holderOf, pruneHolders, thisProcess } from "./holders.ts";

/** A port of the host that leads into a sandbox. */
export interface PortRecord {
  readonly guestPort: number;
  readonly hostAddress: string;
  readonly hostPort: number;
}

/** Which process forwards which port into which sandbox: for others to see. A forward ends with its process. */
export class PortTable {
  readonly #database: DatabaseSync;

  constructor(database: DatabaseSync) {
    this.#database = database;
  }

  /** Notes a port that this process forwards. Returns its row. */
  add(vmId: string, { guestPort, hostAddress, hostPort }: PortRecord): number {
    const { lastInsertRowid } = write(
      this.#database,
      "INSERT INTO ports (vm_id, guest_port, host_address, host_port, holder) VALUES (?, ?, ?, ?, ?)",
      vmId,
      guestPort,
      hostAddress,
      hostPort,
      thisProcess(),
    );
    return Number(lastInsertRowid);
  }

  remove(row: number): void {
    write(this.#database, "DELETE FROM ports WHERE id = ?", row);
  }

  /** The ports that lead into a sandbox now, in the order in which they were opened. */
  of(vmId: string): PortRecord[] {
    return this.#database
      .prepare("SELECT * FROM ports WHERE vm_id = ? ORDER BY id")
      .all(vmId)
      .filter((row) => isAlive(holderOf(row)))
      .map((row) => ({
        guestPort: Number(row.guest_port),
        hostAddress: String(row.host_address),
        hostPort: Number(row.host_port),
      }));
  }

  /** {@link of} for all sandboxes that have any: by their ids. */
  byVm(): Map<string, PortRecord[]> {
    const ids = this.#database.prepare("SELECT DISTINCT vm_id FROM ports").all();
    return new Map(ids.map(({ vm_id }) => [String(vm_id), this.of(String(vm_id))]));
  }

  /** Forgets the ports of processes that are gone. Returns how many they were. */
  prune(): number {
    return pruneHolders(this.#database, "ports");
  }
}
