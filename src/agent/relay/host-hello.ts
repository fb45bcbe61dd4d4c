import { FrameType, HEADER_BYTES, MAX_HELLO } from "../wire/frame.ts";
import { MAGIC } from "../wire/hello.ts";
import { Hello } from "../wire/messages.ts";
import { decode } from "../wire/schema.ts";
import { violation } from "../wire/violation.ts";

/** A host's hello, and what it sent behind it. */
export interface HostHello {
  readonly hello: Hello;
  readonly rest: Buffer;
}

/**
 * Reads the hello that a new connection begins with, undefined if it is not all there yet. On a socket of its own nothing
 * of an earlier session can come before it. Pure.
 * @throws SmolVMError AGENT_PROTOCOL for anything else
 */
export function readHostHello(bytes: Buffer): HostHello | undefined {
  const start = bytes.subarray(0, MAGIC.length);
  if (!start.equals(MAGIC.subarray(0, start.length)))
    throw violation("a connection that begins with no hello");
  const payload = MAGIC.length + HEADER_BYTES;
  if (bytes.length < payload) return undefined;
  const length = bytes.readUInt32LE(MAGIC.length);
  const isHello =
    bytes.readUInt32LE(MAGIC.length + 4) === 0 && bytes.readUInt32LE(MAGIC.length + 8) === FrameType.HELLO;
  if (!isHello || length > MAX_HELLO) throw violation("a connection that begins with no hello");
  if (bytes.length < payload + length) return undefined;
  return {
    hello: decode(Hello, bytes.subarray(payload, payload + length)),
    rest: bytes.subarray(payload + length),
  };
}
