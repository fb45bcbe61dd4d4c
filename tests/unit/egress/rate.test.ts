import { expect, test } from "vitest";
import { Rate } from "../../../src/egress/rate.ts";

test("what is over the rate waits as long as the bytes before it take, less a burst", () => {
  const rate = new Rate(8); // 1000 bytes a ms
  expect(rate.take(50_000, 0)).toBe(0);
  expect(rate.take(1_000, 0)).toBe(1);
  expect(rate.take(10_000, 0)).toBe(11);
  expect(rate.take(1_000, 61)).toBe(0);
  // What was not used is not kept for later.
  expect(rate.take(50_000, 10_000)).toBe(0);
  expect(rate.take(50_000, 10_000)).toBe(50);
});
