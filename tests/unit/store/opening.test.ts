import { once } from "node:events";
import { mkdtempSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Worker } from "node:worker_threads";
import { afterEach, beforeEach, expect, test } from "vitest";
import { openDatabase, write } from "../../../src/store/database.ts";

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "smolvm-store-"));
});
afterEach(() => rmSync(directory, { recursive: true }));

/** Has the new file for itself for a while, as who opened it a moment earlier does. */
const OPENER = `
const { parentPort, workerData } = require("node:worker_threads");
const { DatabaseSync } = require("node:sqlite");
const database = new DatabaseSync(workerData);
database.exec("BEGIN IMMEDIATE");
parentPort.postMessage("has it");
Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 300);
database.exec("COMMIT");
database.close();
`;

test("a new store waits for who is opening it as well", async () => {
  const path = join(directory, "store.db");
  const opener = new Worker(OPENER, { eval: true, workerData: path });
  await once(opener, "message");
  const database = openDatabase(path);
  expect(database.prepare("PRAGMA journal_mode").get()).toEqual({ journal_mode: "wal" });
  database.close();
  await once(opener, "exit");
});

test("the log that the next process reads stays short although nobody closes the store, with a reader beside it, and nothing is lost", () => {
  const path = join(directory, "store.db");
  const note = (database: ReturnType<typeof openDatabase>): unknown =>
    write(database, "INSERT INTO channel_waiters (vm_id, holder) VALUES ('box', 'h')");
  const count = (database: ReturnType<typeof openDatabase>): unknown =>
    database.prepare("SELECT count(*) AS count FROM channel_waiters").get()?.count;
  const [writer, other] = [openDatabase(path), openDatabase(path)];
  writer.exec("PRAGMA foreign_keys = OFF");
  for (let i = 0; i < 400; i++) note(writer);
  expect(statSync(`${path}-wal`).size).toBeLessThan(1.2 * 2 ** 20);
  expect(statSync(path).size).toBeGreaterThan(8192); // most of it is where it belongs
  // Who reads in a transaction keeps the log from starting anew, and nobody from writing.
  other.exec("BEGIN");
  expect(count(other)).toBe(400);
  for (let i = 0; i < 400; i++) note(writer);
  expect([count(other), count(writer)]).toEqual([400, 800]);
  other.exec("COMMIT");
  expect(count(other)).toBe(800);
  writer.close();
  other.close();
  const again = openDatabase(path);
  expect(count(again)).toBe(800);
  again.close();
});
