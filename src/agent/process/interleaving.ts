import type { OutputName } from "../types.ts";

/** How many bytes of stdout, then of stderr, then of stdout again, ... make up the whole; the first may be 0. */
export type Interleaving = Float64Array;

/** Beyond so many changes between the streams each goes on in one piece: who writes byte by byte must not cost megabytes. */
const MAX_TURNS = 1_000_000;

/** Notes in which order the bytes of both streams came. */
export class Turns {
  #lengths: Float64Array = new Float64Array(16);
  /** where the first turn that is left is; an even index is stdout's */
  #first = 0;
  #count = 1;

  add(stream: OutputName, bytes: number): void {
    let at = this.#count - 1;
    if (at % 2 !== (stream === "stdout" ? 0 : 1))
      at = this.#count - this.#first < MAX_TURNS ? this.#next() : at - 1;
    this.#lengths[at]! += bytes;
  }

  #next(): number {
    if (this.#count === this.#lengths.length) {
      const start = this.#start;
      const left = this.#lengths.subarray(start);
      this.#lengths = new Float64Array(Math.max(16, left.length * 2));
      this.#lengths.set(left);
      this.#count -= start;
      this.#first -= start;
    }
    this.#lengths[this.#count] = 0;
    return this.#count++;
  }

  /** The last even index up to the first turn. */
  get #start(): number {
    return this.#first - (this.#first % 2);
  }

  /** Forgets the first `bytes`, and says how many of them were whose. */
  drop(bytes: number): Record<OutputName, number> {
    const dropped = { stdout: 0, stderr: 0 };
    for (let left = bytes; left > 0; ) {
      const length = Math.min(left, this.#lengths[this.#first]!);
      dropped[this.#first % 2 === 0 ? "stdout" : "stderr"] += length;
      this.#lengths[this.#first]! -= length;
      left -= length;
      if (left > 0) this.#first++;
    }
    return dropped;
  }

  take(): Interleaving {
    return this.#lengths.slice(this.#start, this.#count);
  }
}

/** Both streams as one text, in the order of `order`. A character that the other stream's output cut in two stays one. Pure. */
export function interleave(stdout: Uint8Array, stderr: Uint8Array, order: Interleaving): string {
  const sides = [stdout, stderr].map((bytes) => ({
    bytes,
    at: 0,
    decoder: new TextDecoder("utf-8", { ignoreBOM: true }),
  }));
  let text = "";
  order.forEach((length, turn) => {
    const side = sides[turn % 2]!;
    text += side.decoder.decode(side.bytes.subarray(side.at, side.at + length), { stream: true });
    side.at += length;
  });
  return text + sides.map(({ decoder }) => decoder.decode()).join("");
}
