import { createHash } from "node:crypto";
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
import { dirname, join } from "node:path";
import { gunzipSync, gzipSync, zstdCompressSync } from "node:zlib";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { findImage } from "../../../../src/images/boot/find.ts";
import { pullNamed } from "../../../../src/images/boot/pull-image.ts";
import type { BundleManifest } from "../../../../src/images/bundle/bundle-manifest.ts";
import { exportBundle } from "../../../../src/images/bundle/export.ts";
import { type ImportResult, importBundle } from "../../../../src/images/bundle/import.ts";
import { writeAndroidSparse } from "../../../../src/images/formats/android-sparse.ts";
import { BLOCK_BYTES, type TarEntry, writeTar } from "../../../../src/images/formats/tar.ts";
import { listKernels, useDebianKernel, usedKernel } from "../../../../src/images/store/kernel-store.ts";
import { imageLayout } from "../../../../src/images/store/layout.ts";
import { type Manifest, manifestDigest } from "../../../../src/images/store/manifest.ts";
import { inspectImage, listImages } from "../../../../src/images/store/store.ts";
import { tagImage } from "../../../../src/images/store/tag.ts";
import { removeUnfinished } from "../../../../src/images/store/unfinished.ts";
import { Deadline } from "../../../../src/util/deadline.ts";
import { cli } from "../../../helpers/cli.ts";
import { writeLayout } from "../../../helpers/layers.ts";
import { addSmallImage, addSmallKernel, elf } from "../../../helpers/small-image.ts";

let dir: string;
let from: string;
let to: string;
let file: string;
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), "smt-bundle-"));
  from = join(dir, "from");
  to = join(dir, "to");
  file = join(dir, "bundle.tgz");
});
afterEach(() => rmSync(dir, { recursive: true, force: true }));

const deadline = (): Deadline => Deadline.of("testing", { timeoutMs: 60_000 });

async function exported(name = "debian"): Promise<BundleManifest> {
  await addSmallImage(from, name);
  await addSmallKernel(from);
  writeFileSync(join(dir, "agent"), elf("the agent"));
  return exportAgain(name);
}

async function exportAgain(name = "debian", force = true): Promise<BundleManifest> {
  const options = { name, arch: "x86_64", target: file, version: "1.2.3", deadline: deadline() } as const;
  const agentPath = join(dir, "agent");
  return (await exportBundle({ cacheDir: from }, { ...options, force, agentPath })).manifest;
}

const imported = (path = file, name?: string): Promise<ImportResult> =>
  importBundle({ cacheDir: to }, { path, name, deadline: deadline() });

/** The files of an archive that our writer made. */
function unpacked(path: string): Map<string, Buffer> {
  const tar = gunzipSync(readFileSync(path));
  const files = new Map<string, Buffer>();
  for (let at = 0; tar[at] !== 0; ) {
    const name = tar.toString("latin1", at, tar.indexOf(0, at));
    const size = Number.parseInt(tar.toString("latin1", at + 124, at + 135), 8);
    files.set(name, tar.subarray(at + BLOCK_BYTES, at + BLOCK_BYTES + size));
    at += BLOCK_BYTES + Math.ceil(size / BLOCK_BYTES) * BLOCK_BYTES;
  }
  return files;
}

function packed(files: Iterable<readonly [string, Uint8Array]>, extra: readonly TarEntry[] = []): void {
  const entries = [...files].map(([path, data]): TarEntry => ({ path, data, mode: 0o644, kind: "file" }));
  writeFileSync(file, gzipSync(writeTar([...entries, ...extra], 0)));
}

/** Changes a file of the bundle and makes every list say that this is how it should be. */
function forge(path: string, change: (data: Buffer) => Uint8Array): void {
  const files = unpacked(file);
  const data = change(files.get(`package/${path}`)!);
  const entry = { sha256: createHash("sha256").update(data).digest("hex"), sizeBytes: data.length };
  files.set(`package/${path}`, Buffer.from(data));
  const bundle = JSON.parse(files.get("package/bundle.json")!.toString());
  const inner = path.startsWith("image/") && path !== "image/manifest.json" ? "image" : undefined;
  if (inner !== undefined) {
    const manifest = JSON.parse(files.get(`package/${inner}/manifest.json`)!.toString()) as Manifest;
    Object.assign(manifest.files.find((listed) => `${inner}/${listed.path}` === path)!, entry);
    bundle.digest = manifestDigest(manifest);
    const text = Buffer.from(JSON.stringify(manifest));
    files.set(`package/${inner}/manifest.json`, text);
    const listed = bundle.files.find((other: { path: string }) => other.path === `${inner}/manifest.json`);
    Object.assign(listed, {
      sha256: createHash("sha256").update(text).digest("hex"),
      sizeBytes: text.length,
    });
  }
  Object.assign(
    bundle.files.find((listed: { path: string }) => listed.path === path),
    entry,
  );
  if (path === "image/manifest.json") {
    try {
      bundle.digest = manifestDigest(JSON.parse(Buffer.from(data).toString()));
    } catch {
      // what is no manifest has no digest
    }
  }
  files.set("package/bundle.json", Buffer.from(JSON.stringify(bundle)));
  packed(files);
}

/** Nothing of a refused bundle stays behind, and nothing got a name. */
async function expectNothingTaken(): Promise<void> {
  expect(await listImages({ cacheDir: to })).toEqual([]);
  expect(await listKernels({ cacheDir: to })).toEqual([]);
  expect(everythingBelow(to)).toEqual([]);
}

function everythingBelow(directory: string): string[] {
  if (!existsSync(directory)) return [];
  return readdirSync(directory, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name));
}

describe("a guest bundle", () => {
  test("carries an image, a kernel and an agent to another store, unchanged", async () => {
    const manifest = await exported();
    const { image, kernel, imported: done } = await imported();
    expect(done).toBe(true);
    expect(image.digest).toBe(manifest.digest);
    expect((await inspectImage({ cacheDir: to }, "debian", "x86_64", { verify: true })).verified).toBe(true);
    expect(kernel).toMatchObject({ name: manifest.kernel, used: true });
    expect(readFileSync(imageLayout({ cacheDir: to }).agent("x86_64"))).toEqual(elf("the agent"));
    expect(readdirSync(imageLayout({ cacheDir: to }).work)).toEqual([]);
    expect(await imported()).toMatchObject({ imported: false, image: { digest: manifest.digest } });
  });

  test("of the same content is the same bytes, and names the sources of what is in it", async () => {
    const { sources, files } = await exported();
    const first = readFileSync(file);
    await exportAgain();
    expect(readFileSync(file).equals(first)).toBe(true);
    expect(sources).toEqual([
      {
        package: "bash",
        version: "5.2.15-2",
        reference: "https://snapshot.debian.org/package/bash/5.2.15-2/",
        of: ["bash"],
      },
      {
        package: "glibc",
        version: "2.36-9",
        reference: "https://snapshot.debian.org/package/glibc/2.36-9/",
        of: ["libc6"],
      },
      {
        package: "linux",
        version: "6.1.192-2",
        reference: "https://snapshot.debian.org/package/linux/6.1.192-2/",
        of: ["linux-image-6.1", "the fast kernel"],
      },
    ]);
    const text = unpacked(file).get("package/SOURCES.md")!.toString();
    for (const { reference } of sources) expect(text).toContain(reference);
    expect(files[0]!.path).toBe("SOURCES.md");
  });

  test("can be unpacked by npm and taken in from there, under another name", async () => {
    await exported();
    const directory = join(dir, "node_modules", "smolvm-guest-x64");
    for (const [path, data] of unpacked(file)) {
      const target = join(directory, path.slice("package/".length));
      mkdirSync(dirname(target), { recursive: true });
      writeFileSync(target, data);
    }
    expect(JSON.parse(readFileSync(join(directory, "package.json"), "utf8"))).toMatchObject({
      name: "smolvm-guest-x64",
      version: "1.2.3",
    });
    const { image } = await imported(directory, "other");
    expect(image.name).toBe("other");
    expect(await findImage({ cacheDir: to }, "other", "x86_64")).toEqual(image);
    // A file that was changed there after it was installed
    writeFileSync(join(directory, "agent"), elf("another"));
    rmSync(to, { recursive: true });
    await expect(imported(directory)).rejects.toMatchObject({
      code: "IMAGE_INVALID",
      message: expect.stringContaining("'agent'"),
    });
    await expectNothingTaken();
  });

  test("does not take the user's choice of a kernel away", async () => {
    await exported();
    await useDebianKernel({ cacheDir: to }, "x86_64");
    expect((await imported()).kernel).toMatchObject({ used: false });
    expect(await usedKernel({ cacheDir: to }, "x86_64")).toBeUndefined();
  });

  test("is not written from an image that has changed, and overwrites nothing unasked", async () => {
    await exported();
    await expect(exportAgain("debian", false)).rejects.toMatchObject({ code: "FILE_EXISTS" });
    const [image] = await listImages({ cacheDir: from });
    writeFileSync(image!.rootfsPath, "hsqs but other");
    const before = readFileSync(file);
    await expect(exportAgain()).rejects.toMatchObject({ code: "IMAGE_INVALID" });
    expect(readFileSync(file).equals(before)).toBe(true);
    expect(readdirSync(dir).sort()).toEqual(["agent", "bundle.tgz", "from"]);
  });
});

describe("a bundle that is damaged or made to do harm is refused, and leaves nothing:", () => {
  const cases: Record<string, () => void> = {
    "no archive at all": () => writeFileSync(file, "not gzip"),
    "an archive of something else": () => packed([["package/package.json", Buffer.from("{}")]]),
    "one that is cut off": () => writeFileSync(file, readFileSync(file).subarray(0, 400)),
    "a tar that is cut off": () =>
      writeFileSync(file, gzipSync(gunzipSync(readFileSync(file)).subarray(0, -9000))),
    "a byte that flipped": () => {
      const tar = gunzipSync(readFileSync(file));
      const at = tar.indexOf("Debian's kernel");
      tar[at]! ^= 1;
      writeFileSync(file, gzipSync(tar));
    },
    "a file that is not listed": () =>
      packed(unpacked(file), [{ path: "package/more", data: Buffer.from("x"), mode: 0o644, kind: "file" }]),
    "a file that comes twice": () =>
      packed(unpacked(file), [{ path: "package/agent", data: elf("the agent"), mode: 0o644, kind: "file" }]),
    "a file outside": () =>
      packed(unpacked(file), [
        { path: "package/../../outside", data: Buffer.from("x"), mode: 0o644, kind: "file" },
      ]),
    "an absolute path": () =>
      packed(unpacked(file), [{ path: "/tmp/outside", data: Buffer.from("x"), mode: 0o644, kind: "file" }]),
    "a symbolic link": () =>
      packed(unpacked(file), [{ path: "package/link", target: "/etc/passwd", mode: 0o777, kind: "symlink" }]),
    "a missing file": () => packed([...unpacked(file)].filter(([path]) => path !== "package/agent")),
    "a path that leaves, listed": () => {
      const files = unpacked(file);
      const text = files.get("package/bundle.json")!.toString();
      files.set("package/bundle.json", Buffer.from(text.replace('"agent"', '"image/../../agent"')));
      packed(files);
    },
    "a size beyond all disks": () => {
      const files = unpacked(file);
      const bundle = JSON.parse(files.get("package/bundle.json")!.toString());
      bundle.files[0].sizeBytes = 2 ** 50;
      files.set("package/bundle.json", Buffer.from(JSON.stringify(bundle)));
      packed(files);
    },
    "a gzip bomb for a manifest": () =>
      packed([
        ["package/package.json", Buffer.from("{}")],
        ["package/bundle.json", Buffer.alloc(64 * 2 ** 20)],
      ]),
    "another kernel's bytes": () => forge("image/vmlinux", () => elf("arm", "aarch64")),
    "no root file system": () => forge("image/rootfs.squashfs", () => Buffer.from("MZ".padEnd(4096))),
    "an agent that is a script": () => forge("agent", () => Buffer.from("#!/bin/sh\n")),
    "a disk that would fill disks": () =>
      forge("image/seeds/64.simg.zst", () => zstdCompressSync(fullDisk(64 * 2 ** 20))),
    "a manifest that names a file elsewhere": () =>
      forge("image/manifest.json", (data) =>
        Buffer.from(data.toString().replaceAll('"rootfs.squashfs"', '"../rootfs.squashfs"')),
      ),
    "a module's name that leaves the initramfs": () =>
      forge("image/manifest.json", (data) =>
        Buffer.from(data.toString().replace('"name": "virtio"', '"name": "../init"')),
      ),
    "a version that steers a terminal": () =>
      forge("image/manifest.json", (data) =>
        Buffer.from(data.toString().replace('"version": "6.1"', '"version": "\\u001b[2J"')),
      ),
  };

  /** A seed of the right size that would write far more than tables. */
  function fullDisk(bytes: number): Uint8Array {
    const seed = Buffer.from(writeAndroidSparse(bytes * 8, [], 4096));
    seed.writeUInt16LE(0xcac2, 28);
    return Buffer.concat([seed.subarray(0, 40), Buffer.from("FULL")]);
  }

  test.each(Object.keys(cases))("%s", async (name) => {
    await exported();
    cases[name]!();
    const error = await imported().catch((reason: unknown) => reason);
    expect(error).toMatchObject({ code: "IMAGE_INVALID" });
    await expectNothingTaken();
    expect(existsSync("/tmp/outside") || existsSync(join(dir, "outside"))).toBe(false);
  });
});

describe("an import that is killed", () => {
  test.each(["import unpack", "import verify", "import store"])(
    "at '%s' leaves what the next one, or gc, removes",
    async (failpoint) => {
      await exported();
      const env = { SMOLVM_HOME: join(dir, "home"), SMOLVM_FAILPOINT: failpoint };
      const layout = imageLayout({ cacheDir: join(dir, "home", "cache") });
      const killed = await cli(["image", "import", file], { env });
      expect(killed.signal).toBe("SIGKILL");
      expect(readdirSync(layout.work)).toHaveLength(1);
      const removed = await removeUnfinished({ cacheDir: join(dir, "home", "cache") });
      expect(removed).toHaveLength(2); // the directory and the lock
      expect(readdirSync(layout.work)).toEqual([]);

      await cli(["image", "import", file], { env });
      const run = await cli(["image", "import", file], { env: { ...env, SMOLVM_FAILPOINT: undefined } });
      expect(run).toMatchObject({ code: 0, text: "debian\n" });
      expect(readdirSync(layout.work)).toEqual([]);
    },
  );
});

test("an image that was pulled goes with it under a plain name, and is run as before", async () => {
  await exported("minimal");
  const layout = join(dir, "layout");
  writeLayout(layout, {
    layers: [[{ path: "./" }, { path: "file", content: "x" }]],
    config: { Env: ["A=b"] },
  });
  const { arch, name } = { arch: "x86_64", name: `oci:${layout}` } as const;
  const { image } = await pullNamed({ cacheDir: from }, name, { arch, deadline: deadline() });
  await expect(exportAgain(name)).rejects.toMatchObject({
    code: "CONFIG_INVALID",
    hint: expect.stringContaining(`smolvm image tag ${name} mine`),
  });
  await tagImage({ cacheDir: from }, name, "mine", arch);
  expect((await exportAgain("mine")).digest).toBe(image.digest);
  const { image: there } = await imported();
  expect(there).toMatchObject({ name: "mine", digest: image.digest, rootfsFormat: "erofs" });
  expect(there.origin).toEqual(image.origin);
  // What it says of itself is checked as all else in a bundle.
  const store = imageLayout({ cacheDir: from }).image(image.digest);
  const manifest = JSON.parse(readFileSync(join(store, "manifest.json"), "utf8")) as Manifest;
  const wrong = {
    ...manifest,
    origin: { ...manifest.origin!, config: { ...manifest.origin!.config, env: ["A=b"] } },
  };
  writeFileSync(join(store, "manifest.json"), JSON.stringify(wrong));
  await exportAgain("mine");
  rmSync(to, { recursive: true });
  await expect(imported()).rejects.toMatchObject({ code: "IMAGE_INVALID" });
});
