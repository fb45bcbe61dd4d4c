import { mkdirSync } from "node:fs";
import { dirname } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { SmolVMError } from "../errors.ts";
import { MIGRATIONS } from "./migrations.ts";

/** SQLite result codes (sqlite.org/rescode.html) that mean the file itself is bad. */
const SQLITE_CORRUPT = 11;
const SQLITE_NOTADB = 26;

/**
 * Opens the store, making and migrating it if needed. The only file that knows SQL's dialect and setting up.
 * @throws SmolVMError STORE_INVALID for a damaged or newer database, which is left as it is
 */
export function openDatabase(path: string): DatabaseSync {
  mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
  let database: DatabaseSync | undefined;
  try {
    database = new DatabaseSync(path, { timeout: 10_000 });
    // WAL: readers never wait for a writer. NORMAL: no fsync per commit; after a power loss the last
    // commits may be missing, which recovery must cope with anyway (no VMM survives a power loss).
    database.exec("PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; PRAGMA foreign_keys = ON;");
    migrate(database, path);
    return database;
  } catch (error) {
    database?.close();
    if (error instanceof SmolVMError) throw error;
    const code = (error as { errcode?: number }).errcode ?? 0;
    if ((code & 0xff) === SQLITE_CORRUPT || (code & 0xff) === SQLITE_NOTADB) {
      throw new SmolVMError("STORE_INVALID", `the store '${path}' is damaged: ${(error as Error).message}`, {
        hint: `Keep a copy of it for a look, then remove it (rm '${path}'*); sandboxes it named can no longer be managed.`,
        cause: error,
      });
    }
    throw new SmolVMError(
      "HOST_FAILED",
      `the store '${path}' cannot be opened: ${(error as Error).message}`,
      {
        cause: error,
      },
    );
  }
}

function migrate(database: DatabaseSync, path: string): void {
  if (version(database) === MIGRATIONS.length) return;
  transaction(database, () => {
    const current = version(database); // again, now that we hold the write lock
    if (current > MIGRATIONS.length) {
      throw new SmolVMError("STORE_INVALID", `the store '${path}' was written by a newer version of smolvm`, {
        hint: "Update smolvm, or set SMOLVM_HOME to another directory.",
        details: { storeVersion: current, supportedVersion: MIGRATIONS.length },
      });
    }
    for (const migration of MIGRATIONS.slice(current)) database.exec(migration);
    database.exec(`PRAGMA user_version = ${MIGRATIONS.length}`);
  });
}

function version(database: DatabaseSync): number {
  return Number(database.prepare("PRAGMA user_version").get()?.user_version ?? 0);
}

/** Runs `act` in one write transaction: all of it happens, or nothing. */
export function transaction<T>(database: DatabaseSync, act: () => T): T {
  database.exec("BEGIN IMMEDIATE");
  try {
    const result = act();
    database.exec("COMMIT");
    return result;
  } catch (error) {
    database.exec("ROLLBACK");
    throw error;
  }
}
