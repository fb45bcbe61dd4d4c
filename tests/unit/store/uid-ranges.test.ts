import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { type ClaimOptions, type HomeIdentity, UidRanges } from "../../../src/store/uid-ranges.ts";

let directory: string;
let ranges: UidRanges;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "smt-uids-"));
  ranges = new UidRanges(directory);
});
afterEach(() => {
  ranges.close();
  rmSync(directory, { recursive: true, force: true });
});

/** A home that is there. */
function home(name: string, token = name): HomeIdentity {
  const path = join(directory, name);
  mkdirSync(path, { recursive: true });
  return { path, token };
}

/** All want the same of four ranges. */
const options = (others: Partial<ClaimOptions> = {}): ClaimOptions => ({
  count: 4,
  preferred: 2,
  isIdle: () => true,
  ...others,
});

test("homes that prefer the same range have different ones, and keep them", () => {
  expect(ranges.of(home("a"))).toBeUndefined();
  const claimed = ["a", "b", "c", "d"].map((name) => ranges.claim(home(name), options()));
  expect(claimed).toEqual([2, 3, 0, 1]);
  expect(ranges.claim(home("e"), options())).toBeUndefined();
  expect(ranges.claim(home("b"), options())).toBe(3);
  expect(ranges.of(home("d"))).toBe(1);
});

test("what one process has claimed, another sees", () => {
  const other = new UidRanges(directory);
  expect(ranges.claim(home("a"), options())).toBe(2);
  expect(other.claim(home("b"), options())).toBe(3);
  expect(other.of(home("a"))).toBe(2);
  other.close();
});

test("a home that is gone gives its range back, but not before the last of its machines has ended", () => {
  const gone = home("gone");
  expect(ranges.claim(gone, options())).toBe(2);
  rmSync(gone.path, { recursive: true });
  expect(ranges.claim(home("a"), options({ isIdle: (range) => range !== 2 }))).toBe(3);
  expect(ranges.claim(home("b"), options())).toBe(2);
});

test("a new home at the path of one that was removed is another: the old one's machines may still run", () => {
  const isIdle = (range: number): boolean => range !== 2;
  expect(ranges.claim(home("a", "first"), options({ isIdle }))).toBe(2);
  expect(ranges.claim(home("a", "second"), options({ isIdle }))).toBe(3);
  expect(ranges.of(home("a", "first"))).toBeUndefined();
  expect(ranges.claim(home("b"), options())).toBe(2);
});

test("a home that was copied or moved is another", () => {
  expect(ranges.claim(home("a", "token"), options())).toBe(2);
  expect(ranges.claim(home("copy", "token"), options())).toBe(3);
  expect(ranges.of(home("a", "token"))).toBe(2);
});

test("a home whose range was given away while it was not there gets another", () => {
  const away = home("away");
  expect(ranges.claim(away, options())).toBe(2);
  rmSync(away.path, { recursive: true });
  expect(ranges.claim(home("a"), options())).toBe(2);
  expect(ranges.of(home("away"))).toBeUndefined();
  expect(ranges.claim(home("away"), options())).toBe(3);
});
