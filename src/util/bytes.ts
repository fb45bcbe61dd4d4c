import { types } from "node:util";

/**
 * The bytes of anything that holds bytes, as a Buffer on the same memory; undefined for what holds none. Not by `instanceof`: jest's
 * environments and `vm` contexts have a Uint8Array of their own.
 */
export function bytesOf(value: unknown): Buffer | undefined {
  if (ArrayBuffer.isView(value)) return Buffer.from(value.buffer, value.byteOffset, value.byteLength);
  return types.isAnyArrayBuffer(value) ? Buffer.from(value) : undefined;
}

/** As {@link bytesOf}; a string is its UTF-8. */
export function contentOf(value: unknown): Buffer | undefined {
  return typeof value === "string" ? Buffer.from(value) : bytesOf(value);
}

/** What a piece that is no content is called in an error: "a number". */
export function kindOf(value: unknown): string {
  const kind = value === null ? "null" : typeof value;
  return kind === "object" ? "an object" : kind === "null" || kind === "undefined" ? kind : `a ${kind}`;
}
