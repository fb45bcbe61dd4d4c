import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { isSmolVMError } from "../../../../src/errors.ts";
import { encodeEntry, padding, type TarHeader } from "../../../../src/util/tar/header.ts";
import { TarReader } from "../../../../src/util/tar/reader.ts";

const NONE = Buffer.alloc(0);
const END = Buffer.alloc(1024);

function entry(name: string, header: Partial<TarHeader> = {}, content: string | Buffer = ""): Buffer {
  const bytes = Buffer.from(content);
  const all = { mode: 0o644, uid: 0, gid: 0, size: bytes.length, mtime: 5, type: "0", linkName: NONE };
  return Buffer.concat([
    encodeEntry({ ...all, name: Buffer.from(name), ...header }),
    bytes,
    Buffer.alloc(padding(bytes.length)),
  ]);
}

/** What an archive holds, one line an entry; pieces of content are joined. */
function read(pieces: readonly Buffer[]): string[] {
  const reader = new TarReader();
  const said: string[] = [];
  let content = "";
  for (const piece of pieces) {
    for (const step of reader.push(piece)) {
      if (step.step === "data") content += step.data.toString();
      else if (step.step === "end") {
        said.push(`= ${content.length > 60 ? content.length : content}`);
        content = "";
      } else {
        const { kind, path, target, mode, mtimeS, mtimeNs } = step.entry;
        const to = target.length > 0 ? ` -> ${Buffer.from(target)}` : "";
        said.push(`${kind} ${Buffer.from(path)}${to} ${mode.toString(8)} ${mtimeS}.${mtimeNs}`);
      }
    }
  }
  reader.finish();
  return said;
}

function refusal(...pieces: Buffer[]): string {
  try {
    return `accepted: ${read(pieces).join("; ")}`;
  } catch (error) {
    if (isSmolVMError(error)) return `${error.code}: ${error.message}`;
    throw error;
  }
}

/** An extended header with these records. */
function pax(records: Record<string, string>, type = "x"): Buffer {
  const text = Object.entries(records).map(([key, value]) => {
    const rest = Buffer.byteLength(` ${key}=${value}\n`);
    let length = rest + 1;
    while (String(length).length + rest !== length) length++;
    return `${length} ${key}=${value}\n`;
  });
  return entry("pax", { type }, text.join(""));
}

const LONG = `${"d".repeat(90)}/${"e".repeat(90)}/f`;
const ARCHIVE = Buffer.concat([
  entry("dir/", { type: "5", mode: 0o755 }),
  entry("dir/file", {}, "content"),
  entry("dir/big", { mtime: 9 }, "x".repeat(1500)),
  entry("dir/link", { type: "2", linkName: Buffer.from("file"), mode: 0o777 }),
  entry("dir/hard", { type: "1", linkName: Buffer.from("dir/file") }),
  entry(LONG, {}, "long"),
  entry("l", { type: "2", linkName: Buffer.from(LONG), mode: 0o777 }),
  pax({ path: "päx", mtime: "7.25", "SCHILY.xattr.user.x": "ignored" }),
  entry("short", {}, "pax"),
  entry("fifo", { type: "6" }),
  entry("volume", { type: "V" }),
  entry("last", {}),
  END,
]);
const HOLDS = [
  "directory dir/ 755 5.0",
  ...["file dir/file 644 5.0", "= content", "file dir/big 644 9.0", "= 1500"],
  ...["symlink dir/link -> file 777 5.0", "link dir/hard -> dir/file 644 5.0"],
  ...[`file ${LONG} 644 5.0`, "= long", `symlink l -> ${LONG} 777 5.0`],
  ...["file päx 644 7.250000000", "= pax", "other fifo 644 5.0", "file last 644 5.0", "= "],
];

describe("an archive", () => {
  test("is read in whatever pieces it comes", () => {
    expect(read([ARCHIVE])).toEqual(HOLDS);
    for (const size of [1, 7, 511, 512, 513, 4096]) {
      const pieces: Buffer[] = [];
      for (let at = 0; at < ARCHIVE.length; at += size) pieces.push(ARCHIVE.subarray(at, at + size));
      expect(read(pieces)).toEqual(HOLDS);
    }
  });

  test("may end without its empty blocks, and what follows them is nothing", () => {
    expect(read([ARCHIVE.subarray(0, -1024)])).toEqual(HOLDS);
    expect(read([ARCHIVE, Buffer.from("anything at all")])).toEqual(HOLDS);
  });

  test("of the time before POSIX has no magic, and directories by their slash", () => {
    const old = entry("dir/", { type: "\0", size: 0 });
    old.fill(0, 257, 265);
    old.write("        ", 148, "latin1");
    const sum = old.reduce((total, byte) => total + byte, 0);
    old.write(`${sum.toString(8).padStart(6, "0")}\0 `, 148, "latin1");
    expect(read([old, END])).toEqual(["directory dir/ 644 5.0"]);
  });

  test("keeps sizes beyond 8 GiB, and asks for no memory for them", () => {
    const reader = new TarReader();
    const steps = [...reader.push(entry("huge", { size: 2 ** 40 }))];
    expect(steps).toMatchObject([{ entry: { kind: "file", size: 2 ** 40 } }]);
    expect(() => reader.finish()).toThrow("ends in the middle of 'huge'");
    const pieces = [pax({ size: String(2 ** 40) }), entry("huge", { size: 0 })];
    expect([...new TarReader().push(Buffer.concat(pieces))]).toMatchObject([{ entry: { size: 2 ** 40 } }]);
  });

  test.each<[string, Buffer, string]>([
    ["nothing", NONE, "FILE_FAILED: the archive is damaged: it is empty"],
    ["a few bytes", Buffer.from("hello"), "it is no tar archive"],
    ["text", Buffer.alloc(600, "text "), "it is no tar archive"],
    ["gzip", Buffer.concat([Buffer.from("1f8b0800", "hex"), Buffer.alloc(600)]), "compressed with gzip"],
    ["a cut header", ARCHIVE.subarray(0, 512 * 2 + 100), "it ends in the middle"],
    ["cut content", entry("f", { size: 600 }, "x".repeat(600)).subarray(0, 900), "in the middle of 'f'"],
    ["cut padding", entry("f", {}, "x").subarray(0, 600), "in the middle of 'f'"],
    ["a broken second header", Buffer.concat([entry("a"), Buffer.alloc(512, 1)]), "checksum is no number"],
    ["a long name of 2 MiB", entry("x", { type: "L", size: 2 ** 21 }), "an extended header of 2097152 bytes"],
    [
      "a pax header of 8 GiB",
      entry("x", { type: "x", size: 2 ** 33 }),
      "an extended header of 8589934592 bytes",
    ],
    ["an empty pax header", entry("x", { type: "x" }), "an extended header of 0 bytes"],
    ["a malformed record", entry("x", { type: "x" }, "99 path=a\n"), "an extended header is malformed"],
    ["a record of length 0", entry("x", { type: "x" }, "0 path=a\n"), "an extended header is malformed"],
    [
      "a record without a line end",
      entry("x", { type: "x" }, "9 path=ab"),
      "an extended header is malformed",
    ],
    ["a negative size", pax({ size: "-1" }), "size is no number"],
    ["a size beyond numbers", pax({ size: "99999999999999999" }), "size is no number"],
    ["names for all entries", pax({ path: "../x" }, "g"), "a header for all entries names one"],
    ["a sparse file of GNU's", entry("s", { type: "S" }), "NOT_SUPPORTED: the archive holds a sparse file"],
    [
      "a sparse file of pax",
      Buffer.concat([pax({ "GNU.sparse.major": "1" }), entry("s")]),
      "NOT_SUPPORTED: the archive holds a sparse file",
    ],
    ["a part of another", entry("m", { type: "M" }), "one of several volumes"],
  ])("that is %s is refused", (_, archive, why) => {
    expect(refusal(archive)).toContain(why);
  });

  test("of any bytes is read or refused, and nothing else", () => {
    fc.assert(
      fc.property(
        fc.array(fc.record({ at: fc.nat(ARCHIVE.length - 1), byte: fc.nat(255) }), { maxLength: 8 }),
        fc.nat(ARCHIVE.length),
        (changes, split) => {
          const bytes = Buffer.from(ARCHIVE);
          for (const { at, byte } of changes) bytes[at] = byte;
          refusal(bytes.subarray(0, split), bytes.subarray(split));
        },
      ),
    );
  });
});
