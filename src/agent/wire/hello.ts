import { SmolVMError } from "../../errors.ts";
import { encodeFrame, FrameType, HEADER_BYTES, MAX_HELLO, MAX_PAYLOAD } from "./frame.ts";
import { Hello, HelloAck, MAX_VERSION, MIN_VERSION } from "./messages.ts";
import { decode, encode } from "./schema.ts";
import { violation } from "./violation.ts";

/** Starts a session in both directions (PROTOCOL.md, section 1): no frame begins like this. */
export const MAGIC: Buffer = Buffer.from("\xff\xff\xff\xffsmolvm-agent", "latin1");

/** Most bytes of an earlier session that are skipped while waiting for the guest's answer. */
const MAX_DISCARD: number = 16 * 1024 * 1024;

/** Answers with the awaited nonce that are no message, before the guest is given up: each costs as much as an error. */
const MAX_MALFORMED = 16;

/** Completes whatever frame an earlier host left half written: one header and one payload of zeros. */
export const FLUSH_BYTES: number = HEADER_BYTES + MAX_PAYLOAD;

/**
 * MAGIC and a HELLO frame. `client` is cut to 64 characters.
 * @param resume the token of the suspended session that is to go on
 */
export function encodeHello(nonce: Uint8Array, client: string, resume?: Uint8Array): Buffer {
  const hello = encode(Hello, {
    minVersion: MIN_VERSION,
    maxVersion: MAX_VERSION,
    nonce,
    client: client.slice(0, 64),
    resume,
    resumes: true,
  });
  return Buffer.concat([MAGIC, encodeFrame(0, FrameType.HELLO, 0, hello)]);
}

/** What {@link HelloScan.push} found. */
export interface HelloFound {
  readonly ack: HelloAck;
  /** bytes after the answer: the session's first frames */
  readonly rest: Buffer;
}

const EMPTY: Buffer = Buffer.alloc(0);

/**
 * Looks for MAGIC and the HELLO_ACK that carries the awaited nonce in whatever else the channel still holds.
 * Keeps at most one answer's bytes; gives up after {@link MAX_DISCARD}.
 */
export class HelloScan {
  #nonce: Buffer;
  #held: Buffer = EMPTY;
  #discarded = 0;
  #malformed = 0;

  constructor(nonce: Buffer) {
    this.#nonce = nonce;
  }

  /** A new HELLO was sent: from now on only its answer counts. */
  expect(nonce: Buffer): void {
    this.#nonce = nonce;
  }

  /** Bytes skipped so far. */
  get discarded(): number {
    return this.#discarded;
  }

  /**
   * @returns the answer and the bytes after it, or undefined if it has not come yet
   * @throws SmolVMError AGENT_PROTOCOL after {@link MAX_DISCARD} bytes without an answer
   */
  push(chunk: Buffer): HelloFound | undefined {
    const bytes = this.#held.length === 0 ? chunk : Buffer.concat([this.#held, chunk]);
    this.#held = EMPTY;
    for (let from = 0; ; ) {
      const at = bytes.indexOf(MAGIC, from);
      if (at < 0) {
        // The magic number may have begun: keep its possible first 15 bytes.
        this.#keep(bytes, Math.max(from, bytes.length - (MAGIC.length - 1)));
        return undefined;
      }
      const found = this.#answer(bytes, at + MAGIC.length);
      if (found === "more") {
        this.#keep(bytes, at);
        return undefined;
      }
      if (found !== "none") return found;
      from = at + MAGIC.length;
    }
  }

  #keep(bytes: Buffer, from: number): void {
    this.#discard(from);
    this.#held = Buffer.from(bytes.subarray(from)); // a copy: the chunk is not kept alive
  }

  #discard(bytes: number): void {
    this.#discarded += bytes;
    if (this.#discarded > MAX_DISCARD) throw violation(`${MAX_DISCARD} bytes without an answer to the hello`);
  }

  #answer(bytes: Buffer, at: number): HelloFound | "more" | "none" {
    const payload = at + HEADER_BYTES;
    if (bytes.length < payload) return "more";
    const length = bytes.readUInt32LE(at);
    const plain = bytes.readUInt32LE(at + 4) === 0 && bytes.readUInt32LE(at + 8) === FrameType.HELLO_ACK;
    if (!plain || length > MAX_HELLO) return "none";
    if (bytes.length < payload + length) return "more";
    const message = bytes.subarray(payload, payload + length);
    if (!message.includes(this.#nonce)) return "none"; // cheaper than decoding: a flood may hold a million of them
    let ack: HelloAck;
    try {
      ack = decode(HelloAck, message);
    } catch (error) {
      if (++this.#malformed > MAX_MALFORMED) throw error;
      return "none"; // not an answer, so part of what is skipped
    }
    if (!Buffer.from(ack.nonce).equals(this.#nonce)) return "none";
    return { ack, rest: bytes.subarray(payload + length) };
  }
}

/**
 * Throws AGENT_VERSION unless the guest answered with a version that this library speaks.
 *
 * @param ack the guest's answer: the highest common version, or its own highest when there is none
 */
export function checkVersion(ack: HelloAck): void {
  if (ack.version >= MIN_VERSION && ack.version <= MAX_VERSION) return;
  const ours =
    MIN_VERSION === MAX_VERSION ? `version ${MAX_VERSION}` : `versions ${MIN_VERSION} to ${MAX_VERSION}`;
  const newer = ack.version > MAX_VERSION;
  throw new SmolVMError(
    "AGENT_VERSION",
    `the sandbox's agent speaks protocol version ${ack.version}, this library ${ours}`,
    {
      hint: newer
        ? "The sandbox was made by a newer smolvm. Update this one: npm install smolvm@latest"
        : "The sandbox was made by an older smolvm. Stop and start it again, so that it boots this version's agent.",
      details: { guestVersion: ack.version, minVersion: MIN_VERSION, maxVersion: MAX_VERSION },
    },
  );
}
