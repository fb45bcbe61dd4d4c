import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Worker } from "node:worker_threads";
import { afterEach, beforeEach, expect, test } from "vitest";
import { openDatabase } from "../../../src/store/database.ts";

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
