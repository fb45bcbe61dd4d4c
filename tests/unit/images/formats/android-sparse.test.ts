import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  isAndroidSparse,
  parseAndroidSparse,
  type SparseImage,
  writeAndroidSparse,
} from "../../../../src/images/formats/android-sparse.ts";

const BLOCK = 16;

/** The image as a whole. */
function unpack({ sizeBytes, pieces }: SparseImage): Buffer {
  const image = Buffer.alloc(sizeBytes);
  for (const piece of pieces) {
    if (piece.kind === "raw") image.set(piece.data, piece.offset);
    else image.fill(piece.pattern, piece.offset, piece.offset + piece.length);
  }
  return image;
}

/** A file with these chunks: type, blocks, content. */
function sparseFile(blocks: number, chunks: [type: number, blocks: number, body: Uint8Array][]): Buffer {
  const header = Buffer.alloc(28);
  header.writeUInt32LE(0xed26ff3a, 0);
  header.writeUInt16LE(1, 4);
  header.writeUInt16LE(28, 8);
  header.writeUInt16LE(12, 10);
  header.writeUInt32LE(BLOCK, 12);
  header.writeUInt32LE(blocks, 16);
  header.writeUInt32LE(chunks.length, 20);
  const parts = chunks.map(([type, count, body]) => {
    const chunk = Buffer.alloc(12);
    chunk.writeUInt16LE(type, 0);
    chunk.writeUInt32LE(count, 4);
    chunk.writeUInt32LE(12 + body.length, 8);
    return Buffer.concat([chunk, body]);
  });
  return Buffer.concat([header, ...parts]);
}

describe("a sparse image", () => {
  test("is read back as it was written, and zeros become holes", () => {
    const block = fc.oneof(
      fc.constant(Buffer.alloc(BLOCK)),
      fc.uint8Array({ minLength: BLOCK, maxLength: BLOCK }),
    );
    fc.assert(
      fc.property(fc.array(block, { maxLength: 30 }), fc.nat(10), (blocks, before) => {
        const data = Buffer.concat(blocks);
        const size = (before + blocks.length + 3) * BLOCK;
        const file = writeAndroidSparse(size, [{ offset: before * BLOCK, data }], BLOCK);
        const parsed = parseAndroidSparse(file);
        const whole = Buffer.alloc(size);
        data.copy(whole, before * BLOCK);
        expect(isAndroidSparse(file)).toBe(true);
        expect(parsed.sizeBytes).toBe(size);
        expect(unpack(parsed).equals(whole)).toBe(true);
        expect(
          parsed.pieces.every((piece) => piece.kind === "raw" && piece.data.some((byte) => byte !== 0)),
        ).toBe(true);
      }),
    );
  });

  test("may hold fills, checksums and holes made by other tools", () => {
    const file = sparseFile(6, [
      [0xcac1, 1, Buffer.alloc(BLOCK, 1)],
      [0xcac2, 2, Buffer.from([9, 8, 7, 6])],
      [0xcac4, 0, Buffer.alloc(4)],
      [0xcac3, 1, Buffer.alloc(0)],
      [0xcac2, 2, Buffer.alloc(4)],
    ]);
    const image = unpack(parseAndroidSparse(file));
    expect(image.length).toBe(6 * BLOCK);
    expect([...image.subarray(BLOCK, BLOCK + 8)]).toEqual([9, 8, 7, 6, 9, 8, 7, 6]);
    expect(image.subarray(3 * BLOCK).every((byte) => byte === 0)).toBe(true);
    expect(parseAndroidSparse(file).pieces).toHaveLength(2); // a fill with zeros is a hole
  });

  const one: [number, number, Uint8Array] = [0xcac1, 1, Buffer.alloc(BLOCK, 1)];
  const patched = (at: number, value: number): Buffer => {
    const file = sparseFile(1, [one]);
    file.writeUInt32LE(value, at);
    return file;
  };
  test.each([
    ["its header is cut off", sparseFile(1, [one]).subarray(0, 20)],
    ["it is not an Android sparse image", patched(0, 1)],
    ["version 2 is unknown", patched(4, 2)],
    ["its headers are too short", patched(8, 12)],
    ["a block size of 0", patched(12, 0)],
    ["a block size of 7", patched(12, 7)],
    [
      "it claims 4294967295 blocks",
      ((): Buffer => {
        const file = patched(16, 0xffffffff);
        file.writeUInt32LE(2 ** 26, 12);
        return file;
      })(),
    ],
    ["chunk 0 is cut off", sparseFile(1, [one]).subarray(0, -1)],
    ["chunk 1 is cut off", patched(20, 2)],
    ["chunk 0 lies behind the image's end", sparseFile(1, [[0xcac3, 2, Buffer.alloc(0)]])],
    ["chunk 0 has 4 bytes instead of 16", sparseFile(1, [[0xcac1, 1, Buffer.alloc(4)]])],
    ["chunk 0 has 8 bytes instead of 4", sparseFile(1, [[0xcac2, 1, Buffer.alloc(8)]])],
    ["chunk 0 has 4 bytes instead of 0", sparseFile(1, [[0xcac3, 1, Buffer.alloc(4)]])],
    ["chunk 0 is of the unknown type 1", sparseFile(1, [[1, 1, Buffer.alloc(0)]])],
    ["its chunks hold 1 of 2 blocks", sparseFile(2, [one])],
  ])("is refused when %s", (what, file) => {
    expect(() => parseAndroidSparse(file)).toThrow(what);
  });

  test("that is damaged anywhere is refused or stays within its size", () => {
    const file = sparseFile(4, [one, [0xcac2, 1, Buffer.from([1, 2, 3, 4])], [0xcac3, 2, Buffer.alloc(0)]]);
    fc.assert(
      fc.property(fc.nat(file.length - 1), fc.nat(255), (at, value) => {
        const damaged = Buffer.from(file);
        damaged[at] = value;
        try {
          const { sizeBytes, pieces } = parseAndroidSparse(damaged);
          for (const piece of pieces) {
            const length = piece.kind === "raw" ? piece.data.length : piece.length;
            expect(piece.offset + length).toBeLessThanOrEqual(sizeBytes);
          }
        } catch (error) {
          expect(error).toMatchObject({ code: "IMAGE_INVALID" });
        }
      }),
    );
  });
});
