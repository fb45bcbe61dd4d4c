import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  rmSync,
  statSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { pruneCompileCache } from "../../../../src/host/files/compile-cache.ts";

const NOW = Date.UTC(2026, 5, 1);
const DAY_MS = 24 * 3_600_000;

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "smc-"));
});
afterEach(() => rmSync(directory, { recursive: true }));

function write(version: string, name: string, daysAgo: number, bytes = 10): void {
  mkdirSync(join(directory, version), { recursive: true });
  const path = join(directory, version, name);
  writeFileSync(path, "");
  truncateSync(path, bytes);
  const seconds = (NOW - daysAgo * DAY_MS) / 1000;
  utimesSync(path, seconds, seconds);
}

test("what was written a month ago goes, with the directory of a Node that nobody has any more", () => {
  write("v24", "new", 1);
  write("v24", "old", 31);
  write("v22", "old", 40);
  pruneCompileCache(directory, NOW);
  expect(readdirSync(directory)).toEqual(["v24"]);
  expect(readdirSync(join(directory, "v24"))).toEqual(["new"]);
  expect(statSync(directory).mtimeMs).toBeGreaterThanOrEqual(NOW);
});

test("of too much the oldest goes", () => {
  for (const [name, days] of [
    ["a", 3],
    ["b", 1],
    ["c", 2],
  ] as const)
    write("v24", name, days, 30 * 2 ** 20);
  pruneCompileCache(directory, NOW);
  expect(readdirSync(join(directory, "v24")).sort()).toEqual(["b", "c"]);
  expect(existsSync(directory)).toBe(true);
});
