/** The polynomial of ECMA-182, reflected, in halves of 32 bits. */
const HIGH = 0xc96c5795;
const LOW = 0xd7870f42;
/** Bytes that are taken at once. */
const SLICES = 4;

/** What each byte, with so many zeros behind it, makes of the sum: low and high halves in turn. */
const TABLE = ((): Int32Array => {
  const table = new Int32Array(SLICES * 512);
  for (let byte = 0; byte < 256; byte++) {
    let low = byte;
    let high = 0;
    for (let bit = 0; bit < 8; bit++) {
      const out = low & 1;
      low = (low >>> 1) | (high << 31);
      high >>>= 1;
      if (out === 1) {
        low ^= LOW;
        high ^= HIGH;
      }
    }
    table[byte * 2] = low;
    table[byte * 2 + 1] = high;
  }
  for (let at = 512; at < table.length; at += 2) {
    const low = table[at - 512]!;
    const high = table[at - 511]!;
    const index = (low & 0xff) * 2;
    table[at] = ((low >>> 8) | (high << 24)) ^ table[index]!;
    table[at + 1] = (high >>> 8) ^ table[index + 1]!;
  }
  return table;
})();

/** CRC-64 as xz has it. Pure. */
export class Crc64 {
  #low = -1;
  #high = -1;

  update(bytes: Uint8Array): void {
    let low = this.#low;
    let high = this.#high;
    let at = 0;
    for (const end = bytes.length - 3; at < end; at += 4) {
      const mixed =
        low ^ (bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24));
      const [a, b, c, d] = [mixed & 0xff, (mixed >>> 8) & 0xff, (mixed >>> 16) & 0xff, mixed >>> 24];
      low = high ^ TABLE[3 * 512 + a * 2]! ^ TABLE[2 * 512 + b * 2]! ^ TABLE[512 + c * 2]! ^ TABLE[d * 2]!;
      high =
        TABLE[3 * 512 + a * 2 + 1]! ^
        TABLE[2 * 512 + b * 2 + 1]! ^
        TABLE[512 + c * 2 + 1]! ^
        TABLE[d * 2 + 1]!;
    }
    for (; at < bytes.length; at++) {
      const index = ((low ^ bytes[at]!) & 0xff) * 2;
      low = ((low >>> 8) | (high << 24)) ^ TABLE[index]!;
      high = (high >>> 8) ^ TABLE[index + 1]!;
    }
    this.#low = low;
    this.#high = high;
  }

  /** Little-endian, as an .xz file has it. */
  digest(): Buffer {
    const bytes = Buffer.alloc(8);
    bytes.writeInt32LE(~this.#low, 0);
    bytes.writeInt32LE(~this.#high, 4);
    return bytes;
  }
}
