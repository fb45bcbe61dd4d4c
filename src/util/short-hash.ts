/**
 * 40 bits of a text (FNV-1a), 10 hex digits: tells one user's few things apart. Not node:crypto's, which takes 3 ms to load; where a collision would
 * matter, what the hash names says the whole text. Pure.
 */
export function shortHash(text: string): string {
  let hash = 0xcbf29ce484222325n;
  for (const byte of Buffer.from(text)) hash = BigInt.asUintN(64, (hash ^ BigInt(byte)) * 0x100000001b3n);
  return (hash >> 24n).toString(16).padStart(10, "0");
}
