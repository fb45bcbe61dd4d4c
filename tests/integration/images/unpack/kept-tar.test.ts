import { execFile, execFileSync } from "node:child_process";
import { createHash, randomBytes } from "node:crypto";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { gzipSync } from "node:zlib";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { KeptTar } from "../../../../src/images/unpack/kept-tar.ts";
import { unpackImage } from "../../../../src/images/unpack/unpack-image.ts";
import { Deadline } from "../../../../src/util/deadline.ts";
import { type LayerEntry, layerTar } from "../../../helpers/layers.ts";
import { IN_MOUNT_NAMESPACE } from "../../../helpers/mount-namespace.ts";

const CHILD = join(import.meta.dirname, "../../../helpers/child-unpack.ts");

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "smt-kept-"));
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

test("a tar is kept up to what there is room for, and a larger one is not there at all", async () => {
  const path = join(directory, "0.tar");
  const fits = await KeptTar.create(path, 10);
  await fits.write(Buffer.from("01234"));
  await fits.write(Buffer.from("56789"));
  await fits.end();
  expect([fits.path, fits.bytes]).toEqual([path, 10]);
  expect(readFileSync(path, "utf8")).toBe("0123456789");
  await fits.remove();
  expect(existsSync(path)).toBe(false);

  const large = await KeptTar.create(path, 9);
  await large.write(Buffer.from("01234"));
  await large.write(Buffer.from("56789"));
  await large.write(Buffer.from("more"));
  await large.end();
  expect([large.path, large.bytes, existsSync(path)]).toEqual([undefined, 0, false]);
});

/** Unpacks on a file system of so many KiB, which is gone with the process. */
async function unpackOn(sizeKib: number, layers: readonly (readonly LayerEntry[])[]) {
  const paths = layers.map((entries, index) => {
    const path = join(directory, `layer${index}`);
    writeFileSync(path, gzipSync(layerTar(entries)));
    return path;
  });
  const disk = join(directory, "disk");
  mkdirSync(disk, { recursive: true });
  const script = 'mount -t tmpfs -o "size=$1k" none "$4" && shift && exec "$@"';
  const [unshare = "", ...namespace] = IN_MOUNT_NAMESPACE;
  const { stdout } = await promisify(execFile)(unshare, [
    ...[...namespace, "/bin/sh", "-c", script],
    ...["sh", `${sizeKib}`, process.execPath, CHILD, disk, ...paths],
  ]);
  return JSON.parse(stdout) as { error?: string; files: Record<string, string | null>; kept: string[] };
}

describe.skipIf(process.platform !== "linux")("on a disk that is full", () => {
  const MIB = 2 ** 20;
  const [one, two] = [randomBytes(3 * MIB), randomBytes(3 * MIB)];
  const sha256 = (bytes: Uint8Array) => createHash("sha256").update(bytes).digest("hex");

  test("a tar that there is no room for is given up, and its layer unpacked again", async () => {
    // The first layer's tar alone is larger than the disk; the file system that is made is small.
    const layers = [
      [
        { path: "big", content: one },
        { path: "kept", content: two.subarray(0, MIB) },
      ],
      [{ path: "big", content: "small" }],
    ];
    const { error, files, kept } = await unpackOn(3 * 1024, layers);
    expect({ error, kept }).toEqual({ error: undefined, kept: [] });
    expect(files).toMatchObject({ big: sha256(Buffer.from("small")), kept: sha256(two.subarray(0, MIB)) });
  });

  test("tars that were kept give way to what is made of them", async () => {
    // They fit, and then the file system does not fit beside them.
    const { error, files, kept } = await unpackOn(8 * 1024, [
      [{ path: "one", content: one }],
      [{ path: "two", content: two }],
    ]);
    expect({ error, kept }).toEqual({ error: undefined, kept: [] });
    expect(files).toMatchObject({ one: sha256(one), two: sha256(two) });
  });

  test("what does not fit without them either says so, and leaves none of them", async () => {
    const { error, kept } = await unpackOn(2 * 1024, [[{ path: "one", content: one }]]);
    expect({ error, kept }).toEqual({ error: "ENOSPC", kept: [] });
  });
});

test("a kept tar is read as one, whatever its first name begins with; nothing of it is left", async () => {
  // The name's first bytes are those that tell gzip.
  const tar = execFileSync("sh", ["-c", `printf content > "$(printf '\\037\\213name')" && tar -cf - *`], {
    cwd: directory,
  });
  expect(tar.subarray(0, 2).toString("hex")).toBe("1f8b");
  const [layer, target] = [join(directory, "layer"), join(directory, "rootfs.erofs")];
  writeFileSync(layer, gzipSync(tar));
  await unpackImage(target, [{ path: layer }], {
    image: "a test's",
    identity: "test",
    directories: [],
    deadline: Deadline.of("unpacking"),
  });
  expect(readFileSync(target).includes("content")).toBe(true);
  expect(readdirSync(directory).filter((name) => name.endsWith(".tar"))).toEqual([]);
});
