import { mkdtempSync, readdirSync, rmSync, utimesSync, writeFileSync } from "node:fs";
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

test("of those whose names differ by a hash the newest 32 are kept, and others are left alone", async () => {
  const place = join(dir, "many");
  const named = (number: number): string => `fact-${number.toString(16).padStart(10, "0")}.json`;
  await ask(join(place, "fact-own.json"), "a");
  for (let number = 0; number < 40; number++) {
    await ask(join(place, named(number)), "a");
    utimesSync(join(place, named(number)), number, number);
  }
  await ask(join(place, named(99)), "a");
  const kept = [...Array.from({ length: 31 }, (_, index) => named(index + 9)), named(99), "fact-own.json"];
  expect(readdirSync(place).sort()).toEqual(kept.sort());
});
