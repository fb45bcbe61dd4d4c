import { describe, expect, test } from "vitest";
import { isOlder } from "../../../../src/util/versions.ts";
import { encodeLine, parseRequest, readReply } from "../../../../src/vm/supervisor/messages.ts";

describe("a request to the supervisor", () => {
  test("survives the line it is written as", () => {
    for (const request of [{ op: "look" }, { op: "relay", vm: "0123456789ab" }] as const) {
      const line = encodeLine(request);
      expect(line.indexOf("\n")).toBe(line.length - 1);
      expect(parseRequest(line)).toEqual(request);
    }
  });

  test.each([
    "",
    "null",
    "[]",
    '{"op":"explode"}',
    '{"op":"relay"}',
    '{"op":"open","vm":7}',
    "look",
    '{"op":',
  ])("is not %j", (line) => expect(parseRequest(line)).toBeUndefined());
});

describe("an answer", () => {
  test("tells who gave it", () => {
    expect(readReply('{"ok":true,"pid":7,"version":"1.2.3"}')).toEqual({ pid: 7, version: "1.2.3" });
  });

  test("that tells an error throws it as it was", () => {
    const error = {
      code: "PORT_IN_USE",
      message: "taken",
      hint: "another",
      details: { hostPort: 1 },
    } as const;
    expect(() => readReply(encodeLine({ ok: false, error }))).toThrow(expect.objectContaining(error));
  });

  test("that is none is a bug", () => {
    expect(() => readReply("hello")).toThrow(expect.objectContaining({ code: "INTERNAL" }));
  });
});

test.each([
  ["1.2.3", "1.2.2", true],
  ["1.10.0", "1.9.9", true],
  ["2.0.0", "1.99.99", true],
  ["1.2.3", "1.2.3", false],
  ["1.2.2", "1.2.3", false],
  ["1.2.3-rc.1", "1.2.2", true],
])("%s is newer than %s: %s", (a, b, newer) => expect(isOlder(b, a)).toBe(newer));
