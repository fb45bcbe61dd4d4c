import { type FileInfo, TreeRecord } from "../wire/messages.ts";
import { encodeRecord } from "../wire/records.ts";
import { type Draft, encode } from "../wire/schema.ts";
import { LENGTH_DELIMITED, putVarint, varintLength } from "../wire/wire.ts";
import type { Outflow } from "./outflow.ts";
import { MAX_TREE_DATA } from "./tree-policy.ts";

/** The bit of a regular file beside permissions (`S_IFREG`, stat.h). It is no permission, and makes a mode of none differ from one that is not told. */
const NO_PERMISSION = 0o100000;

/** A mode as the guest is asked for it, where 0 means that what is there keeps its own (PROTOCOL.md). Pure. */
export function exactMode(mode: number): number {
  return mode === 0 ? NO_PERMISSION : mode;
}

/** Small records are gathered up to this before they are sent, in bytes: one frame. */
const GATHER_BYTES = 64 * 1024;
/** Content up to this is copied between other records; larger content is sent as it lies. */
const COPY_BYTES = 16 * 1024;

const DATA_FIELD = 2;
const END: Buffer = encodeRecord(encode(TreeRecord, { end: true }));

/** Sends a tree's records, many small ones to a frame. */
export class TreeSender {
  readonly #outflow: Outflow;
  #pieces: Uint8Array[] = [];
  #gathered = 0;
  /** the batch before: the next one is not handed over before it has left, so that two are under way at most */
  #before: Promise<void> = Promise.resolve();
  entries = 0;
  bytes = 0;

  constructor(outflow: Outflow) {
    this.#outflow = outflow;
  }

  /** @param attributes extended ones, names as bytes, each as one character */
  async entry(info: Draft<FileInfo>, attributes?: ReadonlyMap<string, Uint8Array>): Promise<void> {
    const given = [...(attributes ?? [])].map(([name, value]) => ({
      name: Buffer.from(name, "latin1"),
      value,
    }));
    await this.#add(encodeRecord(encode(TreeRecord, { entry: info, attributes: given })));
  }

  /** A file's content, or a part of it. The memory may be used again when the promise resolves. */
  async data(content: Uint8Array): Promise<void> {
    this.bytes += content.length;
    for (let at = 0; at < content.length; at += MAX_TREE_DATA) {
      const piece = content.subarray(at, at + MAX_TREE_DATA);
      const header = dataHeader(piece.length);
      if (piece.length <= COPY_BYTES) {
        await this.#add(Buffer.concat([header, piece]));
        continue;
      }
      this.#pieces.push(header, piece);
      this.#gathered += header.length + piece.length;
    }
    if (this.#gathered >= GATHER_BYTES) await this.flush();
    // Pieces that point into `content` must have left before it is used again.
    if (content.length > COPY_BYTES) {
      await this.flush();
      await this.#before;
    }
  }

  async end(): Promise<void> {
    await this.#add(END);
  }

  async #add(record: Uint8Array): Promise<void> {
    this.#pieces.push(record);
    this.#gathered += record.length;
    if (this.#gathered >= GATHER_BYTES) await this.flush();
  }

  /** Hands over what was gathered. */
  async flush(): Promise<void> {
    if (this.#pieces.length === 0) return;
    await this.#before;
    this.#before = this.#outflow.send(this.#pieces);
    this.#pieces = [];
    this.#gathered = 0;
  }
}

/** What comes before `length` bytes of content: the record's length, and the tag and length of its one field. */
function dataHeader(length: number): Buffer {
  const inner = 1 + varintLength(length);
  const header = Buffer.allocUnsafe(varintLength(inner + length) + inner);
  let at = putVarint(header, inner + length, 0);
  at = putVarint(header, DATA_FIELD * 8 + LENGTH_DELIMITED, at);
  putVarint(header, length, at);
  return header;
}
