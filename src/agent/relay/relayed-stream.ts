import type { SessionEnd } from "../session/session-end.ts";
import type { GuestChannel, SessionStream, StreamLink } from "../session/stream.ts";
import {
  encodeFrame,
  encodeHeader,
  FrameType,
  INITIAL_CREDIT,
  MAX_CREDIT,
  openFrames,
} from "../wire/frame.ts";
import { Open } from "../wire/messages.ts";
import { decode } from "../wire/schema.ts";
import { violation } from "../wire/violation.ts";

/** Credit of channels 1 and 2 where the request names none (PROTOCOL.md, Flow control). */
const DEFAULT_WINDOW = 262_144;

/** Where the frames for a relayed stream's client go. */
export interface RelayOutput {
  write(bytes: Uint8Array): void;
  /** a frame that needs no credit: too many unread ones are the guest's doing */
  writeControl(frame: Buffer): void;
  /** the stream with this id, as the client numbers it, is over */
  over(clientId: number): void;
}

/**
 * One stream of a relayed client: its frames pass with the number changed, and so does its credit, which both ends go on
 * counting; here it is counted too, so that neither end can make this process keep more than was granted.
 */
export class RelayedStream implements SessionStream {
  readonly id: number;
  readonly #link: StreamLink;
  readonly #clientId: number;
  readonly #open: Buffer;
  #output: RelayOutput | undefined;
  #state: "queued" | "open" | "over" = "queued";
  /** what the client sent behind its request while the guest had no room for it */
  #waiting: Uint8Array[] = [];
  /** bytes that may still come, by channel: 0 from the client, 1 and 2 from the guest */
  readonly #credit: [number, number, number];

  /**
   * @param open the whole request as the client sent it
   * @throws SmolVMError AGENT_PROTOCOL if it is no request
   */
  constructor(id: number, link: StreamLink, client: { id: number; open: Buffer; output: RelayOutput }) {
    this.id = id;
    this.#link = link;
    this.#clientId = client.id;
    this.#open = client.open;
    this.#output = client.output;
    const window = decode(Open, client.open).window || DEFAULT_WINDOW;
    this.#credit = [INITIAL_CREDIT, window, window];
  }

  // --- from the client

  /** A whole frame other than OPEN and DATA. */
  pass(type: number, flags: number, payload: Buffer): void {
    if (type === FrameType.WINDOW) this.#grant(flags, payload);
    this.#send(encodeFrame(this.id, type, flags, payload));
  }

  passData(piece: Buffer): void {
    this.#spend(0, piece.length);
    this.#send(encodeHeader(this.id, FrameType.DATA, 0, piece.length));
    this.#send(piece);
  }

  /** The client is gone: what it asked for is stopped, and what still comes is dropped. */
  abandon(): void {
    this.#output = undefined;
    if (this.#state === "queued") this.#finish();
    else this.#send(encodeFrame(this.id, FrameType.RESET, 0));
  }

  // --- for the session

  begin(): void {
    this.#state = "open";
    for (const frame of openFrames(this.id, this.#open)) this.#link.write(frame);
    for (const bytes of this.#waiting) this.#link.write(bytes);
    this.#waiting = [];
  }

  frame(type: number, flags: number, payload: Buffer): void {
    if (type === FrameType.WINDOW) this.#grant(flags, payload);
    this.#output?.writeControl(encodeFrame(this.#clientId, type, flags, payload));
    if (type === FrameType.RESULT) this.#finish();
  }

  data(channel: GuestChannel, piece: Buffer): void {
    this.#spend(channel, piece.length);
    this.#output?.write(encodeHeader(this.#clientId, FrameType.DATA, channel, piece.length));
    this.#output?.write(piece);
  }

  /** It never waits: what a client may send is bounded by the guest's credit. */
  pump(): void {}

  lose(_end: SessionEnd): void {
    this.#finish();
  }

  #send(bytes: Uint8Array): void {
    if (this.#state === "queued") this.#waiting.push(bytes);
    else if (this.#state === "open") this.#link.write(bytes);
  }

  #spend(channel: 0 | GuestChannel, bytes: number): void {
    this.#credit[channel] -= bytes;
    if (this.#credit[channel] < 0) throw violation("DATA beyond its credit");
  }

  #grant(flags: number, payload: Buffer): void {
    const channel = flags as 0 | GuestChannel;
    this.#credit[channel] += payload.readUInt32LE(0);
    if (this.#credit[channel] > MAX_CREDIT) throw violation("credit above 2^31 - 1");
  }

  #finish(): void {
    if (this.#state === "over") return;
    this.#state = "over";
    this.#waiting = [];
    this.#link.over(this);
    this.#output?.over(this.#clientId);
    this.#output = undefined;
  }
}
