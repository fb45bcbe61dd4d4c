import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { gzipSync, zstdCompressSync } from "node:zlib";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type UnpackBase, unpackImage } from "../../../../src/images/unpack/unpack-image.ts";
import { Deadline } from "../../../../src/util/deadline.ts";
import { type LayerEntry, layerTar, writeLayout } from "../../../helpers/layers.ts";
import { readErofs, type SeenFile } from "../../../helpers/read-erofs.ts";

const NASTY: Readonly<Record<string, readonly (readonly LayerEntry[])[]>> = {
  "a layer over another": [
    [{ path: "./" }, { path: "a/" }, { path: "a/x", content: "lower" }, { path: "a/y", content: "y" }],
    [{ path: "a/x", content: "upper", mode: 0o600 }],
  ],
  "a directory's attributes, and the root's": [
    [
      { path: "./", mode: 0o755 },
      { path: "a/", mode: 0o755 },
      { path: "a/x", content: "x" },
    ],
    [
      { path: "./", mode: 0o711, mtime: 5 },
      { path: "a/", mode: 0o1777, mtime: 7 },
    ],
  ],
  "a whiteout of a file, a directory, a symlink, and of nothing": [
    [
      { path: "./" },
      { path: "d/" },
      { path: "d/e/" },
      { path: "d/e/f", content: "f" },
      { path: "f", content: "f" },
      { path: "l", type: "2", target: "f" },
      { path: "stays", content: "" },
    ],
    [{ path: ".wh.d" }, { path: ".wh.f" }, { path: ".wh.l" }, { path: ".wh.nothing" }],
  ],
  "a whiteout before what replaces it": [
    [{ path: "./" }, { path: "d/" }, { path: "d/old", content: "old" }],
    [{ path: ".wh.d" }, { path: "d/" }, { path: "d/new", content: "new" }],
  ],
  "an opaque directory, before its content": [
    [
      { path: "./" },
      { path: "d/" },
      { path: "d/old", content: "old" },
      { path: "d/sub/" },
      { path: "d/sub/old", content: "old" },
    ],
    [{ path: "d/" }, { path: "d/.wh..wh..opq" }, { path: "d/new", content: "new" }],
  ],
  "an opaque directory, after its content": [
    [{ path: "./" }, { path: "d/" }, { path: "d/old", content: "old" }, { path: "d/both", content: "lower" }],
    [
      { path: "d/" },
      { path: "d/both", content: "upper" },
      { path: "d/new", content: "new" },
      { path: "d/.wh..wh..opq" },
    ],
  ],
  "a hard link within a layer, and to a file of a lower one": [
    [{ path: "./" }, { path: "a", content: "shared" }, { path: "b", type: "1", target: "a" }],
    [{ path: "c", type: "1", target: "./a" }],
  ],
  "one name of a hard link replaced, one removed": [
    [
      { path: "./" },
      { path: "a", content: "shared" },
      { path: "b", type: "1", target: "a" },
      { path: "c", type: "1", target: "a" },
    ],
    [{ path: "b", content: "own" }, { path: ".wh.a" }],
  ],
  "a hard link to a symlink": [
    [{ path: "./" }, { path: "l", type: "2", target: "nowhere" }, { path: "m", type: "1", target: "l" }],
  ],
  "symlinks in the middle of a path": [
    [
      { path: "./" },
      { path: "usr/" },
      { path: "usr/bin/" },
      { path: "bin", type: "2", target: "usr/bin" },
      { path: "abs", type: "2", target: "/usr" },
      { path: "up", type: "2", target: "../../../usr" },
      { path: "chain", type: "2", target: "abs" },
    ],
    [
      { path: "bin/sh", content: "sh" },
      { path: "abs/a", content: "a" },
      { path: "up/u", content: "u" },
      { path: "chain/bin/c", content: "c" },
    ],
  ],
  "a file that becomes a directory and back, and a symlink instead of a directory": [
    [
      { path: "./" },
      { path: "f", content: "file" },
      { path: "d/" },
      { path: "d/x", content: "x" },
      { path: "e/" },
      { path: "e/x", content: "x" },
    ],
    [
      { path: "f/" },
      { path: "f/in", content: "in" },
      { path: "d", content: "file now" },
      { path: "e", type: "2", target: "f" },
    ],
    [{ path: "f", content: "file again" }],
  ],
  "modes with set-uid, set-gid and sticky": [
    [
      { path: "./" },
      { path: "su", content: "s", mode: 0o4755 },
      { path: "sg", content: "s", mode: 0o2755 },
      { path: "t/", mode: 0o1777 },
      { path: "none", content: "n", mode: 0 },
    ],
  ],
  "owners beyond 65,535, in the header and in extended ones": [
    [
      { path: "./" },
      { path: "a", content: "a", uid: 70_000, gid: 3_000_000 },
      { path: "b", content: "b", pax: { uid: "1000000", gid: "2000000" } },
    ],
  ],
  "extended attributes and capabilities": [
    [
      { path: "./" },
      {
        path: "cap",
        content: "c",
        mode: 0o755,
        pax: { "SCHILY.xattr.security.capability": "\x01\0\0\x02\0\x04\0\0\0\0\0\0\0\0\0\0\0\0\0\0" },
      },
      {
        path: "user",
        content: "u",
        pax: { "SCHILY.xattr.user.hello": "wor=ld\n", "SCHILY.xattr.user.empty": "" },
      },
    ],
  ],
  "times in nanoseconds, and far ones": [
    [
      { path: "./" },
      { path: "ns", content: "", pax: { mtime: "1234567890.123456789" } },
      { path: "far", content: "", mtime: 2 ** 33 },
      { path: "zero", content: "", mtime: 0 },
    ],
  ],
  "long names, as GNU and as POSIX have them": [
    [
      { path: "./" },
      { path: "n".repeat(255), content: "255" },
      { path: `${"d".repeat(120)}/` },
      { path: `${"d".repeat(120)}/${"e".repeat(120)}`, content: "long" },
      { path: "short", content: "pax", pax: { path: `pax-${"p".repeat(200)}` } },
      { path: "link", type: "2", target: "t".repeat(300) },
    ],
  ],
  "names of any bytes": [
    [
      { path: "./" },
      { path: "\xff\xfe\x01", content: "bytes" },
      { path: "new\nline", content: "" },
      { path: "!before-the-dots", content: "" },
      { path: "-x", content: "" },
      { path: "l", type: "2", target: "\xff/\x80" },
    ],
  ],
  "devices and pipes": [
    [
      { path: "./" },
      { path: "dev/" },
      { path: "dev/null", type: "3", major: 1, minor: 3, mode: 0o666 },
      { path: "dev/disk", type: "4", major: 259, minor: 1000 },
      { path: "pipe", type: "6" },
    ],
  ],
  "content of all sizes": [
    [
      { path: "./" },
      ...[0, 1, 511, 512, 2047, 2048, 2049, 4031, 4032, 4095, 4096, 4097, 70_000, 1_048_577].map((size) => ({
        path: `size-${size}`,
        content: Buffer.alloc(size, "ab\0"),
      })),
      { path: "zeros", content: Buffer.alloc(300_000) },
    ],
  ],
  "a directory of many blocks": [
    [
      { path: "./" },
      { path: "many/" },
      ...Array.from({ length: 400 }, (_, index) => ({
        path: `many/a-name-of-some-length-${index}`,
        content: `${index}`,
      })),
    ],
  ],
  "directories that no entry names": [[{ path: "a/b/c", content: "c" }], [{ path: "a/b/d", content: "d" }]],
};

let directory: string;
beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), "smolvm-layers-"));
});
afterAll(() => rmSync(directory, { recursive: true, force: true }));

async function unpack(
  name: string,
  layers: readonly (readonly LayerEntry[] | Buffer)[],
  packing: "gzip" | "zstd" | "none" = "gzip",
  directories: readonly string[] = [],
  base?: UnpackBase,
  keepLower = false,
  onDamagedBase?: () => void,
) {
  const layout = join(directory, name, "layout");
  const made = writeLayout(layout, { layers, packing });
  // What is under it is not looked at, where it serves.
  for (const digest of made.layerDigests.slice(0, keepLower ? 0 : (base?.layers ?? 0)))
    if (!made.layerDigests.slice(base!.layers).includes(digest))
      rmSync(join(layout, "blobs/sha256", digest.slice(7)));
  const tars = layers.map((layer) => (Buffer.isBuffer(layer) ? layer : layerTar(layer)));
  const path = join(directory, name, "rootfs.erofs");
  await unpackImage(
    path,
    made.layerDigests.map((digest, index) => ({
      path: join(layout, "blobs/sha256", digest.slice(7)),
      diffId: `sha256:${createHash("sha256").update(tars[index]!).digest("hex")}`,
    })),
    {
      image: name,
      identity: made.manifestDigest,
      directories,
      base,
      onDamagedBase,
      deadline: Deadline.of("unpacking"),
    },
  );
  return { layout, path };
}

function fileOf(path: string): Pick<UnpackBase, "path" | "sha256"> {
  return { path, sha256: createHash("sha256").update(readFileSync(path)).digest("hex") };
}

/** Hard links as lists of names; inode numbers and directories' link counts are each file system's own. */
function comparable(files: ReadonlyMap<string, SeenFile>, asRoot: boolean): Record<string, unknown> {
  const names = new Map<number, string[]>();
  for (const [path, { inode, kind }] of files)
    if (kind !== "directory") names.set(inode, [...(names.get(inode) ?? []), path].sort());
  const sorted = [...files].sort(([a], [b]) => (a < b ? -1 : 1));
  return Object.fromEntries(
    sorted.map(([path, { inode, links, uid, gid, ...file }]) => [
      path,
      {
        ...file,
        ...(asRoot ? { uid, gid } : {}),
        ...(file.kind === "directory" ? {} : { links, with: names.get(inode) }),
      },
    ]),
  );
}

const isRoot = process.getuid?.() === 0;
if (!isRoot) console.log("not compared with umoci: making owners and devices takes root");

describe.runIf(isRoot)(
  "layers become what umoci makes of them (as root, who may make owners and devices)",
  () => {
    test.each(Object.entries(NASTY))("%s", async (name, layers) => {
      const key = createHash("sha256").update(name).digest("hex").slice(0, 12);
      const { layout, path } = await unpack(key, layers);
      execFileSync("fsck.erofs", [path], { stdio: "ignore" });
      const bundle = join(directory, key, "bundle");
      execFileSync("umoci", ["unpack", "--image", `${layout}:latest`, bundle], { stdio: "pipe" });
      const walk = resolve(import.meta.dirname, "../../../helpers/walk-tree.py");
      const theirs = new Map<string, SeenFile>(
        Object.entries(
          JSON.parse(
            execFileSync("python3", [walk, join(bundle, "rootfs")], { maxBuffer: 1 << 26 }).toString(),
          ) as Record<string, SeenFile>,
        ),
      );
      const [ours, expected] = [comparable(readErofs(path), true), comparable(theirs, true)];
      const listed = new Set(layers.flat().map((entry) => entry.path.replace(/^\.\/|\/$/g, "")));
      for (const [at, file] of Object.entries(expected) as [string, Record<string, unknown>][]) {
        for (const [key, value] of Object.entries(file)) if (value === null) file[key] = undefined;
        // A time that no entry names is the moment of unpacking for umoci, and none for us.
        if (file.kind === "directory" && !listed.has(at)) {
          delete file.mtimeNs;
          delete (ours[at] as Record<string, unknown> | undefined)?.mtimeNs;
        }
      }
      expect(ours).toEqual(expected);
    });
  },
);

test.each(Object.entries(NASTY).filter(([, layers]) => layers.length > 1 || layers[0]!.length > 3))(
  "%s: over what the lower ones have become they are the same bytes",
  async (name, layers) => {
    const key = createHash("sha256").update(`over ${name}`).digest("hex").slice(0, 12);
    // One layer alone, too: nothing is over it.
    const parts = layers.length > 1 ? [...layers] : [layers[0]!, []];
    const directories = ["/dev", "/v/w"];
    const { path } = await unpack(key, parts, "gzip", directories);
    const lower = await unpack(`${key}-lower`, parts.slice(0, -1), "gzip", directories);
    const whole = readFileSync(path);
    const base = { ...fileOf(lower.path), layers: parts.length - 1, directories };
    const over = await unpack(key, parts, "gzip", directories, base);
    expect(readFileSync(over.path).equals(whole)).toBe(true);
  },
);

test("a base that is damaged anywhere is told of, and the layers are unpacked instead", async () => {
  const lower: readonly LayerEntry[] = [
    { path: "./" },
    { path: "large", content: Buffer.alloc(200_000, "large") },
    { path: "small", content: "small" },
    ...Array.from({ length: 300 }, (_, index) => ({ path: `many-${index}-${"x".repeat(50)}`, content: "y" })),
  ];
  const layers = [lower, [{ path: "own", content: "z" }]];
  const base = await unpack("whole-lower", [lower]);
  const bytes = readFileSync((await unpack("whole", layers)).path);
  const options = { ...fileOf(base.path), layers: 1, directories: [] };
  const whole = readFileSync(base.path);
  const damaged = async (change: (bytes: Buffer) => Buffer): Promise<number> => {
    writeFileSync(base.path, change(Buffer.from(whole)));
    let told = 0;
    const over = await unpack("whole", layers, "gzip", [], options, true, () => told++);
    expect(readFileSync(over.path).equals(bytes)).toBe(true);
    return told;
  };
  expect(await damaged((same) => same)).toBe(0);
  expect(await damaged((cut) => cut.subarray(0, cut.length / 2))).toBe(1);
  expect(await damaged((zeros) => zeros.fill(0))).toBe(1);
  // In the superblock, the large file's content, what fills up blocks, and all over the inodes and names.
  for (let at = 1030; at < whole.length; at += Math.ceil(whole.length / 60) | 1)
    expect(
      await damaged((other) => {
        other[at]! ^= 0x41;
        return other;
      }),
      `${at}`,
    ).toBe(1);
  rmSync(base.path);
  let told = 0;
  const over = await unpack("whole", layers, "gzip", [], options, true, () => told++);
  expect(told).toBe(0);
  expect(readFileSync(over.path).equals(bytes)).toBe(true);
});

test("what a directory was made for behind a symlink that is gone is not in what is made over it", async () => {
  const lower: readonly LayerEntry[] = [{ path: "./" }, { path: "run", type: "2", target: "var/run" }];
  const upper: readonly LayerEntry[] = [{ path: "run/" }, { path: "run/x", content: "x" }];
  const base = await unpack("symlinked-lower", [lower], "gzip", ["/run"]);
  const whole = await unpack("symlinked", [lower, upper], "gzip", ["/run"]);
  const bytes = readFileSync(whole.path);
  const options = { ...fileOf(base.path), layers: 1, directories: ["/run"] };
  const over = await unpack("symlinked", [lower, upper], "gzip", ["/run"], options, true);
  expect(readFileSync(over.path).equals(bytes)).toBe(true);
  expect([...readErofs(over.path).keys()].sort()).toEqual(["", "run", "run/x"]);
});

describe("the same layers", () => {
  const layers = NASTY["a hard link within a layer, and to a file of a lower one"]!;

  test.each(["zstd", "none"] as const)("packed otherwise (%s) are the same files", async (packing) => {
    const plain = await unpack(`as-gzip-${packing}`, layers);
    const other = await unpack(`as-${packing}`, layers, packing);
    expect(comparable(readErofs(other.path), true)).toEqual(comparable(readErofs(plain.path), true));
  });

  test("in many frames of zstd, and in many members of gzip, are the same files", async () => {
    const tar = layerTar(NASTY["content of all sizes"]![0]!);
    const cut = (pack: (bytes: Buffer) => Buffer): Buffer => {
      const parts: Buffer[] = [];
      for (let at = 0; at < tar.length; at += 100_000)
        parts.push(pack(tar.subarray(at, at + 100_000)), Buffer.alloc(0));
      return Buffer.concat(parts);
    };
    const skippable = Buffer.from([0x50, 0x2a, 0x4d, 0x18, 1, 0, 0, 0, 9]);
    const diffId = `sha256:${createHash("sha256").update(tar).digest("hex")}`;
    const seen = [];
    for (const packed of [
      tar,
      cut(gzipSync),
      cut((bytes) => Buffer.concat([zstdCompressSync(bytes), skippable])),
    ]) {
      const [from, to] = [join(directory, "packed"), join(directory, "packed.erofs")];
      writeFileSync(from, packed);
      const options = { image: "x", identity: "x", directories: [], deadline: Deadline.of("unpacking") };
      await unpackImage(to, [{ path: from, diffId }], options);
      seen.push(readFileSync(to).toString("base64"));
      writeFileSync(from, packed.subarray(0, packed.length - 2000));
      await expect(unpackImage(to, [{ path: from, diffId }], options)).rejects.toMatchObject({
        code: "IMAGE_INVALID",
      });
    }
    expect(new Set(seen).size).toBe(1);
  });

  test("are the same bytes, whenever they are unpacked", async () => {
    const [one, two] = [await unpack("once", layers), await unpack("twice", layers)];
    expect(readFileSync(one.path).equals(readFileSync(two.path))).toBe(true);
  });
});
