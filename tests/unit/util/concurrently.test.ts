import { expect, test } from "vitest";
import { concurrently } from "../../../src/util/concurrently.ts";

test("at most the limit run at a time, and results are in order", async () => {
  let running = 0;
  let most = 0;
  const results = await concurrently(20, 3, async (index) => {
    most = Math.max(most, ++running);
    for (let turn = 0; turn < 20 - index; turn++) await Promise.resolve();
    running--;
    return index * 2;
  });
  expect(results).toEqual(Array.from({ length: 20 }, (_, index) => index * 2));
  expect(most).toBe(3);
});

test("the first failure is thrown once the others have ended, which are told; none is begun after it", async () => {
  const begun: number[] = [];
  const ended: number[] = [];
  const attempt = concurrently(10, 2, async (index, signal) => {
    begun.push(index);
    if (index === 1) throw new Error("first");
    await new Promise((resolve) => signal.addEventListener("abort", resolve));
    ended.push(index);
    throw new Error("second");
  });
  await expect(attempt).rejects.toThrow("first");
  expect({ begun, ended }).toEqual({ begun: [0, 1], ended: [0] });
});
