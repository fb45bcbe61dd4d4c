/** What the beginning of a TLS connection says. */
export type HelloStep =
  /** it is not all there yet */
  | { readonly kind: "more" }
  | { readonly kind: "hello"; readonly serverName: string | undefined }
  /** it is none */
  | { readonly kind: "none" };

/** Longest ClientHello that is looked at, in bytes with its records' headers. Post-quantum ones have about 2,000. */
export const MAX_HELLO = 32_768;

const HANDSHAKE = 22;
const CLIENT_HELLO = 1;
const SERVER_NAME = 0;
const HOST_NAME = 0;
/** Longest content of a record (RFC 8446, section 5.1). */
const MAX_RECORD = 16_384;

/** Reads the ClientHello (RFC 8446, section 4.1.2) that a TLS connection begins with, and the name in it (RFC 6066, section 3). Pure. */
export function readClientHello(bytes: Buffer): HelloStep {
  const message = handshakeOf(bytes);
  if (message === "none") return { kind: "none" };
  if (message === "more") return { kind: bytes.length >= MAX_HELLO ? "none" : "more" };
  try {
    return { kind: "hello", serverName: serverNameOf(new Reader(message)) };
  } catch {
    return { kind: "none" };
  }
}

/** The content of the first handshake message, whichever records carry it. */
function handshakeOf(bytes: Buffer): Buffer | "more" | "none" {
  const parts: Buffer[] = [];
  let length = 0;
  let at = 0;
  for (;;) {
    // What is there of a header must fit, so that what is no TLS is known at once.
    if (bytes.length > at && bytes[at] !== HANDSHAKE) return "none";
    if (bytes.length > at + 1 && bytes[at + 1] !== 3) return "none";
    if (bytes.length < at + 5) return "more";
    const size = bytes.readUInt16BE(at + 3);
    if (size === 0 || size > MAX_RECORD) return "none";
    const part = bytes.subarray(at + 5, at + 5 + size);
    parts.push(part);
    length += part.length;
    at += 5 + size;
    if (length >= 4) {
      const message = Buffer.concat(parts);
      if (message[0] !== CLIENT_HELLO) return "none";
      const wanted = 4 + message.readUIntBE(1, 3);
      if (wanted > MAX_HELLO) return "none";
      if (length >= wanted) return message.subarray(4, wanted);
    }
    if (part.length < size) return "more";
  }
}

function serverNameOf(hello: Reader): string | undefined {
  hello.skip(2 + 32); // version, random
  hello.vector(1); // session
  hello.vector(2); // cipher suites
  hello.vector(1); // compression
  if (hello.left === 0) return undefined;
  const extensions = new Reader(hello.vector(2));
  let name: string | undefined;
  let seen = false;
  while (extensions.left > 0) {
    const type = extensions.number(2);
    const content = extensions.vector(2);
    if (type !== SERVER_NAME) continue;
    if (seen) throw new RangeError("two of them"); // which one counts, servers may see differently
    seen = true;
    const list = new Reader(new Reader(content).vector(2));
    if (list.left + 2 !== content.length) throw new RangeError("something behind the names");
    while (list.left > 0) {
      const kind = list.number(1);
      const value = list.vector(2);
      if (kind !== HOST_NAME || name !== undefined) throw new RangeError("more than one name");
      name = value.toString("latin1");
    }
  }
  return name;
}

/** Throws RangeError beyond the end. */
class Reader {
  readonly #bytes: Buffer;
  #at = 0;

  constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }

  get left(): number {
    return this.#bytes.length - this.#at;
  }

  skip(length: number): Buffer {
    if (length > this.left) throw new RangeError("too short");
    this.#at += length;
    return this.#bytes.subarray(this.#at - length, this.#at);
  }

  number(length: number): number {
    return this.skip(length).readUIntBE(0, length);
  }

  /** A length of so many bytes, and as much as that says. */
  vector(length: number): Buffer {
    return this.skip(this.number(length));
  }
}
