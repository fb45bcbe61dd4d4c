import type { FileHandle } from "node:fs/promises";
import { EROFS_BLOCK } from "../formats/erofs.ts";

const BUFFER_BYTES = 1024 * 1024;
/** What is nothing but zeros is a hole: in pieces of so many bytes. */
const HOLE_BYTES = 64 * 1024;
const ZEROS = Buffer.alloc(HOLE_BYTES);

/** Writes a file from its beginning on, block after block. Zeros become holes. */
export class BlockFile {
  readonly #file: FileHandle;
  readonly #buffer: Buffer = Buffer.allocUnsafe(BUFFER_BYTES);
  #filled = 0;
  /** where the buffer will go */
  #at = 0;

  constructor(file: FileHandle) {
    this.#file = file;
  }

  /** Where the next byte goes. */
  get position(): number {
    return this.#at + this.#filled;
  }

  async write(bytes: Uint8Array): Promise<void> {
    for (let done = 0; done < bytes.length; ) {
      const take = Math.min(BUFFER_BYTES - this.#filled, bytes.length - done);
      this.#buffer.set(bytes.subarray(done, done + take), this.#filled);
      this.#filled += take;
      done += take;
      if (this.#filled === BUFFER_BYTES) await this.#flush();
    }
  }

  /** Zeros up to a position. */
  async fillTo(position: number): Promise<void> {
    while (this.position < position) {
      await this.write(ZEROS.subarray(0, Math.min(HOLE_BYTES, position - this.position)));
    }
  }

  /** Zeros up to the next block's beginning. @returns that block */
  async nextBlock(): Promise<number> {
    const block = Math.ceil(this.position / EROFS_BLOCK);
    await this.fillTo(block * EROFS_BLOCK);
    return block;
  }

  /** Everything is in the file, which is as long as what was written. */
  async end(): Promise<void> {
    await this.#flush();
    await this.#file.truncate(this.#at);
  }

  async #flush(): Promise<void> {
    let from = 0;
    const write = async (to: number): Promise<void> => {
      for (let done = from; done < to; ) {
        const { bytesWritten } = await this.#file.write(this.#buffer, done, to - done, this.#at + done);
        done += bytesWritten;
      }
    };
    for (let at = 0; at < this.#filled; at += HOLE_BYTES) {
      const end = Math.min(at + HOLE_BYTES, this.#filled);
      if (!this.#buffer.subarray(at, end).equals(ZEROS.subarray(0, end - at))) continue;
      await write(at);
      from = end;
    }
    await write(this.#filled);
    this.#at += this.#filled;
    this.#filled = 0;
  }
}
