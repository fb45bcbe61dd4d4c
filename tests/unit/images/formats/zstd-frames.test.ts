import { constants, zstdCompressSync, zstdDecompressSync } from "node:zlib";
import { describe, expect, test } from "vitest";
import { ZstdFrames } from "../../../../src/images/formats/zstd-frames.ts";

const SKIPPABLE = Buffer.concat([Buffer.from([0x5f, 0x2a, 0x4d, 0x18, 5, 0, 0, 0]), Buffer.from("notes")]);
const CONTENTS = [
  "a".repeat(300_000),
  "",
  "b",
  Buffer.from(Array.from({ length: 70_000 }, (_, index) => (index * 7919) & 255)).toString("latin1"),
];
const FRAMES = CONTENTS.flatMap((content) =>
  [0, 1].map((checksum) =>
    zstdCompressSync(Buffer.from(content, "latin1"), {
      params: { [constants.ZSTD_c_checksumFlag]: checksum },
    }),
  ),
);

function split(bytes: Buffer, size: number): { frames: Buffer[]; whole: boolean } {
  const splitter = new ZstdFrames();
  const frames: Buffer[] = [];
  let parts: Buffer[] = [];
  for (let at = 0; at < bytes.length; at += size) {
    for (const piece of splitter.push(bytes.subarray(at, at + size))) {
      if ("data" in piece) parts.push(Buffer.from(piece.data));
      else {
        frames.push(Buffer.concat(parts));
        parts = [];
      }
    }
  }
  return { frames, whole: splitter.whole };
}

describe("a zstd stream", () => {
  test.each([1, 2, 3, 7, 1000, 1 << 20])(
    "in pieces of %i bytes is split into its frames, without skippable ones",
    (size) => {
      const stream = Buffer.concat([SKIPPABLE, ...FRAMES.flatMap((frame) => [frame, SKIPPABLE])]);
      const { frames, whole } = split(stream, size);
      expect(whole).toBe(true);
      expect(frames.map((frame) => frame.toString("hex"))).toEqual(
        FRAMES.map((frame) => frame.toString("hex")),
      );
      expect(frames.map((frame) => zstdDecompressSync(frame).toString("latin1"))).toEqual(
        CONTENTS.flatMap((content) => [content, content]),
      );
    },
  );

  test("that is cut is not whole", () => {
    expect(split(FRAMES[0]!.subarray(0, -1), 100).whole).toBe(false);
  });

  test("that is followed by something else is refused", () => {
    expect(() => split(Buffer.concat([FRAMES[0]!, Buffer.from("else")]), 100)).toThrow(
      expect.objectContaining({ code: "FILE_FAILED" }),
    );
  });
});
