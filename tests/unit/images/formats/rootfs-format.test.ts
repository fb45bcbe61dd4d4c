import { describe, expect, test } from "vitest";
import { detectRootfs } from "../../../../src/images/formats/rootfs-format.ts";

function head(patches: [at: number, bytes: number[]][]): Buffer {
  const bytes = Buffer.alloc(2048);
  for (const [at, values] of patches) bytes.set(values, at);
  return bytes;
}

const EXT4: [number, number[]] = [1024 + 0x38, [0x53, 0xef]];

describe("a root file system", () => {
  test.each([
    ["squashfs", head([[0, [0x68, 0x73, 0x71, 0x73]]])],
    ["erofs", head([[1024, [0xe2, 0xe1, 0xf5, 0xe0]]])],
    ["ext4", head([EXT4])],
  ])("is told by its magic number: %s", (format, bytes) => {
    expect(detectRootfs(bytes, "/r")).toEqual({ format, needsRecovery: false });
  });

  test("that is an ext4 with an unreplayed journal is told", () => {
    expect(detectRootfs(head([EXT4, [1024 + 0x60, [0x46, 2, 0, 0]]]), "/r").needsRecovery).toBe(true);
    expect(detectRootfs(head([EXT4, [1024 + 0x60, [0x42, 2, 0, 0]]]), "/r").needsRecovery).toBe(false);
  });

  test.each([
    ["a qcow2 image", "qemu-img convert", head([[0, [0x51, 0x46, 0x49, 0xfb]]])],
    ["compressed with gzip", "gunzip", head([[0, [0x1f, 0x8b]]])],
    ["compressed with xz", "unxz", head([[0, [0xfd, 0x37, 0x7a, 0x58]]])],
    ["a tar archive", "tar2sqfs", head([[257, [0x75, 0x73, 0x74, 0x61, 0x72]]])],
    ["a disk with a partition table", "partition", head([[510, [0x55, 0xaa]]])],
    ["neither squashfs, erofs nor ext4", "without a partition table", head([])],
    ["neither squashfs, erofs nor ext4", "squashfs", Buffer.alloc(0)],
  ])("that is %s is refused with what to do: %s", (what, hint, bytes) => {
    expect(() => detectRootfs(bytes, "/r")).toThrow(
      expect.objectContaining({
        code: "IMAGE_INVALID",
        message: `the root file system '/r' is ${what}`,
        hint: expect.stringContaining(hint),
      }),
    );
  });
});
