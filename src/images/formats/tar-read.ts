import { SmolVMError } from "../../errors.ts";
import { BLOCK_BYTES } from "./tar.ts";

/** One file of an archive. Its data must be read, or will be skipped, before the next one comes. */
export interface TarFile {
  readonly path: string;
  readonly sizeBytes: number;
  readonly data: AsyncIterable<Uint8Array>;
}

/**
 * Reads a tar archive that may come from anywhere. Only what our own writer makes (tar.ts) is accepted: plain ustar headers
 * with right checksums, regular files, names of at most 100 bytes. No links, devices, long names or extensions: there is
 * nothing in a header that would have to be allocated for. Constant memory.
 * @throws SmolVMError IMAGE_INVALID
 */
export async function* readTar(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<TarFile, void, undefined> {
  const reader = new BlockReader(chunks);
  for (;;) {
    const header = await reader.exactly(BLOCK_BYTES);
    if (isZero(header)) break;
    const { path, sizeBytes } = parseHeader(header);
    let left = sizeBytes;
    const data = (async function* (): AsyncGenerator<Uint8Array, void, undefined> {
      while (left > 0) {
        const chunk = await reader.some(left);
        left -= chunk.length;
        yield chunk;
      }
    })();
    yield { path, sizeBytes, data };
    while (left > 0) left -= (await reader.some(left)).length;
    const padding = await reader.exactly((BLOCK_BYTES - (sizeBytes % BLOCK_BYTES)) % BLOCK_BYTES);
    if (!isZero(padding)) throw damaged(`what follows '${path}' is not padding`);
  }
  for (let rest = await reader.some(BLOCK_BYTES * 128, true); rest.length > 0; ) {
    if (!isZero(rest)) throw damaged("something follows its end");
    rest = await reader.some(BLOCK_BYTES * 128, true);
  }
}

/** Hands bytes out in pieces of wanted sizes. */
class BlockReader {
  readonly #chunks: AsyncIterator<Uint8Array>;
  #rest: Uint8Array = new Uint8Array(0);

  constructor(chunks: AsyncIterable<Uint8Array>) {
    this.#chunks = chunks[Symbol.asyncIterator]();
  }

  /** Between 1 and `most` bytes; none at the end, if that may come. */
  async some(most: number, endAllowed = false): Promise<Uint8Array> {
    while (this.#rest.length === 0) {
      const next = await this.#chunks.next();
      if (next.done) {
        if (endAllowed) return this.#rest;
        throw damaged("it is cut off");
      }
      this.#rest = next.value;
    }
    const piece = this.#rest.subarray(0, most);
    this.#rest = this.#rest.subarray(piece.length);
    return piece;
  }

  async exactly(size: number): Promise<Uint8Array> {
    const whole = new Uint8Array(size);
    for (let done = 0; done < size; ) {
      const piece = await this.some(size - done);
      whole.set(piece, done);
      done += piece.length;
    }
    return whole;
  }
}

function parseHeader(block: Uint8Array): { path: string; sizeBytes: number } {
  const text = (at: number, length: number): string => {
    const field = block.subarray(at, at + length);
    const end = field.indexOf(0);
    return Buffer.from(end < 0 ? field : field.subarray(0, end)).toString("latin1");
  };
  const octal = (at: number, length: number): number => {
    const digits = text(at, length).trim();
    return /^[0-7]+$/.test(digits) ? Number.parseInt(digits, 8) : Number.NaN;
  };
  // The checksum is summed up with spaces in its own place.
  const sum = block.reduce((total, byte, at) => total + (at >= 148 && at < 156 ? 0x20 : byte), 0);
  if (octal(148, 8) !== sum || !text(257, 6).startsWith("ustar")) throw damaged("a header in it is damaged");
  const path = text(0, 100);
  const type = text(156, 1);
  if (type !== "0" && type !== "")
    throw damaged(`'${path}' is not a regular file (type ${JSON.stringify(type)})`);
  const sizeBytes = octal(124, 12);
  if (!Number.isSafeInteger(sizeBytes) || path === "" || text(345, 155) !== "")
    throw damaged(`a header in it is of a kind that bundles do not have ('${path}')`);
  return { path, sizeBytes };
}

function isZero(bytes: Uint8Array): boolean {
  return bytes.every((byte) => byte === 0);
}

function damaged(what: string): SmolVMError {
  return new SmolVMError("IMAGE_INVALID", `the archive is damaged: ${what}`);
}
