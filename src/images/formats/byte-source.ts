import type { SmolVMError } from "../../errors.ts";
import { packedDamaged } from "./packed-error.ts";

/** Bytes that come in pieces of any size, of which as many are held as a decoder has asked for, and what came with them. */
export class ByteSource {
  readonly #chunks: AsyncIterator<Uint8Array>;
  readonly #format: string;
  #bytes: Uint8Array = new Uint8Array(64 * 1024);
  #at = 0;
  #end = 0;
  #over = false;

  /** @param format of what comes, for errors */
  constructor(chunks: AsyncIterable<Uint8Array>, format: string) {
    this.#chunks = chunks[Symbol.asyncIterator]();
    this.#format = format;
  }

  /** How many bytes can be taken. */
  get held(): number {
    return this.#end - this.#at;
  }

  /** Where what can be taken lies: until the next `fill`. */
  get view(): Uint8Array {
    return this.#bytes.subarray(this.#at, this.#end);
  }

  /** Waits until so many bytes can be taken, or there are no more. */
  async fill(count: number): Promise<void> {
    while (this.held < count && !this.#over) {
      const { done, value } = await this.#chunks.next();
      if (done === true) this.#over = true;
      else this.#append(value);
    }
  }

  #append(chunk: Uint8Array): void {
    const held = this.held;
    if (this.#end + chunk.length > this.#bytes.length) {
      const needed = held + chunk.length;
      const into = needed > this.#bytes.length ? new Uint8Array(needed * 2) : this.#bytes;
      into.set(this.#bytes.subarray(this.#at, this.#end));
      this.#bytes = into;
      this.#at = 0;
      this.#end = held;
    }
    this.#bytes.set(chunk, this.#end);
    this.#end += chunk.length;
  }

  /** So many bytes are done with. */
  skip(count: number): void {
    this.#at += count;
  }

  /** The next bytes, which stay as they are until the next `fill`. @throws SmolVMError FILE_FAILED if there are not so many */
  async take(count: number): Promise<Uint8Array> {
    await this.fill(count);
    if (this.held < count) throw this.damaged("it ends in the middle");
    const taken = this.#bytes.subarray(this.#at, this.#at + count);
    this.#at += count;
    return taken;
  }

  damaged(what: string): SmolVMError {
    return packedDamaged(this.#format, what);
  }
}
