import type { DatabaseSync } from "node:sqlite";
import { transaction } from "./database.ts";

/**
 * Which sandbox has which tap. A lease is for as long as the machine may run: {@link VmTable.transition} ends it with
 * the machine, in the same transaction, and the record takes it along. So nobody who dies can leave one behind that
 * recovering the sandbox does not find.
 */
export class TapLeases {
  readonly #database: DatabaseSync;

  constructor(database: DatabaseSync) {
    this.#database = database;
  }

  /**
   * Leases the first of these taps that nobody has; a lease that the sandbox already had is given up.
   * @param taps names, in the order of preference
   * @returns its name; undefined: all are leased
   */
  lease(vmId: string, taps: readonly string[]): string | undefined {
    return transaction(this.#database, () => {
      this.#database.prepare("DELETE FROM tap_leases WHERE vm_id = ?").run(vmId);
      const leased = new Set(
        this.#database
          .prepare("SELECT tap FROM tap_leases")
          .all()
          .map((row) => row.tap),
      );
      const tap = taps.find((name) => !leased.has(name));
      if (tap !== undefined)
        this.#database.prepare("INSERT INTO tap_leases (tap, vm_id) VALUES (?, ?)").run(tap, vmId);
      return tap;
    });
  }

  /** The taps that sandboxes have, by the sandboxes' ids. */
  byVm(): Map<string, string> {
    const rows = this.#database.prepare("SELECT vm_id, tap FROM tap_leases").all();
    return new Map(rows.map(({ vm_id, tap }) => [String(vm_id), String(tap)]));
  }
}
