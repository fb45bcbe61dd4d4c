import { expect, test } from "vitest";
import { fateOf, stopError } from "../../../../src/agent/process/stop.ts";
import { type GuestError, GuestErrorCode } from "../../../../src/agent/wire/messages.ts";

const error = (code: number): GuestError => ({
  code,
  message: "",
  errno: 0,
  noInodes: false,
  inMemory: false,
  holders: [],
});

test("a killed command's fate is what the guest's kernel has said, and no more", () => {
  const cancelled = error(GuestErrorCode.CANCELLED);
  expect(fateOf({ error: cancelled, allEnded: true }, true)).toBe("confirmed");
  expect(fateOf({ error: cancelled, allEnded: false }, true)).toBe("incomplete");
  const stop = { kind: "dispose" } as const;
  expect(stopError("x", stop, "confirmed").message).toContain("it and all it started were killed");
  expect(stopError("x", stop, "incomplete").message).not.toContain("all it started were killed");
});

test("a command that ended by itself, or never ran, was not killed", () => {
  expect(fateOf({ error: undefined, allEnded: false }, true)).toBe("too late");
  expect(fateOf({ error: error(GuestErrorCode.NOT_FOUND), allEnded: false }, true)).toBe("never started");
  expect(fateOf({ error: error(GuestErrorCode.CANCELLED), allEnded: true }, false)).toBe("never started");
});
