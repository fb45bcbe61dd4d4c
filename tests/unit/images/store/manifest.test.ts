import { describe, expect, test } from "vitest";
import {
  type Manifest,
  manifestDigest,
  parseManifest,
  toImage,
} from "../../../../src/images/store/manifest.ts";

const FILES = ["rootfs.squashfs", "vmlinux", "seeds/64.simg.zst", "modules/virtio.ko"];

const MANIFEST: Manifest = {
  version: 1,
  name: "debian",
  arch: "x86_64",
  createdAt: "2026-01-01T00:00:00.000Z",
  recipe: "r",
  rootfs: { file: "rootfs.squashfs", format: "squashfs" },
  kernel: { file: "vmlinux", version: "6.1", packageName: "linux-image-6.1", packageVersion: "6.1-1" },
  seeds: { directory: "seeds", files: ["seeds/64.simg.zst"] },
  modules: [{ name: "virtio", file: "modules/virtio.ko", depends: [] }],
  packages: [{ name: "bash", version: "5" }],
  files: FILES.map((path, i) => ({ path, sha256: `${i}`.repeat(64), sizeBytes: 10 * (i + 1) })),
};

describe("a manifest", () => {
  test("gives the same digest whenever, wherever and in whichever order the same files were built", () => {
    const other = {
      ...MANIFEST,
      createdAt: "2027",
      name: "other",
      recipe: "x",
      files: [...MANIFEST.files].reverse(),
    };
    expect(manifestDigest(other)).toBe(manifestDigest(MANIFEST));
    expect(manifestDigest(MANIFEST)).toMatch(/^[0-9a-f]{64}$/);
  });

  test("gives another digest when any file differs", () => {
    const original = manifestDigest(MANIFEST);
    for (const path of FILES) {
      const files = MANIFEST.files.map((file) =>
        file.path === path ? { ...file, sha256: "f".repeat(64) } : file,
      );
      expect(manifestDigest({ ...MANIFEST, files }), path).not.toBe(original);
    }
    expect(manifestDigest({ ...MANIFEST, arch: "aarch64" })).not.toBe(original);
  });

  test("describes an image with absolute paths", () => {
    expect(toImage(MANIFEST, "d", "/store/d")).toMatchObject({
      rootfsPath: "/store/d/rootfs.squashfs",
      kernelPath: "/store/d/vmlinux",
      seedPath: "/store/d/seeds",
      modules: [{ name: "virtio", path: "/store/d/modules/virtio.ko", sha256: "3".repeat(64), depends: [] }],
      sizeBytes: 100,
    });
  });

  test("is read back from its JSON", () => {
    expect(parseManifest(JSON.stringify(MANIFEST), "/m")).toEqual(MANIFEST);
  });

  test.each([
    ["is not JSON", "{"],
    ["is of a version that this smolvm does not know", JSON.stringify({ ...MANIFEST, version: 2 })],
    ["is of a version that this smolvm does not know", "null"],
    ["is of a version that this smolvm does not know", "[]"],
    ["names files that it does not list", JSON.stringify({ ...MANIFEST, files: [] })],
    ["names files that it does not list", JSON.stringify({ ...MANIFEST, files: undefined })],
    [
      "names files that it does not list",
      JSON.stringify({ ...MANIFEST, rootfs: { file: "../../etc/passwd" } }),
    ],
    ["names files that it does not list", JSON.stringify({ ...MANIFEST, seeds: undefined })],
  ])("that is damaged is refused: %s", (what, text) => {
    expect(() => parseManifest(text, "/m")).toThrow(
      expect.objectContaining({ code: "IMAGE_INVALID", message: `the image manifest '/m' ${what}` }),
    );
  });
});
