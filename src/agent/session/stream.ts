import type { SmolVMError } from "../../errors.ts";
import {
  encodeFrame,
  encodeHeader,
  encodeWindow,
  FrameType,
  INITIAL_CREDIT,
  MAX_CREDIT,
  MAX_PAYLOAD,
  openFrames,
} from "../wire/frame.ts";
import { Control, GuestErrorCode, Open, Opened, Result } from "../wire/messages.ts";
import { type Draft, decode, encode } from "../wire/schema.ts";
import { violation } from "../wire/violation.ts";
import type { SessionEnd } from "./session-end.ts";
import { interruptedError } from "./session-end.ts";

/** A channel that the guest writes: 1 is stdout or content, 2 stderr. */
export type GuestChannel = 1 | 2;

/** What a stream is opened with. */
export interface StreamRequest {
  /** the encoded Open message, at most 1 MiB */
  readonly open: Buffer;
  /** the request in the user's words, for errors, e.g. "running 'make'" */
  readonly what: string;
  /** carrying it out changes something in the guest */
  readonly effects: boolean;
  /** it is a command: once it is opened it has certainly begun, and only its end can be missed. Default false */
  readonly runs?: boolean;
  /** it goes before those that wait for a place, into one kept for such: what ends others must not wait for their end. Default false */
  readonly urgent?: boolean;
  /** nobody waits for its end: it keeps neither this process nor (as `idle` has it) the session. Default false */
  readonly background?: boolean;
  /** the guest says OPENED before any DATA; one-shot requests have none */
  readonly opens: boolean;
  /** credit that `open` gives channels 1 and 2, in bytes */
  readonly window: number;
}

/**
 * What a stream's owner is told. Exactly one of `result` and `lost` comes, once, as the last call. `data` is a view on memory
 * that is reused: who keeps it for long copies small pieces. None of them may throw.
 */
export interface StreamHandler {
  opened?(opened: Opened): void;
  /** the owner gives the bytes' credit back with {@link AgentStream.grant} when it has consumed them */
  data?(channel: GuestChannel, piece: Buffer): void;
  end?(channel: GuestChannel): void;
  result(result: Result): void;
  /** @param error for this stream's request, AGENT_LOST, OUTCOME_UNKNOWN or AGENT_PROTOCOL */
  lost(error: SmolVMError, end: SessionEnd): void;
}

/** One stream as its session sees it. */
export interface SessionStream {
  readonly id: number;
  /** the guest has room for it: the request may be sent */
  begin(): void;
  /** a whole frame other than DATA; throws AGENT_PROTOCOL if it is not due */
  frame(type: number, flags: number, payload: Buffer): void;
  /** a piece of DATA, a view on memory that is reused; throws AGENT_PROTOCOL if it is not due */
  data(channel: GuestChannel, piece: Buffer): void;
  /** the queue, for which it waited, is short again */
  pump(): void;
  /** the session is over */
  lose(end: SessionEnd): void;
}

/** What a stream needs of its session. */
export interface StreamLink {
  /** queues a frame, or pieces of one, for the socket */
  write(bytes: Uint8Array): void;
  /** true while the queue is short enough for more DATA */
  roomy(): boolean;
  /** calls `stream.pump()` when the queue is short again */
  waitForRoom(stream: SessionStream): void;
  /** resolves when everything queued so far is with the kernel, or the session is over */
  flushed(): Promise<void>;
  /** the stream is over */
  over(stream: SessionStream): void;
}

const NO_HANDLER: StreamHandler = { result() {}, lost() {} };

/** One request and its answer within a session: the host's end of a stream with its credit in both directions. */
export class AgentStream implements SessionStream {
  readonly id: number;
  readonly #link: StreamLink;
  readonly #request: StreamRequest;
  #handler: StreamHandler;
  #state: "queued" | "open" | "over" = "queued";
  #opened = false;
  #resetSent = false;

  // From the guest, by channel: bytes it may still send, bytes consumed but not yet granted again.
  readonly #credit: [number, number, number];
  readonly #owed: [number, number, number] = [0, 0, 0];
  /** what it may send ahead on each of them, and what it may from the next grant on */
  #window: number;
  #wanted: number;
  readonly #ended: [boolean, boolean, boolean] = [false, false, false];

  // To the guest, channel 0.
  #sendCredit = INITIAL_CREDIT;
  #pending: Uint8Array[] = [];
  #pendingBytes = 0;
  #pendingSent: (() => void)[] = [];
  #endWanted = false;
  #endSent = false;

  constructor(id: number, link: StreamLink, request: StreamRequest, handler: StreamHandler) {
    this.id = id;
    this.#link = link;
    this.#request = request;
    this.#handler = handler;
    this.#credit = [0, request.window, request.window];
    this.#window = this.#wanted = request.window;
  }

  /** The guest has answered, or the session is over. */
  get over(): boolean {
    return this.#state === "over";
  }

  /** The guest said that it has begun. */
  get opened(): boolean {
    return this.#opened;
  }

  // --- for the owner

  /**
   * Sends bytes on channel 0, as credit permits. The memory must not change until the promise resolves: then the bytes are
   * with the kernel, or were dropped because the stream is over (which is no error: its result tells).
   */
  send(bytes: Uint8Array): Promise<void> {
    return this.sendAll([bytes]);
  }

  /** As {@link send}, for pieces that follow each other and share frames. */
  sendAll(pieces: readonly Uint8Array[]): Promise<void> {
    if (this.#state === "over" || this.#endWanted || this.#resetSent) return Promise.resolve();
    for (const piece of pieces) {
      if (piece.length === 0) continue;
      this.#pending.push(piece);
      this.#pendingBytes += piece.length;
    }
    if (this.#state === "open") this.pump();
    if (this.#pendingBytes === 0) return this.#link.flushed();
    return new Promise((resolve) => this.#pendingSent.push(resolve));
  }

  /** No more bytes on channel 0 after those sent so far. */
  end(): void {
    if (this.#endWanted || this.#state === "over" || this.#resetSent) return;
    this.#endWanted = true;
    if (this.#state === "open") this.pump();
  }

  /** Gives credit back for `bytes` consumed ones. Granted in steps of half a window, so that few frames are sent. */
  grant(channel: GuestChannel, bytes: number): void {
    if (this.#state !== "open" || this.#ended[channel] || this.#resetSent) return;
    const owed = this.#owed[channel] + bytes;
    if (owed * 2 < this.#window) {
      this.#owed[channel] = owed;
      return;
    }
    const more = owed + this.#wanted - this.#window;
    this.#window = this.#wanted;
    this.#owed[channel] = 0;
    this.#credit[channel] += more;
    this.#link.write(encodeWindow(this.id, channel, more));
  }

  /** The guest may send so many bytes ahead from the next grant on, if that is more than until now. For streams with one channel from the guest. */
  widen(window: number): void {
    this.#wanted = Math.max(this.#wanted, window);
  }

  /** Sends a signal or a new terminal size. */
  control(control: Draft<Control>): Promise<void> {
    if (this.#state !== "open" || this.#resetSent) return Promise.resolve();
    this.#link.write(encodeFrame(this.id, FrameType.CONTROL, 0, encode(Control, control)));
    return this.#link.flushed();
  }

  /** Asks the guest to stop this at once. The handler still gets the result, and data that was under way. */
  reset(): void {
    if (this.#resetSent || this.#state === "over") return;
    this.#resetSent = true;
    this.#dropPending();
    if (this.#state === "open") {
      this.#link.write(encodeFrame(this.id, FrameType.RESET, 0));
      return;
    }
    this.#finish((handler) =>
      handler.result(decode(Result, encode(Result, { error: { code: GuestErrorCode.CANCELLED } }))),
    );
  }

  /** Stops listening: resets the stream if it is still open, and drops whatever comes until its result. */
  abandon(): void {
    this.#handler = NO_HANDLER;
    this.reset();
  }

  // --- for the session

  /** Sends the request and what was queued behind it. */
  begin(): void {
    this.#state = "open";
    // Told each time: a guest whose machine stood still, because the host slept, sees it by that.
    const open = Buffer.concat([this.#request.open, encode(Open, { clockMs: Date.now() })]);
    for (const frame of openFrames(this.id, open)) this.#link.write(frame);
    this.pump();
  }

  /** Sends pending bytes while there are credit and room. */
  pump(): void {
    if (this.#state !== "open") return;
    while (this.#pendingBytes > 0 && this.#sendCredit > 0) {
      if (!this.#link.roomy()) {
        this.#link.waitForRoom(this);
        return;
      }
      this.#sendFrame(Math.min(this.#pendingBytes, this.#sendCredit, MAX_PAYLOAD));
    }
    if (this.#pendingBytes > 0) return;
    if (this.#pendingSent.length > 0) {
      const sent = this.#pendingSent;
      this.#pendingSent = [];
      void this.#link.flushed().then(() => {
        for (const resolve of sent) resolve();
      });
    }
    if (this.#endWanted && !this.#endSent) {
      this.#endSent = true;
      this.#link.write(encodeFrame(this.id, FrameType.END, 0));
    }
  }

  #sendFrame(length: number): void {
    this.#sendCredit -= length;
    this.#pendingBytes -= length;
    this.#link.write(encodeHeader(this.id, FrameType.DATA, 0, length));
    let missing = length;
    while (missing > 0) {
      const first = this.#pending[0]!;
      if (first.length <= missing) {
        this.#pending.shift();
        this.#link.write(first);
        missing -= first.length;
      } else {
        this.#link.write(first.subarray(0, missing));
        this.#pending[0] = first.subarray(missing);
        missing = 0;
      }
    }
  }

  /** A whole frame for this stream other than DATA. */
  frame(type: number, flags: number, payload: Buffer): void {
    switch (type) {
      case FrameType.OPENED: {
        if (this.#opened || !this.#request.opens) throw violation("an OPENED that is not due");
        this.#opened = true;
        this.#handler.opened?.(decode(Opened, payload));
        return;
      }
      case FrameType.WINDOW: {
        this.#sendCredit += payload.readUInt32LE(0);
        if (this.#sendCredit > MAX_CREDIT) throw violation("credit above 2^31 - 1");
        this.pump();
        return;
      }
      case FrameType.END: {
        const channel = flags as GuestChannel;
        if (this.#ended[channel]) throw violation("a second END on one channel");
        this.#ended[channel] = true; // also before OPENED: a refused request's channels may be ended first
        this.#handler.end?.(channel);
        return;
      }
      case FrameType.RESULT: {
        const result = decode(Result, payload);
        this.#finish((handler) => handler.result(result));
        return;
      }
      default:
        throw violation(`frame type ${type} on a stream`);
    }
  }

  /** A piece of DATA for this stream. */
  data(channel: GuestChannel, piece: Buffer): void {
    const left = this.#credit[channel] - piece.length;
    if (left < 0) throw violation("DATA beyond its credit");
    if (this.#ended[channel]) throw violation("DATA after END");
    if (this.#request.opens && !this.#opened) throw violation("DATA before OPENED");
    this.#credit[channel] = left;
    this.#handler.data?.(channel, piece);
  }

  /** The session is over. */
  lose(end: SessionEnd): void {
    const error = interruptedError(end, {
      what: this.#request.what,
      dispatched: this.#state !== "queued",
      effects: this.#request.effects,
      running: this.#opened && this.#request.runs === true,
    });
    this.#finish((handler) => handler.lost(error, end));
  }

  #finish(tell: (handler: StreamHandler) => void): void {
    if (this.#state === "over") return;
    this.#state = "over";
    this.#dropPending();
    this.#link.over(this);
    const handler = this.#handler;
    this.#handler = NO_HANDLER;
    tell(handler);
  }

  #dropPending(): void {
    this.#pending = [];
    this.#pendingBytes = 0;
    const sent = this.#pendingSent;
    this.#pendingSent = [];
    for (const resolve of sent) resolve();
  }
}
