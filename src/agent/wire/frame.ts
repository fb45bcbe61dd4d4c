import { violation } from "./violation.ts";

/*
 * A frame (PROTOCOL.md, section 2), all integers little-endian:
 *
 *    0        4        8    9    10       12
 *   +--------+--------+----+----+--------+=================+
 *   | length | stream |type|flag|reserved| payload         |
 *   +--------+--------+----+----+--------+=================+
 */

export const HEADER_BYTES = 12;
/** Most bytes that one frame carries. */
export const MAX_PAYLOAD = 65_536;
/** Most bytes of an Open message, over all OPEN frames of its stream. */
export const MAX_OPEN: number = 1024 * 1024;
/** Credit that channel 0 of every stream starts with, in bytes. */
export const INITIAL_CREDIT = 65_536;
/** Credit may never rise above this. */
export const MAX_CREDIT: number = 2 ** 31 - 1;
/** Most streams that are open at once in a session. */
export const MAX_STREAMS = 512;
/** Most bytes of a HELLO or HELLO_ACK payload. */
export const MAX_HELLO = 1024;
const MAX_PING = 64;
/** Bytes of what a suspended session is named by. */
export const TOKEN_BYTES = 16;

/** OPEN's flag: the message goes on in the next OPEN frame of the stream. */
export const OPEN_MORE = 1;

export const FrameType = {
  HELLO: 1,
  HELLO_ACK: 2,
  OPEN: 3,
  OPENED: 4,
  DATA: 5,
  WINDOW: 6,
  END: 7,
  CONTROL: 8,
  RESULT: 9,
  RESET: 10,
  GOODBYE: 11,
  PING: 12,
  PONG: 13,
  SUSPEND: 14,
  SWITCH: 15,
} as const;
export type FrameName = keyof typeof FrameType;

/** Which end wrote the bytes. */
export type Side = "host" | "guest";

interface Rule {
  readonly from: Side | "both";
  /** stream 0 or a request's stream */
  readonly on: "session" | "stream";
  /** allowed flags, by the writer */
  readonly flags: { readonly host: readonly number[]; readonly guest: readonly number[] };
  readonly min: number;
  readonly max: number;
}

const PLAIN = { host: [0], guest: [0] };
// The guest writes DATA and END on channels 1 and 2 and grants credit on channel 0; the host the reverse.
const OUTGOING = { host: [0], guest: [1, 2] };
const CREDIT = { host: [1, 2], guest: [0] };

const RULES: readonly (Rule | undefined)[] = (() => {
  const rules: (Rule | undefined)[] = [];
  const rule = (
    type: number,
    from: Rule["from"],
    on: Rule["on"],
    flags: Rule["flags"],
    min: number,
    max: number,
  ): void => {
    rules[type] = { from, on, flags, min, max };
  };
  rule(FrameType.HELLO, "host", "session", PLAIN, 0, MAX_HELLO);
  rule(FrameType.HELLO_ACK, "guest", "session", PLAIN, 0, MAX_HELLO);
  rule(FrameType.OPEN, "host", "stream", { host: [0, OPEN_MORE], guest: [] }, 0, MAX_PAYLOAD);
  rule(FrameType.OPENED, "guest", "stream", PLAIN, 0, MAX_PAYLOAD);
  rule(FrameType.DATA, "both", "stream", OUTGOING, 1, MAX_PAYLOAD);
  rule(FrameType.WINDOW, "both", "stream", CREDIT, 4, 4);
  rule(FrameType.END, "both", "stream", OUTGOING, 0, 0);
  rule(FrameType.CONTROL, "host", "stream", PLAIN, 0, MAX_PAYLOAD);
  rule(FrameType.RESULT, "guest", "stream", PLAIN, 0, MAX_PAYLOAD);
  rule(FrameType.RESET, "host", "stream", PLAIN, 0, 0);
  rule(FrameType.GOODBYE, "guest", "session", PLAIN, 0, MAX_PAYLOAD);
  rule(FrameType.PING, "both", "session", PLAIN, 0, MAX_PING);
  rule(FrameType.PONG, "both", "session", PLAIN, 0, MAX_PING);
  rule(FrameType.SUSPEND, "guest", "session", PLAIN, TOKEN_BYTES, TOKEN_BYTES);
  rule(FrameType.SWITCH, "host", "session", PLAIN, 0, 0);
  return rules;
})();

/** Throws AGENT_PROTOCOL unless `side` may write a frame with this header. */
function checkHeader(
  side: Side,
  length: number,
  stream: number,
  type: number,
  flags: number,
  reserved: number,
): void {
  if (length > MAX_PAYLOAD) throw violation(`a frame of ${length} bytes (at most ${MAX_PAYLOAD})`);
  const rule = RULES[type];
  if (rule === undefined) throw violation(`frame type ${type}`);
  if (reserved !== 0) throw violation("reserved bits in a frame's header");
  if (rule.from !== "both" && rule.from !== side) throw violation(`frame type ${type} from the ${side}`);
  if ((rule.on === "session") !== (stream === 0)) throw violation(`frame type ${type} on stream ${stream}`);
  // Hosts open odd streams; even ones are reserved.
  if (stream !== 0 && stream % 2 === 0) throw violation(`stream ${stream}`);
  if (!rule.flags[side].includes(flags)) throw violation(`flags ${flags} on frame type ${type}`);
  if (length < rule.min || length > rule.max) throw violation(`${length} bytes in frame type ${type}`);
}

/** Writes a frame's header at the start of `target`. */
function putHeader(target: Buffer, length: number, stream: number, type: number, flags: number): void {
  target.writeUInt32LE(length, 0);
  target.writeUInt32LE(stream, 4);
  target.writeUInt32LE(type | (flags << 8), 8); // type, flags, reserved = 0
}

/** A whole frame in one piece: for small payloads, which are copied. */
export function encodeFrame(stream: number, type: number, flags: number, payload?: Uint8Array): Buffer {
  const length = payload?.length ?? 0;
  const frame = Buffer.allocUnsafe(HEADER_BYTES + length);
  putHeader(frame, length, stream, type, flags);
  if (payload !== undefined) frame.set(payload, HEADER_BYTES);
  return frame;
}

/** The OPEN frames of a request, at least one. */
export function* openFrames(stream: number, open: Buffer): Generator<Buffer> {
  let at = 0;
  do {
    const piece = open.subarray(at, at + MAX_PAYLOAD);
    at += piece.length;
    yield encodeFrame(stream, FrameType.OPEN, at < open.length ? OPEN_MORE : 0, piece);
  } while (at < open.length);
}

/** A frame's header alone, for payloads that are sent as they lie. */
export function encodeHeader(stream: number, type: number, flags: number, length: number): Buffer {
  const header = Buffer.allocUnsafe(HEADER_BYTES);
  putHeader(header, length, stream, type, flags);
  return header;
}

/** A WINDOW frame: `credit` more bytes may be sent on the channel. */
export function encodeWindow(stream: number, channel: number, credit: number): Buffer {
  const frame = Buffer.allocUnsafe(HEADER_BYTES + 4);
  putHeader(frame, 4, stream, FrameType.WINDOW, channel);
  frame.writeUInt32LE(credit, HEADER_BYTES);
  return frame;
}

/** Receives what a {@link FrameDecoder} reads. Both may throw; the decoder is then of no further use. */
export interface FrameSink {
  /** A whole frame other than DATA. `payload` is a view on memory that goes on being used for other frames. */
  frame(stream: number, type: number, flags: number, payload: Buffer): void;
  /** A piece of a DATA frame's payload: at least 1 byte, as it arrived. */
  data(stream: number, channel: number, piece: Buffer): void;
}

const EMPTY = Buffer.alloc(0);

/**
 * Cuts a byte stream into frames, whatever the pieces it comes in. DATA is handed on as it arrives, without a copy;
 * other frames are put together first, so that at most one header and one payload (65,536 bytes) are ever held here.
 */
export class FrameDecoder {
  readonly #side: Side;
  readonly #sink: FrameSink;
  readonly #header: Buffer = Buffer.alloc(HEADER_BYTES);
  #headerBytes = 0;
  #stream = 0;
  #type = 0;
  #flags = 0;
  /** payload bytes of the current frame that are still to come; meaningful while the header is complete */
  #missing = 0;
  /** the begun payload of a frame other than DATA */
  #partial: Buffer = EMPTY;
  #partialBytes = 0;

  /** @param side who writes the bytes: decides which frames are allowed */
  constructor(side: Side, sink: FrameSink) {
    this.#side = side;
    this.#sink = sink;
  }

  /** True between two frames. */
  get atBoundary(): boolean {
    return this.#headerBytes === 0;
  }

  /** @throws SmolVMError AGENT_PROTOCOL at the first broken rule, and what the sink throws */
  push(chunk: Buffer): void {
    let at = 0;
    const end = chunk.length;
    while (at < end) {
      if (this.#headerBytes < HEADER_BYTES) {
        if (this.#headerBytes === 0 && end - at >= HEADER_BYTES) {
          this.#begin(chunk, at);
          at += HEADER_BYTES;
        } else {
          const take = Math.min(HEADER_BYTES - this.#headerBytes, end - at);
          chunk.copy(this.#header, this.#headerBytes, at, at + take);
          this.#headerBytes += take;
          at += take;
          if (this.#headerBytes < HEADER_BYTES) return;
          this.#begin(this.#header, 0);
        }
        if (this.#missing === 0) {
          this.#headerBytes = 0;
          this.#sink.frame(this.#stream, this.#type, this.#flags, EMPTY);
        }
        continue;
      }
      const take = Math.min(this.#missing, end - at);
      const piece = take === end && at === 0 ? chunk : chunk.subarray(at, at + take);
      at += take;
      this.#missing -= take;
      if (this.#missing === 0) this.#headerBytes = 0;
      if (this.#type === FrameType.DATA) this.#sink.data(this.#stream, this.#flags, piece);
      else this.#gather(piece);
    }
  }

  #begin(header: Buffer, at: number): void {
    const length = header.readUInt32LE(at);
    const stream = header.readUInt32LE(at + 4);
    const type = header[at + 8]!;
    const flags = header[at + 9]!;
    checkHeader(this.#side, length, stream, type, flags, header.readUInt16LE(at + 10));
    this.#headerBytes = HEADER_BYTES;
    this.#stream = stream;
    this.#type = type;
    this.#flags = flags;
    this.#missing = length;
  }

  #gather(piece: Buffer): void {
    if (this.#partialBytes === 0 && this.#missing === 0) {
      this.#sink.frame(this.#stream, this.#type, this.#flags, piece);
      return;
    }
    if (this.#partialBytes === 0) this.#partial = Buffer.allocUnsafe(piece.length + this.#missing);
    piece.copy(this.#partial, this.#partialBytes);
    this.#partialBytes += piece.length;
    if (this.#missing > 0) return;
    const payload = this.#partial;
    this.#partial = EMPTY;
    this.#partialBytes = 0;
    this.#sink.frame(this.#stream, this.#type, this.#flags, payload);
  }
}
