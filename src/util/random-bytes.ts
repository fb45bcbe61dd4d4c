/** Bytes that only have to differ from others', and are no secret: without node:crypto. */
export function anyBytes(size: number): Buffer {
  return Buffer.from(Array.from({ length: size }, () => Math.floor(Math.random() * 256)));
}

/** Random bytes from node:crypto, which is loaded when they are asked for: most commands need none, and it takes 9 ms. */
export function randomBytes(size: number): Buffer {
  return process.getBuiltinModule("node:crypto").randomBytes(size);
}
