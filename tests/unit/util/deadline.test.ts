import { describe, expect, test } from "vitest";
import { Deadline } from "../../../src/util/deadline.ts";

test("limits that are none are refused", () => {
  for (const timeoutMs of ["5", -1, Number.NaN]) {
    expect(() => Deadline.of("waiting", { timeoutMs: timeoutMs as number })).toThrow(
      expect.objectContaining({ code: "CONFIG_INVALID" }),
    );
  }
  expect(() => Deadline.of("waiting", { signal: 5 as never })).toThrow("signal: is not an AbortSignal");
});

describe("what to do about a limit that is over", () => {
  test("names the option that raises it", () => {
    expect(Deadline.of("waiting", { timeoutMs: 5 }).error()).toMatchObject({
      code: "TIMEOUT",
      message: "waiting did not finish within 5 ms",
      hint: "Raise timeoutMs if the host is slow.",
    });
    expect(Deadline.of("waiting", { timeoutMs: 5, option: "bootMs" }).error().hint).toContain(
      "Raise bootMs ",
    );
  });

  test("is told in whole milliseconds, also of a step that has what is left", () => {
    expect(Deadline.of("waiting", { timeoutMs: 19746.2694260031 }).error()).toMatchObject({
      message: "waiting did not finish within 19746 ms",
      details: { timeoutMs: 19746 },
    });
  });

  test("names none where there is none", () => {
    expect(Deadline.within(5, "asking").error()).toMatchObject({
      message: "asking did not finish within 5 ms",
      hint: expect.stringContaining("smolvm doctor"),
    });
  });

  test("is nothing where the caller gave up", () => {
    const signal = AbortSignal.abort("enough");
    expect(Deadline.of("waiting", { signal }).error()).toMatchObject({ code: "ABORTED", cause: "enough" });
  });
});

test("what is given up ends what was begun within it, and the limit around it is none the wiser", async () => {
  const gone = new AbortController();
  const deadline = Deadline.of("waiting", {});
  const waits = deadline.endedBy(gone.signal).sleep(60_000);
  gone.abort();
  await expect(waits).rejects.toMatchObject({ code: "ABORTED" });
  expect(deadline.expired).toBe(false);
  const over = Deadline.of("waiting", { timeoutMs: 1 }).endedBy(new AbortController().signal);
  await expect(over.sleep(60_000)).rejects.toMatchObject({
    code: "TIMEOUT",
    message: "waiting did not finish within 1 ms",
  });
});

test("what is begun when the time is over already fails for nobody: a failure that is told nowhere would end the process", async () => {
  const told: unknown[] = [];
  const listener = (reason: unknown) => told.push(reason);
  process.on("unhandledRejection", listener);
  try {
    const over = Deadline.of("the test", { signal: AbortSignal.abort() });
    await expect(over.race(Promise.reject(new Error("late")))).rejects.toMatchObject({ code: "ABORTED" });
    await new Promise((resolve) => setImmediate(resolve));
    expect(told).toEqual([]);
  } finally {
    process.off("unhandledRejection", listener);
  }
});
