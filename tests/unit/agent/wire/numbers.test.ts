import { describe, expect, test } from "vitest";
import { encodeFrame, FrameDecoder, FrameType, MAX_PAYLOAD } from "../../../../src/agent/wire/frame.ts";
import { Result } from "../../../../src/agent/wire/messages.ts";
import { decode, encode } from "../../../../src/agent/wire/schema.ts";
import { putVarint, varintLength } from "../../../../src/agent/wire/wire.ts";
import { number } from "../../../helpers/vectors/bytes.ts";

const dropped = (value: bigint) => decode(Result, Buffer.from(number(4, value), "hex")).dropped;

describe("numbers on the wire", () => {
  test("are exact up to 2^53 - 1 and refused above, where JavaScript would round", () => {
    for (const value of [0n, 127n, 128n, 2n ** 31n, 2n ** 32n, 2n ** 49n - 1n, 2n ** 53n - 1n]) {
      expect(BigInt(dropped(value))).toBe(value);
    }
    for (const value of [2n ** 53n, 2n ** 53n + 1n, 2n ** 60n, 2n ** 64n - 1n]) {
      expect(() => dropped(value)).toThrow(/2\^53 - 1/);
    }
  });

  test("take the bytes that varintLength says", () => {
    for (const value of [
      0,
      1,
      127,
      128,
      16_383,
      16_384,
      2 ** 32,
      2 ** 35 - 1,
      2 ** 35,
      Number.MAX_SAFE_INTEGER,
    ]) {
      const target = Buffer.alloc(10);
      const length = putVarint(target, value, 0);
      expect(length).toBe(varintLength(value));
      expect(encode(Result, { dropped: value }).subarray(1)).toEqual(
        value === 0 ? Buffer.alloc(0) : target.subarray(0, length),
      );
    }
  });
});

test("the longest frame passes, in one piece and in many", () => {
  const payload = Buffer.alloc(MAX_PAYLOAD, "x");
  const frame = encodeFrame(1, FrameType.RESULT, 0, payload);
  for (const size of [frame.length, 4096, 1000]) {
    const seen: number[] = [];
    const decoder = new FrameDecoder("guest", {
      frame: (_stream, _type, _flags, whole) => void seen.push(whole.length, whole.compare(payload)),
      data: () => expect.fail("no DATA was sent"),
    });
    for (let at = 0; at < frame.length; at += size) decoder.push(frame.subarray(at, at + size));
    expect(seen).toEqual([MAX_PAYLOAD, 0]);
  }
});
