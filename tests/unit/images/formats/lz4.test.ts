import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { decodeLz4Block, decodeLz4Legacy } from "../../../../src/images/formats/lz4.ts";

const PLAIN = Buffer.concat([
  Buffer.from("The quick brown fox jumps over the lazy dog. ".repeat(40)),
  Buffer.alloc(300),
  Buffer.from(Array.from({ length: 256 }, (_, i) => i)),
  Buffer.from("abcabcabcabcabcabcabcd"),
]);

/** PLAIN as `lz4 -l -9` (v1.9.4) compresses it. */
const BY_LZ4 = [
  "02214c184a010000ff1e54686520717569636b2062726f776e20666f78206a756d7073206f76657220746865206c617a",
  "7920646f672e202d00ffffffffffffce1f000100ff1afaf30102030405060708090a0b0c0d0e0f101112131415161718",
  "191a1b1c1d1e1f202122232425262728292a2b2c2d2e2f303132333435363738393a3b3c3d3e3f404142434445464748",
  "494a4b4c4d4e4f505152535455565758595a5b5c5d5e5f606162636465666768696a6b6c6d6e6f707172737475767778",
  "797a7b7c7d7e7f808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9fa0a1a2a3a4a5a6a7a8",
  "a9aaabacadaeafb0b1b2b3b4b5b6b7b8b9babbbcbdbebfc0c1c2c3c4c5c6c7c8c9cacbcccdcecfd0d1d2d3d4d5d6d7d8",
  "d9dadbdcdddedfe0e1e2e3e4e5e6e7e8e9eaebecedeeeff0f1f2f3f4f5f6f7f8f9fafbfcfdfeff616263030050636162",
  "6364",
].join("");

const MIB = 2 ** 20;
const frame = (): Buffer => Buffer.from(BY_LZ4, "hex");

/** The simplest valid block: all literals. */
function literals(data: Uint8Array): Uint8Array {
  if (data.length < 15) return Buffer.concat([Buffer.from([data.length << 4]), data]);
  const rest = data.length - 15;
  const length = [...Array<number>(Math.floor(rest / 255)).fill(255), rest % 255];
  return Buffer.concat([Buffer.from([0xf0, ...length]), data]);
}

function legacy(...blocks: Uint8Array[]): Buffer {
  const parts: Uint8Array[] = [Buffer.from([0x02, 0x21, 0x4c, 0x18])];
  for (const block of blocks) {
    const size = Buffer.alloc(4);
    size.writeUInt32LE(block.length);
    parts.push(size, block);
  }
  return Buffer.concat(parts);
}

describe("LZ4", () => {
  test("decodes what the lz4 tool made", () => {
    expect(PLAIN.equals(decodeLz4Legacy(frame(), MIB))).toBe(true);
  });

  test("takes the decoded size that Linux appends to the frame", () => {
    const size = Buffer.alloc(4);
    size.writeUInt32LE(PLAIN.length);
    expect(PLAIN.equals(decodeLz4Legacy(Buffer.concat([frame(), size]), MIB))).toBe(true);
  });

  test("joins the blocks of a frame", () => {
    const decoded = decodeLz4Legacy(legacy(literals(Buffer.from("one ")), literals(Buffer.from("two"))), MIB);
    expect(Buffer.from(decoded).toString()).toBe("one two");
  });

  test("decodes literals of any length", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 2000 }), (data) => {
        const target = new Uint8Array(data.length);
        expect(decodeLz4Block(literals(data), target)).toBe(data.length);
        expect(target).toEqual(data);
      }),
    );
  });

  test("repeats what a match has just written", () => {
    // "ab", then 10 bytes from 2 back, then the literal "!"
    const target = new Uint8Array(13);
    expect(decodeLz4Block(Uint8Array.from([0x26, 0x61, 0x62, 2, 0, 0x10, 0x21]), target)).toBe(13);
    expect(Buffer.from(target).toString()).toBe("abababababab!");
  });

  test.each([
    ["no legacy frame magic", Buffer.from("not a frame at all")],
    ["no block", legacy()],
    ["a block of 0 bytes", Buffer.concat([legacy(), Buffer.alloc(8)])],
    ["the last block is cut off", frame().subarray(0, -20)],
    ["a match points before the data", legacy(Uint8Array.from([0x10, 0x61, 9, 0, 0x00]))],
    ["a match offset is cut off", legacy(Uint8Array.from([0x10, 0x61, 9]))],
    ["a literal length is cut off", legacy(Uint8Array.from([0xf0, 255, 255]))],
    ["a match length is cut off", legacy(Uint8Array.from([0x1f, 0x61, 1, 0, 255]))],
    ["it ends in a match", legacy(Uint8Array.from([0x10, 0x61, 1, 0]))],
  ])("refuses a frame where %s", (what, bytes) => {
    // a frame without blocks is shorter than its magic and one size
    const message = what === "no block" ? /no legacy frame magic|no block/ : what;
    expect(() => decodeLz4Legacy(bytes, MIB)).toThrow(message);
  });

  test("refuses to decode more than it was allowed to", () => {
    expect(() => decodeLz4Legacy(frame(), PLAIN.length - 1)).toThrow("it decodes to more than");
    expect(() => decodeLz4Block(literals(Buffer.alloc(10)), new Uint8Array(9))).toThrow(
      "more than its block holds",
    );
    const bomb = Buffer.from([0x1f, 0x61, 1, 0, ...Array<number>(40_000).fill(255), 0, 0x00]);
    expect(() => decodeLz4Legacy(legacy(bomb), 64 * MIB)).toThrow("more than its block holds");
  });

  test("damage anywhere gives an error or other bytes, never a crash", () => {
    const bytes = frame();
    fc.assert(
      fc.property(fc.nat(bytes.length - 1), fc.nat(255), (at, value) => {
        const damaged = Buffer.from(bytes);
        damaged[at] = value;
        try {
          decodeLz4Legacy(damaged, MIB);
        } catch (error) {
          expect(error).toMatchObject({ code: "IMAGE_INVALID" });
        }
      }),
    );
  });
});
