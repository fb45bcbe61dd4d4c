import { expect, test } from "vitest";
import { GO_MS, insist, insistAsync, pauses } from "../../../src/util/files-go.ts";

const held = (code: string): Error => Object.assign(new Error(code), { code });

/** Fails so many times. */
function failing(times: number, code: string): () => string {
  let left = times;
  return () => {
    if (left-- > 0) throw held(code);
    return "gone";
  };
}

test.each(["EBUSY", "EPERM", "EACCES", "ENOTEMPTY"])("what fails with %s is tried again", async (code) => {
  expect(insist(failing(3, code), true, 50)).toBe("gone");
  const act = failing(3, code);
  expect(await insistAsync(async () => act(), true, 50)).toBe("gone");
});

test("other errors, those of other systems and those that stay are told", async () => {
  expect(() => insist(failing(1, "ENOENT"), true, 50)).toThrow("ENOENT");
  expect(() => insist(failing(1, "EBUSY"), false)).toThrow("EBUSY");
  expect(() => insist(failing(1_000, "EBUSY"), true, 20)).toThrow("EBUSY");
  await expect(insistAsync(async () => failing(1, "ENOSPC")(), true, 50)).rejects.toThrow("ENOSPC");
  await expect(insistAsync(async () => failing(9, "EBUSY")(), true, 5)).rejects.toThrow("EBUSY");
});

test("the pauses grow, and end", () => {
  const all = [...pauses(GO_MS)];
  expect(all.slice(0, 7)).toEqual([2, 4, 8, 16, 32, 64, 100]);
  const sum = all.reduce((total, pause) => total + pause, 0);
  expect(sum).toBeGreaterThanOrEqual(GO_MS);
  expect(sum).toBeLessThan(GO_MS + 101);
});
