import { describe, expect, test } from "vitest";
import { archivePath } from "../../../../src/agent/files/archive-entry.ts";
import { TarFile } from "../../../../src/agent/files/tar-file.ts";

describe("the path of an archive's entry", () => {
  test.each([
    ["a/b", "a/b"],
    ["./a//b/./c/", "a/b/c"],
    ["/etc/passwd", "etc/passwd"],
    ["./", ""],
    [".", ""],
    ["///", ""],
    ["..a/b..", "..a/b.."],
  ])("%j is %j", (given, path) => {
    expect(archivePath(Buffer.from(given)).toString()).toBe(path);
  });

  test.each([
    "..",
    "../x",
    "a/../b",
    "a/b/..",
    "/../x",
    "a\0b",
    "n".repeat(256),
    "d/".repeat(257),
    "l/".repeat(2500),
  ])("%j is refused", (given) => {
    expect(() => archivePath(Buffer.from(given))).toThrow("the archive holds an entry that is refused");
  });
});

describe("a file on its way into an archive", () => {
  const header = { name: Buffer.from("f"), mode: 0o644, uid: 0, gid: 0, mtime: 0, type: "0" };
  function pack(said: number, pieces: readonly number[]): { size: number; bytes: number; dropped: number } {
    const written: Uint8Array[] = [];
    const file = new TarFile({ ...header, linkName: Buffer.alloc(0), size: said }, (bytes) =>
      written.push(bytes),
    );
    for (const size of pieces) file.data(Buffer.alloc(size));
    file.end();
    const all = Buffer.concat(written);
    expect(all.length % 512).toBe(0);
    return {
      size: Number.parseInt(all.toString("latin1", 124, 135), 8),
      bytes: all.length,
      dropped: file.dropped,
    };
  }

  test("that is small has the size that it really has, whatever was said", () => {
    expect(pack(10, [4, 6])).toEqual({ size: 10, bytes: 1024, dropped: 0 });
    expect(pack(0, [600])).toEqual({ size: 600, bytes: 512 + 1024, dropped: 0 });
    expect(pack(2 ** 50, [1])).toEqual({ size: 1, bytes: 1024, dropped: 0 });
    expect(pack(7, [])).toEqual({ size: 0, bytes: 512, dropped: 0 });
  });

  test("that is large is cut where it began to grow, and fails where it shrank", () => {
    const MIB = 1024 * 1024;
    expect(pack(MIB, [MIB / 2, MIB / 2])).toEqual({ size: MIB, bytes: MIB + 512, dropped: 0 });
    expect(pack(MIB, [MIB / 2, MIB])).toEqual({ size: MIB, bytes: MIB + 512, dropped: MIB / 2 });
    expect(pack(0, [300_000, 5])).toEqual({ size: 300_000, bytes: 512 + 300_032, dropped: 5 });
    expect(() => pack(2 * MIB, [MIB])).toThrow("'f' became 1048576 bytes shorter while it was read");
  });
});
