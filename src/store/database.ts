import { chmodSync, closeSync, existsSync, mkdirSync, openSync, statSync } from "node:fs";
import { dirname } from "node:path";
import type { DatabaseSync, SQLInputValue, StatementResultingChanges } from "node:sqlite";
import { SmolVMError } from "../errors.ts";
import { monotonicMs } from "../util/monotonic.ts";
import { layBallast } from "./ballast.ts";
import { MIGRATIONS } from "./migrations.ts";

/** SQLite's result codes (sqlite.org/rescode.html). */
const SQLITE_ERROR = 1;
const SQLITE_BUSY = 5;
const SQLITE_CORRUPT = 11;
const SQLITE_FULL = 13;
const SQLITE_NOTADB = 26;

/** How long others may keep the store from being written. */
const BUSY_MS = 10_000;
const PAUSE_MS = 5;
/**
 * Pages in the write-ahead log after which a commit copies them into the database, without waiting for anybody. A command ends without closing
 * the store, and where nobody else has it open the next one reads the whole log: 1 MiB of it takes 0.3 ms, SQLite's own 1000 pages 1.
 */
const CHECKPOINT_PAGES = 250;

/**
 * Opens the store, making and migrating it if needed. The only file that knows SQL's dialect and setting up.
 * @throws SmolVMError STORE_INVALID for a damaged or newer database, which is left as it is; DEPENDENCY_MISSING
 */
export function openDatabase(path: string): DatabaseSync {
  mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
  makePrivate(path);
  let database: DatabaseSync | undefined;
  try {
    const { DatabaseSync } = sqlite();
    database = new DatabaseSync(path, { timeout: BUSY_MS });
    refuseForeign(database, path);
    keepPrivate(path);
    // NORMAL: no fsync per commit; after a power loss the last
    // commits may be missing, which recovery must cope with anyway (no VMM survives a power loss).
    useWal(database);
    database.exec(
      `PRAGMA synchronous = NORMAL; PRAGMA foreign_keys = ON; PRAGMA wal_autocheckpoint = ${CHECKPOINT_PAGES};`,
    );
    migrate(database, path);
    layBallast(path);
    return database;
  } catch (error) {
    database?.close();
    throw storeError(error, path);
  }
}

/**
 * Node's SQLite. Not imported: a runtime without it would refuse the whole library with the name of a module that nobody asked for.
 * @throws SmolVMError DEPENDENCY_MISSING
 */
function sqlite(): typeof import("node:sqlite") {
  const module: typeof import("node:sqlite") | undefined = process.getBuiltinModule?.("node:sqlite");
  if (module !== undefined) return module;
  throw new SmolVMError("DEPENDENCY_MISSING", `this runtime has no node:sqlite (${process.execPath})`, {
    hint:
      process.versions.bun === undefined
        ? "Run it with Node.js 22.18 or newer, without --no-experimental-sqlite."
        : "Run it with Bun 1.4 or newer, or with Node.js 22.18 or newer.",
  });
}

/** Makes the file of a new store, for its user alone. */
function makePrivate(path: string): void {
  try {
    closeSync(openSync(path, "ax", 0o600));
  } catch {
    // It is there, or SQLite says what is wrong.
  }
}

/**
 * Closes the store to others: it has the environments of sandboxes, and its directory need not be private. SQLite gives the files that it puts
 * beside it the same mode.
 */
function keepPrivate(path: string): void {
  try {
    if ((statSync(path).mode & 0o077) !== 0 && process.platform !== "win32")
      for (const file of [path, `${path}-wal`, `${path}-shm`]) if (existsSync(file)) chmodSync(file, 0o600);
  } catch {
    // SQLite says what is wrong with it.
  }
}

/**
 * Opens (or makes) a database of one small table that is looked at seldom: no write-ahead log, no migrations.
 * @param schema statements that may be run each time
 * @throws SmolVMError HOST_FAILED, NO_SPACE, STORE_INVALID
 */
export function openPlainDatabase(path: string, schema: string): DatabaseSync {
  let database: DatabaseSync | undefined;
  try {
    const { DatabaseSync } = sqlite();
    database = new DatabaseSync(path, { timeout: BUSY_MS });
    database.exec(schema);
    return database;
  } catch (error) {
    database?.close();
    throw storeError(error, path);
  }
}

/**
 * WAL: readers never wait for a writer. A new file is changed to it once, and of two who open it in the same moment each has what the
 * other one needs then: so SQLite does not wait, and we try again.
 */
function useWal(database: DatabaseSync): void {
  const until = monotonicMs() + BUSY_MS;
  for (;;) {
    try {
      database.exec("PRAGMA journal_mode = WAL");
      return;
    } catch (error) {
      if (resultCode(error) !== SQLITE_BUSY || monotonicMs() > until) throw error;
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, PAUSE_MS);
    }
  }
}

/** SQLite's error in words that say what to do; another error as it is. */
function storeError(error: unknown, path: string): unknown {
  if (error instanceof SmolVMError) return error;
  const { message } = error as Error;
  switch (resultCode(error)) {
    case 0:
      return error;
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
      return damaged(path, message, error);
    case SQLITE_FULL:
      return new SmolVMError("NO_SPACE", `no space left for the store '${path}'`, {
        hint: `Free some space: df -h '${dirname(path)}'`,
        cause: error,
      });
    default:
      return new SmolVMError("HOST_FAILED", `the store '${path}' cannot be used: ${message}`, {
        cause: error,
      });
  }
}

/**
 * Reads all of the store, which opening does not, and counts its sandboxes.
 * @throws SmolVMError STORE_INVALID
 */
export function checkDatabase(database: DatabaseSync, path: string): number {
  try {
    const verdict = Object.values(database.prepare("PRAGMA quick_check(1)").get() ?? {})[0];
    if (verdict !== "ok") throw damaged(path, String(verdict));
    return Number(database.prepare("SELECT count(*) AS count FROM vms").get()?.count);
  } catch (error) {
    throw storeError(error, path);
  }
}

function damaged(path: string, why: string, cause?: unknown): SmolVMError {
  return new SmolVMError("STORE_INVALID", `the store '${path}' is damaged: ${why}`, {
    hint: `Keep a copy of it for a look, then remove it (rm '${path}'*); sandboxes it named can no longer be managed.`,
    cause,
  });
}

/**
 * Another program has the name smolvm, too, and may have a database of that name: nothing of it is changed.
 * @throws SmolVMError STORE_INVALID
 */
function refuseForeign(database: DatabaseSync, path: string): void {
  if (version(database) > 0 ? isStore(database) : isEmpty(database) || version(database) > 0) return;
  throw new SmolVMError("STORE_INVALID", `'${path}' is a database, and not this smolvm's`, {
    hint: "Another program keeps it there. Use a directory of your own: export SMOLVM_HOME=~/.smolvm-vms",
  });
}

/** It has what a store has since its first version. */
function isStore(database: DatabaseSync): boolean {
  try {
    database.prepare("SELECT spec, lock FROM vms LIMIT 0");
    return true;
  } catch (error) {
    if (resultCode(error) === SQLITE_ERROR) return false;
    throw error;
  }
}

function isEmpty(database: DatabaseSync): boolean {
  return Number(database.prepare("SELECT count(*) AS count FROM sqlite_schema").get()?.count) === 0;
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

/**
 * Runs `act` in one write transaction: all of it happens, or nothing.
 * @throws SmolVMError NO_SPACE, STORE_INVALID, HOST_FAILED; what `act` throws
 */
export function transaction<T>(database: DatabaseSync, act: () => T): T {
  return writing(database, () => {
    database.exec("BEGIN IMMEDIATE");
    try {
      const result = act();
      database.exec("COMMIT");
      return result;
    } catch (error) {
      // After some errors (a full disk) SQLite has rolled back itself.
      if (database.isTransaction) database.exec("ROLLBACK");
      throw error;
    }
  });
}

/** One statement that writes, in a transaction of its own unless one is open. @throws as {@link transaction} */
export function write(
  database: DatabaseSync,
  sql: string,
  ...values: SQLInputValue[]
): StatementResultingChanges {
  return writing(database, () => database.prepare(sql).run(...values));
}

function writing<T>(database: DatabaseSync, act: () => T): T {
  try {
    return act();
  } catch (error) {
    if (database.isTransaction) throw error; // the transaction around it is what fails
    throw storeError(error, database.location() ?? "");
  }
}

function resultCode(error: unknown): number {
  return ((error as { errcode?: number }).errcode ?? 0) & 0xff;
}
