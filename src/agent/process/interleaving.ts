import type { OutputName } from "../types.ts";

/** How many bytes of stdout, then of stderr, then of stdout again, ... make up the whole; the first may be 0. */
export type Interleaving = readonly number[];

/** Beyond so many changes between the streams each goes on in one piece: who writes byte by byte must not cost megabytes. */
const MAX_TURNS = 1_000_000;
/** So many that are over may be kept, before those that are left move to the front. */
const KEPT_TURNS = 1024;

/** Notes in which order the bytes of both streams came. */
export class Turns {
  /** a plain array: making a typed one of more than 64 bytes took longer than all else that a small command costs this side */
  readonly #lengths: number[] = [0];
  /** where the first turn that is left is; an even index is stdout's */
  #first = 0;

  add(stream: OutputName, bytes: number): void {
    const lengths = this.#lengths;
    let at = lengths.length - 1;
    if (at % 2 !== (stream === "stdout" ? 0 : 1)) {
      if (lengths.length - this.#first < MAX_TURNS) at = lengths.push(0) - 1;
      else at--;
    }
    lengths[at]! += bytes;
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
    const start = this.#start;
    if (start > KEPT_TURNS && start > this.#lengths.length / 2) {
      this.#lengths.splice(0, start);
      this.#first -= start;
    }
    return dropped;
  }

  take(): Interleaving {
    return this.#lengths.slice(this.#start);
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
