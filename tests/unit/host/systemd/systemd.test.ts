import { describe, expect, test } from "vitest";
import { BusWriter, decodeMessage } from "../../../../src/host/systemd/dbus-codec.ts";
import { encodeScopeCall } from "../../../../src/host/systemd/scope.ts";
import { SYSTEMD } from "../../../helpers/vectors/systemd.ts";

const bytes = (hex: string): Uint8Array => Uint8Array.from(Buffer.from(hex, "hex"));
const message = (hex: string) => decodeMessage(bytes(hex))?.message;

test("a scope is asked for with its process, its limits and no swap, and nothing of it is kept", () => {
  const call = encodeScopeCall(
    {
      name: "box.scope",
      description: "smolvm sandbox box",
      limits: { memoryMib: 512, cpus: 2, pids: 129 },
    },
    4711,
    1,
  );
  expect(Buffer.from(call).toString("hex")).toBe(SYSTEMD.call);
});

describe("what systemd says is understood", () => {
  test("an answer", () => {
    expect(message(SYSTEMD.controlGroup)).toMatchObject({
      type: "return",
      replyTo: 7,
      texts: ["/user.slice/user-47110.slice/user@47110.service"],
    });
  });

  test("an error", () => {
    expect(message(SYSTEMD.noSuchUnit)).toMatchObject({
      type: "error",
      replyTo: 8,
      errorName: "org.freedesktop.systemd1.NoSuchUnit",
      texts: ["Unit no.scope not loaded."],
    });
  });

  test("signals, also those with a body of which only the beginning is read", () => {
    expect(message(SYSTEMD.jobRemoved)).toMatchObject({ type: "signal", member: "JobRemoved" });
    expect(message(SYSTEMD.jobRemoved)?.texts.slice(1)).toEqual(["q.scope", "done"]);
    expect(message(SYSTEMD.unitRemoved)).toMatchObject({ member: "UnitRemoved" });
    expect(message(SYSTEMD.unitRemoved)?.texts[0]).toBe("q.scope");
    expect(message(SYSTEMD.propertiesChanged)).toMatchObject({ member: "PropertiesChanged" });
  });
});

describe("bytes that come", () => {
  const two = bytes(SYSTEMD.controlGroup + SYSTEMD.jobRemoved);
  const first = SYSTEMD.controlGroup.length / 2;

  test("are a message when it is complete, whatever follows", () => {
    for (let length = 0; length < first; length++)
      expect(decodeMessage(two.subarray(0, length))).toBeUndefined();
    for (let length = first; length <= two.length; length++)
      expect(decodeMessage(two.subarray(0, length))?.length).toBe(first);
  });

  test("may lie anywhere in memory", () => {
    const shifted = new Uint8Array(first + 3);
    shifted.set(bytes(SYSTEMD.controlGroup), 3);
    expect(decodeMessage(shifted.subarray(3))?.message).toEqual(message(SYSTEMD.controlGroup));
  });

  test("are refused when they promise more than systemd ever sends, or lead out of themselves", () => {
    const huge = new BusWriter()
      .byte(108)
      .byte(2)
      .byte(0)
      .byte(1)
      .uint32(0x7fff_ffff)
      .uint32(1)
      .uint32(0)
      .done();
    expect(() => decodeMessage(huge)).toThrow(RangeError);
    const out = bytes(SYSTEMD.controlGroup);
    out[first - 52] = 0xff; // the length of the path
    expect(() => decodeMessage(out)).toThrow(RangeError);
  });
});
