import type { DatabaseSync, SQLOutputValue } from "node:sqlite";
import { identify, isAlive, type ProcessIdentity } from "../host/process/process-identity.ts";
import { transaction } from "./database.ts";

let own: string | undefined;

/** This process, as a row's holder. Asked for several times by each command, and always the same. */
export function thisProcess(): string {
  own ??= JSON.stringify(identify(process.pid));
  return own;
}

/** The process that holds what a row stands for. */
export function holderOf(row: Record<string, SQLOutputValue>): ProcessIdentity {
  return JSON.parse(String(row.holder)) as ProcessIdentity;
}

/** Forgets the rows of a table whose holders are gone. Returns how many they were. */
export function pruneHolders(
  database: DatabaseSync,
  table: "channel_leases" | "channel_waiters" | "ports",
): number {
  return transaction(database, () => {
    const gone = database
      .prepare(`SELECT rowid AS row_id, holder FROM ${table}`)
      .all()
      .filter((row) => !isAlive(holderOf(row)));
    for (const { row_id } of gone)
      database.prepare(`DELETE FROM ${table} WHERE rowid = ?`).run(Number(row_id));
    return gone.length;
  });
}
