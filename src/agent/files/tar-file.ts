import { SmolVMError } from "../../errors.ts";
import { encodeEntry, padding, type TarHeader } from "../../util/tar/header.ts";
import { showPath } from "./guest-path.ts";

/** A file up to this size is held until its end, which tells its real size. */
const HELD_BYTES = 256 * 1024;

/**
 * One file's header, content and padding. A tar header says the size before the content, while a file may change as it is read: a
 * small one is waited for, a larger one that has grown is cut to the size that it had. Pure.
 */
export class TarFile {
  readonly #header: TarHeader;
  readonly #write: (bytes: Uint8Array) => void;
  #held: Uint8Array[] = [];
  #heldBytes = 0;
  /** what the header says, once it is written */
  #size: number | undefined;
  #written = 0;
  /** bytes that were left out, because the file grew */
  dropped = 0;

  /** @param header its size is what the guest said */
  constructor(header: TarHeader, write: (bytes: Uint8Array) => void) {
    this.#header = header;
    this.#write = write;
  }

  data(piece: Uint8Array): void {
    if (this.#size !== undefined) {
      this.#content(piece);
      return;
    }
    this.#held.push(piece);
    this.#heldBytes += piece.length;
    if (this.#heldBytes > HELD_BYTES) this.#begin(Math.max(this.#header.size, this.#heldBytes));
  }

  /** @throws SmolVMError FILE_FAILED if a large file became shorter */
  end(): void {
    if (this.#size === undefined) this.#begin(this.#heldBytes);
    const missing = this.#size! - this.#written;
    if (missing > 0) {
      throw new SmolVMError(
        "FILE_FAILED",
        `${showPath(this.#header.name)} became ${missing} bytes shorter while it was read`,
        { hint: "Copy it again when nothing in the sandbox writes to it." },
      );
    }
    this.#write(Buffer.alloc(padding(this.#size!)));
  }

  #begin(size: number): void {
    this.#size = size;
    this.#write(encodeEntry({ ...this.#header, size }));
    const held = this.#held;
    this.#held = [];
    for (const piece of held) this.#content(piece);
  }

  #content(piece: Uint8Array): void {
    const wanted = piece.subarray(0, this.#size! - this.#written);
    this.#written += wanted.length;
    this.dropped += piece.length - wanted.length;
    if (wanted.length > 0) this.#write(wanted);
  }
}
