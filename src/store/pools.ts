import type { DatabaseSync, SQLOutputValue } from "node:sqlite";
import { SmolVMError } from "../errors.ts";
import { isAlive, type ProcessIdentity } from "../host/process/process-identity.ts";
import { transaction, write } from "./database.ts";
import { thisProcess } from "./holders.ts";
import type { VmFault } from "./vms.ts";

/** What is kept full of sandboxes that wait to be taken. */
export interface PoolRecord {
  readonly name: string;
  readonly size: number;
  /** what they are like: a VMConfig, checked when it was given */
  readonly config: unknown;
  /** ms since the epoch */
  readonly createdAt: number;
  /** the process that keeps it, and with which it ends; undefined: the supervisor */
  readonly keeper: ProcessIdentity | undefined;
  /** why the last sandbox for it could not be made; undefined: it could */
  readonly failure: VmFault | undefined;
}

/** The pools of a home. */
export class PoolTable {
  readonly #database: DatabaseSync;

  constructor(database: DatabaseSync) {
    this.#database = database;
  }

  /**
   * @param own it is kept by this process
   * @throws SmolVMError POOL_EXISTS
   */
  add(pool: Pick<PoolRecord, "name" | "size" | "config">, own: boolean): void {
    transaction(this.#database, () => {
      this.prune();
      if (this.find(pool.name)) {
        throw new SmolVMError("POOL_EXISTS", `a pool named '${pool.name}' exists`, {
          hint: `Choose another name, or remove it: smolvm pool rm ${pool.name}`,
          details: { name: pool.name },
        });
      }
      this.#database
        .prepare("INSERT INTO pools (name, size, config, created_at, keeper) VALUES (?, ?, ?, ?, ?)")
        .run(pool.name, pool.size, JSON.stringify(pool.config), Date.now(), own ? thisProcess() : null);
    });
  }

  /** Oldest first. Those whose process has ended are none. */
  list(): PoolRecord[] {
    const rows = this.#database.prepare("SELECT * FROM pools ORDER BY created_at, name").all();
    return rows.map(toRecord).filter(({ keeper }) => keeper === undefined || isAlive(keeper));
  }

  find(name: string): PoolRecord | undefined {
    return this.list().find((pool) => pool.name === name);
  }

  /** Those that the supervisor keeps. */
  ofSupervisor(): PoolRecord[] {
    return this.list().filter(({ keeper }) => keeper === undefined);
  }

  /** Notes whether a sandbox for it could be made. */
  setFailure(name: string, failure: VmFault | undefined): void {
    const text = failure === undefined ? null : JSON.stringify(failure);
    write(this.#database, "UPDATE pools SET failure = ?1 WHERE name = ?2 AND failure IS NOT ?1", text, name);
  }

  /** Removes those whose process has ended. Returns how many. */
  prune(): number {
    const rows = this.#database.prepare("SELECT * FROM pools WHERE keeper IS NOT NULL").all().map(toRecord);
    const dead = rows.filter(({ keeper }) => keeper !== undefined && !isAlive(keeper));
    for (const { name } of dead) this.remove(name);
    return dead.length;
  }

  /** Returns whether it was there. */
  remove(name: string): boolean {
    return write(this.#database, "DELETE FROM pools WHERE name = ?", name).changes > 0;
  }
}

function toRecord(row: Record<string, SQLOutputValue>): PoolRecord {
  return {
    name: String(row.name),
    size: Number(row.size),
    config: JSON.parse(String(row.config)),
    createdAt: Number(row.created_at),
    keeper: row.keeper === null ? undefined : (JSON.parse(String(row.keeper)) as ProcessIdentity),
    failure: row.failure === null ? undefined : (JSON.parse(String(row.failure)) as VmFault),
  };
}
