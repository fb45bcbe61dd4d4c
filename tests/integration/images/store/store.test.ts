import {
  appendFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import type { Arch } from "../../../../src/config/spec.ts";
import { findImage } from "../../../../src/images/boot/find.ts";
import { imageLayout } from "../../../../src/images/store/layout.ts";
import { findUnused } from "../../../../src/images/store/prune.ts";
import {
  addImage,
  inspectImage,
  listImages,
  removeImage,
  type StoredImage,
  unnamedImages,
} from "../../../../src/images/store/store.ts";
import { tagImage } from "../../../../src/images/store/tag.ts";

let cacheDir: string;
beforeEach(() => {
  cacheDir = mkdtempSync(join(tmpdir(), "smt-store-"));
});
afterEach(() => rmSync(cacheDir, { recursive: true, force: true }));

const nobody = (): string[] => [];

/** Puts an image with such content into the store. */
async function add(name: string, content: string, arch: Arch = "x86_64"): Promise<StoredImage> {
  const dir = join(imageLayout({ cacheDir }).work, Math.random().toString(36).slice(2));
  const write = (file: string, text: string): void => {
    mkdirSync(dirname(join(dir, file)), { recursive: true });
    writeFileSync(join(dir, file), text);
  };
  write("rootfs.squashfs", content);
  write("vmlinux", "kernel");
  write("seeds/64.simg.zst", "seed");
  write("modules/virtio.ko", "module");
  return addImage({ cacheDir }, dir, {
    name,
    arch,
    recipe: "test",
    rootfs: { file: "rootfs.squashfs", format: "squashfs" },
    kernel: { file: "vmlinux", version: "6.1", packageName: "p", packageVersion: "1" },
    seeds: { directory: "seeds", files: ["seeds/64.simg.zst"] },
    modules: [{ name: "virtio", file: "modules/virtio.ko", depends: [] }],
    packages: [],
  });
}

const digests = (): string[] => readdirSync(dirname(imageLayout({ cacheDir }).image("x")));

describe("the image store", () => {
  test("tells which images have no name any more, as others have it", async () => {
    expect(await unnamedImages({ cacheDir })).toEqual([]);
    const first = await add("mine", "first");
    const second = await add("mine", "second");
    await tagImage({ cacheDir }, "mine", "kept", "x86_64");
    const third = await add("mine", "third");
    expect((await unnamedImages({ cacheDir })).map(({ digest }) => digest)).toEqual([first.image.digest]);
    await removeImage({ cacheDir }, "kept", "x86_64", nobody);
    const left = (await unnamedImages({ cacheDir })).map(({ digest }) => digest);
    expect(left).toEqual([first.image.digest]); // who removes a name removes the image that has no other
    expect(digests()).not.toContain(second.image.digest);
    expect((await listImages({ cacheDir })).map(({ digest }) => digest)).toEqual([third.image.digest]);
  });

  test("gives an image by name and architecture, with paths that exist", async () => {
    const { image } = await add("debian", "root");
    const found = await findImage({ cacheDir }, "debian", "x86_64");
    expect(found).toEqual(image);
    for (const path of [found.rootfsPath, found.kernelPath, found.seedPath, found.modules[0]!.path]) {
      expect(existsSync(path), path).toBe(true);
    }
    await expect(findImage({ cacheDir }, "debian", "aarch64")).rejects.toMatchObject({
      code: "IMAGE_NOT_FOUND",
    });
  });

  test("says how to build what is not there", async () => {
    await expect(findImage({ cacheDir }, "minimal", "x86_64")).rejects.toMatchObject({
      code: "IMAGE_NOT_FOUND",
      hint: expect.stringContaining("smolvm image build minimal"),
    });
  });

  test("lists images by name, and is empty at first", async () => {
    expect(await listImages({ cacheDir })).toEqual([]);
    await add("minimal", "m");
    await add("debian", "d");
    await add("minimal", "a", "aarch64");
    const listed = await listImages({ cacheDir });
    expect(listed.map(({ name, arch }) => `${name} ${arch}`)).toEqual([
      "debian x86_64",
      "minimal aarch64",
      "minimal x86_64",
    ]);
  });

  test("keeps the same content once, under any number of names", async () => {
    const one = await add("one", "same");
    const two = await add("two", "same");
    expect(two.image.digest).toBe(one.image.digest);
    expect(digests()).toEqual([one.image.digest]);
    await removeImage({ cacheDir }, "one", "x86_64", nobody);
    expect((await findImage({ cacheDir }, "two", "x86_64")).name).toBe("two");
    await removeImage({ cacheDir }, "two", "x86_64", nobody);
    expect(digests()).toEqual([]);
  });

  test("moves a name to a newer image and keeps the older one until it is pruned", async () => {
    const old = await add("debian", "old");
    const now = await add("debian", "new");
    expect((await findImage({ cacheDir }, "debian", "x86_64")).digest).toBe(now.image.digest);
    expect(digests()).toHaveLength(2);
    const used = { digests: new Set([now.image.digest]), paths: new Set<string>() };
    expect(await findUnused({ cacheDir }, used)).toMatchObject([
      { kind: "image", name: `${old.image.digest.slice(0, 12)} (without a name)` },
    ]);
  });

  test("does not remove an image that a sandbox uses", async () => {
    const { image } = await add("debian", "root");
    await expect(
      removeImage({ cacheDir }, "debian", "x86_64", (digest) =>
        digest === image.digest ? ["box", "other"] : [],
      ),
    ).rejects.toMatchObject({
      code: "IMAGE_IN_USE",
      message: "the image 'debian' is used by box, other",
      hint: "Delete them first: smolvm rm box other",
    });
    expect(await listImages({ cacheDir })).toHaveLength(1);
  });

  test("removing what is not there says so", async () => {
    await expect(removeImage({ cacheDir }, "debian", "x86_64", nobody)).rejects.toMatchObject({
      code: "IMAGE_NOT_FOUND",
    });
  });

  test("finds files that were changed or removed, when asked to verify", async () => {
    const { image } = await add("debian", "root");
    expect((await inspectImage({ cacheDir }, "debian", "x86_64", { verify: true })).verified).toBe(true);
    appendFileSync(image.rootfsPath, "x");
    rmSync(image.kernelPath);
    await expect(inspectImage({ cacheDir }, "debian", "x86_64", { verify: true })).rejects.toMatchObject({
      code: "IMAGE_INVALID",
      message: "the image 'debian' is damaged: rootfs.squashfs has changed, vmlinux is missing",
      hint: "Build it again: smolvm image build debian --force",
    });
    expect((await inspectImage({ cacheDir }, "debian", "x86_64")).verified).toBeUndefined();
  });

  test("tells a damaged manifest or reference, with the file's name", async () => {
    const { image } = await add("debian", "root");
    const layout = imageLayout({ cacheDir });
    writeFileSync(join(layout.image(image.digest), "manifest.json"), "{");
    await expect(findImage({ cacheDir }, "debian", "x86_64")).rejects.toMatchObject({
      code: "IMAGE_INVALID",
    });
    writeFileSync(layout.ref("debian", "x86_64"), JSON.stringify({ digest: "../../etc" }));
    await expect(findImage({ cacheDir }, "debian", "x86_64")).rejects.toMatchObject({
      code: "IMAGE_INVALID",
      message: expect.stringContaining("debian.x86_64.json"),
    });
  });

  test("takes an image whose files were removed by hand for not there", async () => {
    const { image } = await add("debian", "root");
    rmSync(imageLayout({ cacheDir }).image(image.digest), { recursive: true });
    await expect(findImage({ cacheDir }, "debian", "x86_64")).rejects.toMatchObject({
      code: "IMAGE_NOT_FOUND",
    });
    expect(await listImages({ cacheDir })).toEqual([]);
  });
});

test("an image that is here for the other architecture alone is told so", async () => {
  await add("mine", "m");
  await expect(inspectImage({ cacheDir }, "mine", "aarch64")).rejects.toMatchObject({
    code: "IMAGE_NOT_FOUND",
    hint: "There is one for x86_64: --arch x86_64",
  });
  await add("debian", "d");
  await expect(inspectImage({ cacheDir }, "debian", "aarch64")).rejects.toMatchObject({
    hint: "Build it: smolvm image build debian --arch aarch64",
  });
  await expect(inspectImage({ cacheDir }, "other", "aarch64")).rejects.toMatchObject({
    hint: expect.stringContaining("smolvm image pull other"),
  });
  await expect(findImage({ cacheDir }, "mine", "aarch64")).rejects.toMatchObject({
    hint: "There is one for x86_64: --arch x86_64",
  });
});
