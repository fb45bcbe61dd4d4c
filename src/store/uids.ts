import type { DatabaseSync } from "node:sqlite";
import { transaction } from "./database.ts";

/**
 * Which sandbox has which uid for its VMM. It has it from its first start for as long as it exists, because its disk belongs
 * to that uid; the record takes the lease along.
 */
export class UidLeases {
  readonly #database: DatabaseSync;

  constructor(database: DatabaseSync) {
    this.#database = database;
  }

  /** The uid of a sandbox; undefined: it has none. */
  of(vmId: string): number | undefined {
    const row = this.#database.prepare("SELECT uid FROM uid_leases WHERE vm_id = ?").get(vmId);
    return row === undefined ? undefined : Number(row.uid);
  }

  /** What tells this home from any other that is, or was, or will be at its path. */
  homeToken(): string {
    return String(this.#database.prepare("SELECT token FROM home").get()?.token);
  }

  /**
   * The uid of a sandbox: the one that it has, or the lowest free one. One outside the range, which was this home's when it was
   * leased (or is that of the home that this one was copied from), is given up.
   * @param range the first one, and how many there are
   * @returns undefined: all are leased
   */
  lease(vmId: string, range: { readonly first: number; readonly count: number }): number | undefined {
    return transaction(this.#database, () => {
      const own = this.of(vmId);
      if (own !== undefined && own >= range.first && own < range.first + range.count) return own;
      this.#database.prepare("DELETE FROM uid_leases WHERE vm_id = ?").run(vmId);
      const leased = new Set(
        this.#database
          .prepare("SELECT uid FROM uid_leases")
          .all()
          .map((row) => Number(row.uid)),
      );
      for (let uid = range.first; uid < range.first + range.count; uid++) {
        if (leased.has(uid)) continue;
        this.#database.prepare("INSERT INTO uid_leases (uid, vm_id) VALUES (?, ?)").run(uid, vmId);
        return uid;
      }
      return undefined;
    });
  }
}
