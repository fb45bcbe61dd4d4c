import { execFileSync } from "node:child_process";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { zstdDecompressSync } from "node:zlib";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { writeDiskFromSeed } from "../../../../src/images/disk/seed.ts";
import { makeSeeds, SEED_SIZES_MIB } from "../../../../src/images/disk/seed-build.ts";
import { parseAndroidSparse } from "../../../../src/images/formats/android-sparse.ts";
import { Deadline } from "../../../../src/util/deadline.ts";
import { IN_MOUNT_NAMESPACE } from "../../../helpers/mount-namespace.ts";

const MIB = 2 ** 20;
const CHILD = join(import.meta.dirname, "../../../helpers/image-child.ts");
const dir = mkdtempSync(join(tmpdir(), "smt-seed-"));
const seeds = join(dir, "seeds");
const deadline = (): Deadline => Deadline.of("making seeds", { timeoutMs: 120_000 });

beforeAll(async () => {
  await makeSeeds(dir, seeds, deadline());
});
afterAll(() => rmSync(dir, { recursive: true, force: true }));

/** A path in the test's directory that does not exist yet. */
let count = 0;
const fresh = (): string => join(dir, `disk-${count++}`);

describe("the seeds", () => {
  test("are there in all sizes, small, and the same each time", async () => {
    expect(readdirSync(seeds)).toHaveLength(SEED_SIZES_MIB.length);
    const again = join(dir, "again");
    await makeSeeds(dir, again, deadline());
    let bytes = 0;
    for (const name of readdirSync(seeds)) {
      const seed = readFileSync(join(seeds, name));
      bytes += seed.length;
      expect(seed.equals(readFileSync(join(again, name))), name).toBe(true);
      expect(parseAndroidSparse(zstdDecompressSync(seed)).sizeBytes).toBe(Number.parseInt(name, 10) * MIB);
    }
    expect(bytes).toBeLessThan(MIB);
  });
});

describe("a disk", () => {
  test.each([64, 65, 500, 2048, 16_384, 300_000, 1_048_576])(
    "of %d MiB is a whole file system, at its full size, and takes little space",
    (mib) => {
      const disk = fresh();
      writeDiskFromSeed(seeds, disk, mib * MIB);
      const { size, blocks, mode } = statSync(disk);
      expect(size).toBe(mib * MIB);
      expect(blocks * 512).toBeLessThan(16 * MIB);
      expect(mode & 0o777).toBe(0o600);
      execFileSync("e2fsck", ["-fn", disk], { stdio: "pipe" });
      rmSync(disk);
    },
  );

  test("may start from one sparse image file instead of a directory of seeds", () => {
    const file = fresh();
    writeFileSync(file, zstdDecompressSync(readFileSync(join(seeds, "128.simg.zst"))));
    const disk = fresh();
    writeDiskFromSeed(file, disk, 200 * MIB);
    execFileSync("e2fsck", ["-fn", disk], { stdio: "pipe" });
  });

  test("smaller than every seed is refused with the least size", () => {
    expect(() => writeDiskFromSeed(seeds, fresh(), 63 * MIB)).toThrow(
      expect.objectContaining({
        code: "CONFIG_INVALID",
        hint: "Set diskSizeMib to 64 or more.",
      }),
    );
    expect(() => writeDiskFromSeed(join(seeds, "128.simg.zst"), fresh(), 64 * MIB)).toThrow(
      expect.objectContaining({
        code: "CONFIG_INVALID",
        hint: "Set diskSizeMib to 128 or more.",
      }),
    );
  });

  test("is never written over another file", () => {
    const disk = fresh();
    writeFileSync(disk, "precious");
    expect(() => writeDiskFromSeed(seeds, disk, 64 * MIB)).toThrow(
      expect.objectContaining({ code: "FILE_EXISTS" }),
    );
    expect(readFileSync(disk, "utf8")).toBe("precious");
  });

  test.each([
    ["is cut off", (seed: Buffer) => seed.subarray(0, -1)],
    ["is something else", () => Buffer.from("hello")],
    ["is empty", () => Buffer.alloc(0)],
  ])("is not made from a seed that %s", (_, damage) => {
    const seed = fresh();
    writeFileSync(seed, damage(readFileSync(join(seeds, "64.simg.zst"))));
    const disk = fresh();
    expect(() => writeDiskFromSeed(seed, disk, 64 * MIB)).toThrow(
      expect.objectContaining({
        code: "IMAGE_INVALID",
        hint: expect.stringContaining("smolvm image build"),
      }),
    );
    expect(existsSync(disk)).toBe(false);
  });

  test("is not made when there is no seed or no directory for it", () => {
    expect(() => writeDiskFromSeed(join(dir, "none"), fresh(), 64 * MIB)).toThrow(
      expect.objectContaining({
        code: "IMAGE_INVALID",
      }),
    );
    expect(() => writeDiskFromSeed(seeds, join(dir, "no/such/dir"), 64 * MIB)).toThrow(
      expect.objectContaining({
        code: "HOST_FAILED",
      }),
    );
  });

  test("leaves nothing behind on a host disk that is full, and says so", () => {
    const mount = join(dir, "full");
    mkdirSync(mount);
    // A file system of 128 KiB in a mount namespace of its own: nothing to unmount.
    const script = `mount -t tmpfs -o size=128k none "$1" && "$2" "$3" disk "$4" "$1/disk" ${2048 * MIB} && ls -A "$1"`;
    const [unshare = "", ...namespace] = IN_MOUNT_NAMESPACE;
    const output = execFileSync(
      unshare,
      [...namespace, "sh", "-c", script, "sh", mount, process.execPath, CHILD, seeds],
      { encoding: "utf8", stdio: ["ignore", "pipe", "pipe"] },
    );
    expect(JSON.parse(output)).toEqual({
      error: { code: "NO_SPACE", hint: `Free some space: df -h '${mount}'` },
    });
  });
});
