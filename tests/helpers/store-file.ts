import { join } from "node:path";
import { DatabaseSync, type SQLInputValue, type SQLOutputValue } from "node:sqlite";

/** File of the store of a test's home (useTempHome). */
export const storeFile = (home: string): string => join(home, "data", "smolvm", "store.db");

/**
 * Others may have it for themselves for a moment: who opens it first after a process that was killed puts its log in order, who closes it last puts that into it.
 * Without a time to wait, that is "database is locked".
 */
const TIMEOUT_MS = 10_000;

/** What a query of a home's store gives. */
export function storeRows(
  home: string,
  query: string,
  ...values: SQLInputValue[]
): Record<string, SQLOutputValue>[] {
  const database = new DatabaseSync(storeFile(home), { readOnly: true, timeout: TIMEOUT_MS });
  try {
    return database.prepare(query).all(...values);
  } finally {
    database.close();
  }
}

/** Changes a home's store behind smolvm's back. */
export function changeStore(home: string, statement: string, ...values: SQLInputValue[]): void {
  const database = new DatabaseSync(storeFile(home), { timeout: TIMEOUT_MS });
  try {
    database.prepare(statement).run(...values);
  } finally {
    database.close();
  }
}
