import { Readable } from "node:stream";
import { ChunkQueue } from "../../util/chunk-queue.ts";
import type { OutputChunk, OutputName } from "../types.ts";

/** Output that may be pending unread, in bytes of stdout and of stderr. */
export const PROCESS_WINDOW: number = 256 * 1024;

const STREAMS: readonly OutputName[] = ["stdout", "stderr"];

/** Takes output, of one stream or of both. */
export interface OutputReader {
  /** The next piece; undefined after the last. Rejects when the process's stream failed. */
  next(): Promise<OutputChunk | undefined>;
  /** Reads no more: what is left is for others. */
  close(): void;
}

class Reader implements OutputReader {
  readonly stream: OutputName | undefined;
  readonly #next: (reader: Reader) => Promise<OutputChunk | undefined>;
  readonly #close: (reader: Reader) => void;
  /** waits for a piece */
  waiting:
    | { resolve: (chunk: OutputChunk | undefined) => void; reject: (error: unknown) => void }
    | undefined;

  constructor(
    stream: OutputName | undefined,
    next: (reader: Reader) => Promise<OutputChunk | undefined>,
    close: (reader: Reader) => void,
  ) {
    this.stream = stream;
    this.#next = next;
    this.#close = close;
  }

  wants(stream: OutputName): boolean {
    return this.stream === undefined || this.stream === stream;
  }

  next(): Promise<OutputChunk | undefined> {
    return this.#next(this);
  }

  close(): void {
    this.#close(this);
    this.waiting?.resolve(undefined);
    this.waiting = undefined;
  }
}

/** A process's output between the guest and its readers: a queue with backpressure. */
export class ProcessOutput {
  readonly #grant: (stream: OutputName, bytes: number) => void;
  readonly #queue = new ChunkQueue<OutputName>();
  readonly #readers = new Set<Reader>();
  #endAwaited = false;
  readonly #held = { stdout: 0, stderr: 0 };
  /** queued bytes whose credit was not given back yet */
  readonly #owed = { stdout: 0, stderr: 0 };
  #over = false;
  #error: unknown;
  /** bytes that were thrown away because the end was awaited and nobody read */
  dropped = 0;

  /** @param grant gives credit for consumed bytes back */
  constructor(grant: (stream: OutputName, bytes: number) => void) {
    this.#grant = grant;
  }

  // --- from the guest

  push(stream: OutputName, data: Buffer): void {
    for (const reader of this.#readers) {
      if (reader.waiting === undefined || !reader.wants(stream)) continue;
      const { resolve } = reader.waiting;
      reader.waiting = undefined;
      this.#grant(stream, data.length);
      resolve({ stream, data });
      return;
    }
    if (this.#unread(stream) && this.#held[stream] + data.length > PROCESS_WINDOW) {
      this.dropped += data.length;
      this.#grant(stream, data.length);
      return;
    }
    this.#queue.push(stream, data);
    this.#held[stream] += data.length;
    this.#owed[stream] += data.length;
    this.#release();
  }

  /** There is no more: the readers get what is left, and then the end or the error. */
  end(error?: unknown): void {
    if (this.#over) return;
    this.#over = true;
    this.#error = error;
    for (const reader of this.#readers) {
      if (error === undefined) reader.waiting?.resolve(undefined);
      else reader.waiting?.reject(error);
      reader.waiting = undefined;
    }
  }

  // --- for readers

  /** @param stream default both, in the order they came */
  reader(stream?: OutputName): OutputReader {
    const reader = new Reader(
      stream,
      (self) => this.#next(self),
      (self) => {
        this.#readers.delete(self);
        this.#release();
      },
    );
    this.#readers.add(reader);
    return reader;
  }

  /** Somebody waits for the end, which must not depend on output that nobody reads. */
  awaitEnd(): void {
    this.#endAwaited = true;
    this.#release();
  }

  #next(reader: Reader): Promise<OutputChunk | undefined> {
    const chunk = this.#queue.shift(reader.stream);
    if (chunk !== undefined) {
      this.#held[chunk.tag] -= chunk.data.length;
      this.#giveBack(chunk.tag, chunk.data.length);
      return Promise.resolve({ stream: chunk.tag, data: chunk.data });
    }
    if (this.#error !== undefined) return Promise.reject(this.#error);
    if (this.#over) return Promise.resolve(undefined);
    return new Promise((resolve, reject) => {
      reader.waiting = { resolve, reject };
    });
  }

  #unread(stream: OutputName): boolean {
    return this.#endAwaited && ![...this.#readers].some((reader) => reader.wants(stream));
  }

  /** What is queued stays for a later reader; its credit lets the process go on. */
  #release(): void {
    for (const stream of STREAMS) if (this.#unread(stream)) this.#giveBack(stream, this.#owed[stream]);
  }

  #giveBack(stream: OutputName, bytes: number): void {
    const owed = Math.min(bytes, this.#owed[stream]);
    this.#owed[stream] -= owed;
    if (owed > 0) this.#grant(stream, owed);
  }
}

/** One stream of output as a Readable; it counts as a reader from when it is first read until it is destroyed. */
export function outputStream(output: () => Promise<ProcessOutput>, name: OutputName): Readable {
  let reader: Promise<OutputReader> | undefined;
  return new Readable({
    highWaterMark: 64 * 1024,
    read() {
      reader ??= output().then((found) => found.reader(name));
      reader
        .then((found) => found.next())
        .then(
          (chunk) => {
            if (!this.destroyed) this.push(chunk?.data ?? null);
          },
          (error: Error) => this.destroy(error),
        );
    },
    destroy(error, callback) {
      reader?.then((found) => found.close());
      callback(error);
    },
  });
}
