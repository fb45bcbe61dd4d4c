import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { ChunkQueue } from "../../../src/util/chunk-queue.ts";

describe("a chunk queue", () => {
  test("gives back every tag's bytes in order, whatever the pieces", () => {
    const piece = fc.tuple(fc.constantFrom("a", "b"), fc.nat({ max: 20_000 }));
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 60 }), fc.nat({ max: 3 }), (pieces, taken) => {
        const queue = new ChunkQueue<string>();
        const sent = { a: 0, b: 0 } as Record<string, number>;
        const got = { a: 0, b: 0 } as Record<string, number>;
        const take = (): boolean => {
          const chunk = queue.shift();
          if (chunk === undefined) return false;
          // Byte n of a tag's stream is n modulo 251.
          for (const byte of chunk.data)
            if (byte !== got[chunk.tag]!++ % 251) throw new Error("out of order");
          return true;
        };
        for (const [tag, length] of pieces) {
          const start = sent[tag]!;
          queue.push(tag, Buffer.from(Array.from({ length }, (_, n) => (start + n) % 251)));
          sent[tag] = start + length;
          for (let n = 0; n < taken; n++) take();
        }
        expect(queue.bytes).toBe(sent.a! + sent.b! - got.a! - got.b!);
        while (take());
        expect(got).toEqual(sent);
      }),
      { numRuns: 200 },
    );
  });

  test("keeps the order between tags while it is short", () => {
    const queue = new ChunkQueue<number>();
    for (const [tag, text] of [
      [1, "a"],
      [1, "b"],
      [2, "c"],
      [1, "d"],
    ] as const)
      queue.push(tag, Buffer.from(text));
    const seen: string[] = [];
    for (let chunk = queue.shift(); chunk; chunk = queue.shift()) seen.push(`${chunk.tag}${chunk.data}`);
    expect(seen).toEqual(["1ab", "2c", "1d"]);
  });

  test("does not keep a large buffer alive for a small piece of it, nor many objects for many small pieces", () => {
    const queue = new ChunkQueue<number>();
    const large = Buffer.alloc(65_536);
    for (let n = 0; n < 100_000; n++) queue.push(n % 2, large.subarray(n % 1000, (n % 1000) + 1));
    let entries = 0;
    let held = 0;
    for (let chunk = queue.shift(); chunk; chunk = queue.shift()) {
      entries++;
      held += chunk.data.buffer.byteLength;
      expect(chunk.data.buffer).not.toBe(large.buffer);
    }
    expect(entries).toBeLessThan(100);
    expect(held).toBeLessThan(400_000);
  });

  test("joins what it holds", () => {
    const queue = new ChunkQueue<undefined>();
    for (const text of ["one ", "x".repeat(10_000), " three"]) queue.push(undefined, Buffer.from(text));
    expect(queue.join().toString()).toBe(`one ${"x".repeat(10_000)} three`);
    expect(queue.bytes).toBe(0);
    expect(queue.join().length).toBe(0);
  });
});
