import { plainName } from "../config/network-rules.ts";

/** Why what came on port 80 is not passed on. */
export type RequestFault =
  /** it is no request of HTTP/1 */
  | "not-http"
  /** it is for another host than the connection */
  | "other-host"
  /** where it ends can be understood in more than one way */
  | "ambiguous-request";

/** Thrown by {@link RequestGuard}: nothing of what was given is to be passed on. */
export class RequestRefused extends Error {
  readonly fault: RequestFault;
  constructor(fault: RequestFault) {
    super(fault);
    this.fault = fault;
  }
}

/** Longest request head, and longest trailers, in bytes. */
const MAX_HEAD = 65_536;
/** Longest line that begins a chunk, in bytes. */
const MAX_CHUNK_LINE = 1024;
/** "HTTP/1.1 101": as much of an answer as tells whether the protocol is another from now on. */
const STATUS_BYTES = 12;

const REQUEST_LINE = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+ ([\x21-\x7e]+) HTTP\/1\.([01])$/;
const FIELD = /^([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([\t\x20-\x7e\x80-\xff]*)$/;
const CHUNK_LINE = /^([0-9A-Fa-f]{1,8})(?:[ \t]*;[\t\x20-\x7e\x80-\xff]*)?$/;

type State =
  | { readonly kind: "head" | "chunk-line" | "chunk-end" | "trailers" | "opaque" | "awaiting-answer" }
  /** so many bytes of content are to come, and what is next */
  | { readonly kind: "content"; left: number; readonly next: "head" | "chunk-end" };

interface Head {
  readonly contentLength: number;
  readonly chunked: boolean;
  readonly upgrade: boolean;
}

/**
 * Looks at all that a client sends on one connection to port 80: each request must name the host that the connection is to, and end where nobody can
 * doubt it. What it has looked at it passes on as it came. Bytes that a server could read as something else are refused, not repaired. Pure.
 */
export class RequestGuard {
  readonly #host: string;
  #state: State = { kind: "head" };
  #held: Buffer = Buffer.alloc(0);
  #requests = 0;
  #answer: Buffer = Buffer.alloc(0);

  /** @param host the only one that requests may be for, as plainName gives it */
  constructor(host: string) {
    this.#host = host;
  }

  /**
   * The client has sent something. Returns what may be passed on now.
   * @throws RequestRefused
   */
  push(chunk: Buffer): Buffer {
    this.#held = this.#held.length === 0 ? chunk : Buffer.concat([this.#held, chunk]);
    const passed: Buffer[] = [];
    for (;;) {
      const length = this.#next();
      if (length === 0) break;
      passed.push(this.#held.subarray(0, length));
      this.#held = this.#held.subarray(length);
    }
    return passed.length === 1 ? passed[0]! : Buffer.concat(passed);
  }

  /**
   * The server has sent something. Returns what of the client's may be passed on now.
   * @throws RequestRefused
   */
  answered(chunk: Buffer): Buffer {
    if (this.#answer.length >= STATUS_BYTES) return Buffer.alloc(0);
    this.#answer = Buffer.concat([this.#answer, chunk.subarray(0, STATUS_BYTES - this.#answer.length)]);
    if (this.#answer.length < STATUS_BYTES || this.#state.kind !== "awaiting-answer") return Buffer.alloc(0);
    const switched = /^HTTP\/1\.[01] 101$/.test(this.#answer.toString("latin1"));
    this.#state = { kind: switched ? "opaque" : "head" };
    return this.push(Buffer.alloc(0));
  }

  /** How much of what is held may be passed on, and is then followed by something else; 0: more must come. */
  #next(): number {
    const state = this.#state;
    switch (state.kind) {
      case "opaque":
        return this.#held.length;
      case "awaiting-answer":
        if (this.#held.length > MAX_HEAD) throw new RequestRefused("ambiguous-request");
        return 0;
      case "content": {
        const length = Math.min(state.left, this.#held.length);
        state.left -= length;
        if (state.left === 0) this.#state = { kind: state.next };
        return length;
      }
      case "head":
        return this.#head();
      case "chunk-line":
        return this.#chunkLine();
      case "chunk-end":
        if (this.#held.length < 2) return 0;
        if (this.#held[0] !== 13 || this.#held[1] !== 10) throw new RequestRefused("ambiguous-request");
        this.#state = { kind: "chunk-line" };
        return 2;
      case "trailers":
        return this.#trailers();
    }
  }

  #head(): number {
    if (this.#held.length === 0) return 0;
    const end = this.#held.indexOf("\r\n\r\n");
    if (end < 0) {
      // A line that ends in another way would be the end of a head for some servers.
      requireLines(this.#held, "not-http");
      if (this.#held.length > MAX_HEAD) throw new RequestRefused("not-http");
      return 0;
    }
    if (end > MAX_HEAD) throw new RequestRefused("not-http");
    const text = this.#held.subarray(0, end);
    requireLines(text, "not-http");
    const head = this.#parse(text.toString("latin1").split("\r\n"));
    this.#requests++;
    if (head.upgrade) {
      // Of a later request nobody could tell here which answer is its.
      if (this.#requests > 1 || this.#answer.length > 0) throw new RequestRefused("ambiguous-request");
      this.#state = { kind: "awaiting-answer" };
    } else if (head.chunked) this.#state = { kind: "chunk-line" };
    else if (head.contentLength > 0)
      this.#state = { kind: "content", left: head.contentLength, next: "head" };
    return end + 4;
  }

  #parse([first = "", ...lines]: readonly string[]): Head {
    const [, target, minor] = REQUEST_LINE.exec(first) ?? [];
    if (target === undefined) throw new RequestRefused("not-http");
    const fields = new Map<string, string>();
    for (const line of lines) {
      const [, name, value] = FIELD.exec(line) ?? [];
      if (name === undefined || value === undefined) throw new RequestRefused("not-http");
      const key = name.toLowerCase();
      // One that comes twice is read as either, or both.
      if (fields.has(key) && DECISIVE.includes(key)) throw new RequestRefused("ambiguous-request");
      fields.set(key, value.trim());
    }
    this.#requireHost(fields.get("host"), "other-host");
    if (!target.startsWith("/") && target !== "*") {
      const [, authority] = /^http:\/\/([^/?#]*)/i.exec(target) ?? [];
      this.#requireHost(authority, first.startsWith("CONNECT ") ? "not-http" : "other-host");
    }
    const encoding = fields.get("transfer-encoding");
    const length = fields.get("content-length");
    if (
      encoding !== undefined &&
      (encoding.toLowerCase() !== "chunked" || length !== undefined || minor === "0")
    )
      throw new RequestRefused("ambiguous-request");
    if (length !== undefined && !/^\d{1,15}$/.test(length)) throw new RequestRefused("ambiguous-request");
    const upgrade = fields.get("upgrade");
    // Of what else there is to change to, HTTP/2 would name hosts that nobody here looks at.
    if (
      upgrade !== undefined &&
      (upgrade.toLowerCase() !== "websocket" || encoding !== undefined || Number(length ?? 0) > 0)
    )
      throw new RequestRefused("ambiguous-request");
    return {
      contentLength: Number(length ?? 0),
      chunked: encoding !== undefined,
      upgrade: upgrade !== undefined,
    };
  }

  #requireHost(value: string | undefined, fault: RequestFault): void {
    if (value === undefined || plainName(value.replace(/:80$/, "")) !== this.#host)
      throw new RequestRefused(fault);
  }

  #chunkLine(): number {
    const end = this.#held.indexOf("\r\n");
    if (end < 0) {
      requireLines(this.#held, "ambiguous-request");
      if (this.#held.length > MAX_CHUNK_LINE) throw new RequestRefused("ambiguous-request");
      return 0;
    }
    if (end > MAX_CHUNK_LINE) throw new RequestRefused("ambiguous-request");
    const [, size] = CHUNK_LINE.exec(this.#held.toString("latin1", 0, end)) ?? [];
    if (size === undefined) throw new RequestRefused("ambiguous-request");
    const left = Number.parseInt(size, 16);
    this.#state = left === 0 ? { kind: "trailers" } : { kind: "content", left, next: "chunk-end" };
    return end + 2;
  }

  #trailers(): number {
    const end = this.#held.indexOf("\r\n");
    if (end < 0) {
      requireLines(this.#held, "ambiguous-request");
      if (this.#held.length > MAX_HEAD) throw new RequestRefused("ambiguous-request");
      return 0;
    }
    if (end > 0 && !FIELD.test(this.#held.toString("latin1", 0, end)))
      throw new RequestRefused("ambiguous-request");
    if (end === 0) this.#state = { kind: "head" };
    return end + 2;
  }
}

/** Fields on which depends who is meant, and where the request ends. */
const DECISIVE: readonly string[] = ["host", "content-length", "transfer-encoding", "upgrade"];

/** CR and LF come together, at most the CR is the last of what is there; there is no NUL. */
function requireLines(bytes: Buffer, fault: RequestFault): void {
  if (bytes.includes(0)) throw new RequestRefused(fault);
  for (let at = bytes.indexOf(10); at >= 0; at = bytes.indexOf(10, at + 1))
    if (at === 0 || bytes[at - 1] !== 13) throw new RequestRefused(fault);
  for (let at = bytes.indexOf(13); at >= 0; at = bytes.indexOf(13, at + 1))
    if (at + 1 < bytes.length && bytes[at + 1] !== 10) throw new RequestRefused(fault);
}
