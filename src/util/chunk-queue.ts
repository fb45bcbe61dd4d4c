/** Pieces from this size on are kept as they are; smaller ones are copied together, so that none pins a large read buffer. */
const KEEP_BYTES = 8 * 1024;
const BLOCK_BYTES = 16 * 1024;
/** From this many entries on, pieces join the last one of their tag, whatever came between. */
const MAX_ORDERED = 16;

interface Entry<Tag> {
  readonly tag: Tag;
  block: Buffer;
  used: number;
}

/**
 * Bytes waiting to be read, in pieces with a tag (which stream they came from). Its memory is bounded by a small multiple
 * of the bytes it holds even if they come one by one. Order between tags is kept for the first few entries and
 * then only within each tag.
 */
export class ChunkQueue<Tag> {
  #entries: Entry<Tag>[] = [];
  #first = 0;
  #bytes = 0;

  /** Bytes held. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Adds a piece; one that is small is copied. */
  push(tag: Tag, piece: Buffer): void {
    this.#bytes += piece.length;
    if (piece.length >= KEEP_BYTES) {
      this.#entries.push({ tag, block: piece, used: piece.length });
      return;
    }
    const open = this.#openEntry(tag);
    if (open !== undefined && open.block.length - open.used >= piece.length) {
      piece.copy(open.block, open.used);
      open.used += piece.length;
      return;
    }
    const count = this.#entries.length - this.#first;
    const size = Math.min(BLOCK_BYTES, Math.max(piece.length, 256 << Math.min(count, 6)));
    const block = Buffer.allocUnsafeSlow(size);
    piece.copy(block);
    this.#entries.push({ tag, block, used: piece.length });
  }

  #openEntry(tag: Tag): Entry<Tag> | undefined {
    let at = this.#entries.length - 1;
    const ordered = at - this.#first < MAX_ORDERED;
    for (; at >= this.#first; at--) {
      const entry = this.#entries[at]!;
      if (entry.tag === tag) return entry;
      if (ordered) return undefined;
    }
    return undefined;
  }

  /** Takes the first piece, of a tag if one is given; undefined if there is none. */
  shift(tag?: Tag): { tag: Tag; data: Buffer } | undefined {
    let at = this.#first;
    if (tag !== undefined) while (at < this.#entries.length && this.#entries[at]!.tag !== tag) at++;
    const entry = this.#entries[at];
    if (entry === undefined) return undefined;
    if (at > this.#first) this.#entries.copyWithin(this.#first + 1, this.#first, at);
    this.#first++;
    if (this.#first === this.#entries.length) {
      this.#entries = [];
      this.#first = 0;
    } else if (this.#first >= 1024) {
      this.#entries.splice(0, this.#first);
      this.#first = 0;
    }
    this.#bytes -= entry.used;
    return { tag: entry.tag, data: entry.block.subarray(0, entry.used) };
  }

  /** Throws the first `bytes` away. */
  drop(bytes: number): void {
    let left = bytes;
    while (left > 0) {
      const entry = this.#entries[this.#first];
      if (entry === undefined) return;
      if (entry.used <= left) {
        left -= entry.used;
        this.shift();
      } else {
        entry.block = entry.block.subarray(left);
        entry.used -= left;
        this.#bytes -= left;
        return;
      }
    }
  }

  /** All bytes in one piece, tags aside. Empties the queue. */
  join(): Buffer {
    const pieces = this.#entries.slice(this.#first).map((entry) => entry.block.subarray(0, entry.used));
    const bytes = this.#bytes;
    this.clear();
    return pieces.length === 1 ? pieces[0]! : Buffer.concat(pieces, bytes);
  }

  clear(): void {
    this.#entries = [];
    this.#first = 0;
    this.#bytes = 0;
  }
}
