import type { DatabaseSync } from "node:sqlite";
import { isAlive, type ProcessIdentity } from "../host/process/process-identity.ts";
import { transaction, write } from "./database.ts";
import { holderOf, thisProcess } from "./holders.ts";

/** The supervisor that lives now. */
export interface SupervisorRecord {
  readonly process: ProcessIdentity;
  /** the package's version that it runs */
  readonly version: string;
}

/** Which process is the home's supervisor, and whether there is something for one to do. */
export class SupervisorTable {
  readonly #database: DatabaseSync;

  constructor(database: DatabaseSync) {
    this.#database = database;
  }

  /** Makes this process the supervisor, if there is none. Returns whether it is now. */
  tryTake(version: string): boolean {
    return transaction(this.#database, () => {
      if (this.current()) return false;
      this.#database
        .prepare("INSERT OR REPLACE INTO supervisor (only, holder, version) VALUES (1, ?, ?)")
        .run(thisProcess(), version);
      return true;
    });
  }

  /** This process is the supervisor no more. */
  release(): void {
    write(this.#database, "DELETE FROM supervisor WHERE holder = ?", thisProcess());
  }

  /** The living supervisor, if there is one. */
  current(): SupervisorRecord | undefined {
    const row = this.#database.prepare("SELECT holder, version FROM supervisor").get();
    if (!row) return undefined;
    const process = holderOf(row);
    return isAlive(process) ? { process, version: String(row.version) } : undefined;
  }

  /** Something waits for a supervisor: a detached sandbox with a time to live, forwards of a running one its restricted network or ports that it was brought, or a pool. */
  isNeeded(): boolean {
    return (
      this.#database
        .prepare(
          `SELECT 1 FROM vms WHERE (expires_at IS NOT NULL AND owner IS NULL)
             OR (state = 'running' AND EXISTS (SELECT 1 FROM forwards WHERE vm_id = vms.id))
             OR (state = 'running' AND owner IS NULL AND json_extract(spec, '$.machine.network') = 'restricted')
             OR (state = 'running' AND owner IS NULL AND json_array_length(spec, '$.bring') > 0)
           UNION ALL SELECT 1 FROM pools WHERE keeper IS NULL LIMIT 1`,
        )
        .get() !== undefined
    );
  }
}
