import { execFileSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { PACKING_HEAD_BYTES, packingOf, readPacked } from "../../../../src/images/formats/packed.ts";

const MIB = 1024 * 1024;

let directory: string;
beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), "smolvm-packed-"));
});
afterAll(() => rmSync(directory, { recursive: true, force: true }));

/** What the real program makes of bytes. */
function packed(program: string, content: Uint8Array, args: readonly string[] = []): Buffer {
  return execFileSync(program, ["-c", "-q", ...args], { input: content, maxBuffer: 64 * MIB });
}

let files = 0;
function file(bytes: Uint8Array): string {
  const path = join(directory, `file-${files++}`);
  writeFileSync(path, bytes);
  return path;
}

async function unpacked(bytes: Buffer): Promise<Buffer> {
  const path = file(bytes);
  const pieces: Buffer[] = [];
  for await (const piece of readPacked(path, packingOf(bytes.subarray(0, PACKING_HEAD_BYTES))))
    pieces.push(Buffer.from(piece));
  return Buffer.concat(pieces);
}

setFlagsFromString("--expose-gc");
const collect = runInNewContext("gc") as () => void;

/** Bytes of buffers that something still refers to: what the collector has yet to find is not of it. */
function heldBytes(): number {
  collect();
  // What the first found is given back beside it, and has been at the second.
  collect();
  return process.memoryUsage().arrayBuffers;
}

/** Text of a program, repeated content, noise, and runs: each takes other ways through the decoders. */
const CONTENT = Buffer.concat([
  readFileSync(process.execPath).subarray(0, MIB / 2),
  readFileSync(import.meta.filename),
  randomBytes(100_000),
  Buffer.alloc(MIB / 2, "abcdefg"),
  Buffer.alloc(MIB / 2),
  Buffer.from("aaaabbbbbccccccccc".repeat(10_000)),
  Buffer.from("aaaa"),
]);
const SHORT = Buffer.from("short");

const XZ: readonly (readonly string[])[] = [
  [],
  ["-0"],
  ["-9e"],
  ["-T2", "--block-size=256KiB"],
  ["--check=crc32"],
  ["--check=none"],
  ["--lzma2=preset=6,lc=0,lp=4,pb=0"],
  ["--lzma2=preset=1,lc=4,lp=0,pb=4,dict=4KiB"],
];
const BZIP2: readonly (readonly string[])[] = [[], ["-1"], ["-5"]];
const WAYS: readonly (readonly [string, readonly string[]])[] = [
  ...XZ.map((args) => ["xz", args] as const),
  ...BZIP2.map((args) => ["bzip2", args] as const),
  ["gzip", []],
  ["zstd", []],
];

describe.each(WAYS)("what %s %j packed", (program, args) => {
  test("is unpacked, however much it is and however many streams there are of it", async () => {
    const whole = packed(program, CONTENT, args);
    expect(packingOf(whole)).toBe(program);
    expect((await unpacked(whole)).equals(CONTENT)).toBe(true);
    const [short, empty] = [packed(program, SHORT, args), packed(program, Buffer.alloc(0), args)];
    expect(await unpacked(short)).toEqual(SHORT);
    expect(await unpacked(empty)).toEqual(Buffer.alloc(0));
    const several = await unpacked(Buffer.concat([short, empty, whole, short]));
    expect(several.equals(Buffer.concat([SHORT, CONTENT, SHORT]))).toBe(true);
  });
});

describe.each(["xz", "bzip2", "gzip", "zstd"])("what %s packed", (program) => {
  const damaged = { code: "FILE_FAILED", message: expect.stringContaining(`packed with ${program}`) };

  test("is an error wherever it is cut, and nothing but its bytes comes before", async () => {
    const whole = packed(program, CONTENT.subarray(0, 400_000));
    for (const end of [PACKING_HEAD_BYTES, 40, 5000, whole.length - 100, whole.length - 2])
      await expect(unpacked(whole.subarray(0, end)), `${end}`).rejects.toMatchObject(damaged);
  });

  test("is an error wherever a byte of it is another, or it says the same", async () => {
    const content = CONTENT.subarray(0, 10_000);
    const whole = packed(program, content, program === "zstd" ? ["--check"] : []);
    for (let at = PACKING_HEAD_BYTES; at < whole.length; at += 1 + Math.floor(whole.length / 150)) {
      const other = Buffer.from(whole);
      other[at]! ^= 1 << (at % 8);
      const result = await unpacked(other).catch((error: unknown) => error);
      if (Buffer.isBuffer(result)) expect(result.equals(content), `${at}`).toBe(true);
      else
        expect(result, `${at}`).toMatchObject({
          code: expect.stringMatching(/^(?:FILE_FAILED|NOT_SUPPORTED)$/),
        });
    }
  });

  test("is unpacked in a memory that stays, however large it becomes", async () => {
    const path = join(directory, `zeros.${program}`);
    execFileSync("sh", ["-c", `head -c ${64 * MIB} /dev/zero | ${program} -c -q >"$0"`, path]);
    const before = heldBytes();
    let most = 0;
    let bytes = 0;
    let next = 0;
    for await (const piece of readPacked(path, program as "xz")) {
      bytes += piece.length;
      expect(piece.length).toBeLessThanOrEqual(2 * MIB);
      if (bytes < next) continue;
      most = Math.max(most, heldBytes() - before);
      next = bytes + 4 * MIB;
    }
    expect(bytes).toBe(64 * MIB);
    expect(most).toBeLessThan(24 * MIB);
  });
});

test("zeros behind streams mean nothing; for xz they come in fours", async () => {
  const zeros = Buffer.alloc(512);
  for (const program of ["xz", "bzip2"])
    expect(await unpacked(Buffer.concat([packed(program, SHORT), zeros]))).toEqual(SHORT);
  const three = Buffer.concat([packed("xz", SHORT), Buffer.alloc(3)]);
  await expect(unpacked(three)).rejects.toMatchObject({ code: "FILE_FAILED" });
});

test("a filter or check of xz that is not known, and a dictionary that is too large, are refused for what they are", async () => {
  for (const args of [["--x86", "--lzma2=preset=0"], ["--check=sha256"]]) {
    await expect(unpacked(packed("xz", CONTENT, args))).rejects.toMatchObject({
      code: "NOT_SUPPORTED",
      message: expect.stringContaining("went through a filter for programs, or has a check"),
    });
  }
  const large = packed("xz", SHORT, ["--lzma2=preset=0,dict=512MiB"]);
  await expect(unpacked(large)).rejects.toMatchObject({
    code: "NOT_SUPPORTED",
    message: expect.stringContaining("a dictionary of more than 64 MiB"),
  });
});

test("what begins as a packed file and is a text is none", () => {
  expect(packingOf(Buffer.from("BZh9 is how it begins"))).toBeUndefined();
  expect(packingOf(Buffer.from("BZh"))).toBeUndefined();
});
