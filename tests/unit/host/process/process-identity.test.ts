import { expect, test } from "vitest";
import { hostBootId, identify, isAlive } from "../../../../src/host/process/process-identity.ts";
import { isLockHeld } from "../../../../src/host/process/process-lock.ts";
import { psStartTime } from "../../../../src/host/process/ps-start-time.ts";

test("a process is itself, and nobody of an earlier boot or another start", () => {
  const self = identify(process.pid);
  expect(isAlive(self)).toBe(true);
  expect(isAlive({ ...self, startTime: "1" })).toBe(false);
  expect(isAlive({ ...self, bootId: "another" })).toBe(false);
  expect(isAlive({ ...self, pid: 0 })).toBe(false);
  expect(hostBootId()).toMatch(/^[0-9a-f-]{36}$/);
});

test("ps says when a process was started, always in the same words", () => {
  const first = psStartTime(process.pid, 0);
  expect(first).toMatch(/^[A-Z][a-z]{2} [A-Z][a-z]{2} \d+ \d\d:\d\d:\d\d \d{4}$/);
  expect(psStartTime(process.pid, 5_000)).toBe(first);
  expect(psStartTime(2 ** 22 + 1, 0)).toBe("");
});

test("a lock that is not there is held by nobody", () => {
  expect(isLockHeld("/no/such/lock")).toBe(false);
});
