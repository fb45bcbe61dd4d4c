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
