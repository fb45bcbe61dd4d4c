import { ChunkQueue } from "../../util/chunk-queue.ts";
import type { OutputName, Overflow } from "../types.ts";
import { type Interleaving, Turns } from "./interleaving.ts";

/** How far beyond what is kept the beginning may pile up before it is thrown away, in bytes. */
const SLACK = 256 * 1024;

/** What a command printed, within a limit: both streams, and how they followed each other. */
export class CapturedOutput {
  readonly #max: number;
  readonly #overflow: Overflow;
  readonly #queues = { stdout: new ChunkQueue<undefined>(), stderr: new ChunkQueue<undefined>() };
  readonly #turns = new Turns();
  #kept = 0;
  #seen = 0;

  /** @param maxBytes of both streams together */
  constructor(maxBytes: number, overflow: Overflow) {
    this.#max = maxBytes;
    this.#overflow = overflow;
  }

  /** More was printed than is kept. */
  get truncated(): boolean {
    return this.#seen > this.#max;
  }

  add(stream: OutputName, piece: Buffer): void {
    const room = this.#max - this.#seen;
    this.#seen += piece.length;
    const wanted =
      this.#overflow === "keepLast" || piece.length <= room ? piece : piece.subarray(0, Math.max(0, room));
    if (wanted.length === 0) return;
    this.#queues[stream].push(undefined, wanted);
    this.#turns.add(stream, wanted.length);
    this.#kept += wanted.length;
    if (this.#kept > this.#max + SLACK) this.#dropFirst();
  }

  /** Ends it: what was kept. */
  take(): { stdout: Buffer; stderr: Buffer; order: Interleaving } {
    this.#dropFirst();
    const { stdout, stderr } = this.#queues;
    return { stdout: stdout.join(), stderr: stderr.join(), order: this.#turns.take() };
  }

  /** Throws away what came first, down to the limit. */
  #dropFirst(): void {
    if (this.#kept <= this.#max) return;
    const dropped = this.#turns.drop(this.#kept - this.#max);
    for (const stream of ["stdout", "stderr"] as const) this.#queues[stream].drop(dropped[stream]);
    this.#kept = this.#max;
  }
}
