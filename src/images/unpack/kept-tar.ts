import { type FileHandle, open } from "node:fs/promises";
import { rm } from "../../util/files-go.ts";
import { isNoSpace } from "../../util/no-space.ts";
import { BlockFile } from "./block-file.ts";

/**
 * A layer's tar, unpacked, for as long as it is read again. It saves time and nothing else: one that is larger than there is room for is
 * not kept, and its layer is unpacked again.
 */
export class KeptTar {
  readonly #path: string;
  readonly #maxBytes: number;
  #file: FileHandle | undefined;
  #out: BlockFile | undefined;
  #bytes = 0;
  #kept = true;

  private constructor(path: string, maxBytes: number, file: FileHandle) {
    this.#path = path;
    this.#maxBytes = maxBytes;
    this.#file = file;
    this.#out = new BlockFile(file);
  }

  /** @param path a file that is made, or replaced */
  static async create(path: string, maxBytes: number): Promise<KeptTar> {
    return new KeptTar(path, maxBytes, await open(path, "w", 0o600));
  }

  /** Where it is; undefined: it was not kept. */
  get path(): string | undefined {
    return this.#kept ? this.#path : undefined;
  }

  /** What it takes, at most. */
  get bytes(): number {
    return this.#kept ? this.#bytes : 0;
  }

  async write(bytes: Uint8Array): Promise<void> {
    if (this.#out === undefined) return;
    this.#bytes += bytes.length;
    if (this.#bytes > this.#maxBytes) return this.remove();
    await this.#orRemove(this.#out.write(bytes));
  }

  /** All of it was written. */
  async end(): Promise<void> {
    if (this.#out === undefined) return;
    await this.#orRemove(this.#out.end());
    this.#out = undefined; // it holds a buffer, and an image may have many layers
    await this.#close();
  }

  /** Nothing is left of it. */
  async remove(): Promise<void> {
    this.#kept = false;
    this.#out = undefined;
    await this.#close();
    await rm(this.#path, { force: true });
  }

  async #orRemove(written: Promise<void>): Promise<void> {
    try {
      await written;
    } catch (error) {
      if (!isNoSpace(error)) throw error;
      await this.remove(); // there may be room for what is made of it
    }
  }

  async #close(): Promise<void> {
    const file = this.#file;
    this.#file = undefined;
    await file?.close();
  }
}
