import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { cachedJson } from "../../../../src/host/files/cached-json.ts";

const dir = mkdtempSync(join(tmpdir(), "smc-"));
afterAll(() => rmSync(dir, { recursive: true, force: true }));

const isNumber = (value: unknown): value is number => typeof value === "number";
let asked = 0;
const ask = (file: string, key: string): Promise<number> =>
  cachedJson(file, key, isNumber, async () => ++asked);

test("what was found out is kept for as long as its key stays the same", async () => {
  const file = join(dir, "made/fact.json");
  expect([await ask(file, "a"), await ask(file, "a"), await ask(file, "b")]).toEqual([1, 1, 2]);
});

test("where nothing can be kept it is found out each time, and that is all", async () => {
  writeFileSync(join(dir, "file"), "");
  const before = asked;
  const file = join(dir, "file/fact.json");
  expect([await ask(file, "a"), await ask(file, "a")]).toEqual([before + 1, before + 2]);
});
