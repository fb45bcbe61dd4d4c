import { expect, test } from "vitest";
import { largestFitting, SEED_MIN_MIB } from "../../../../src/images/disk/seed.ts";
import { mke2fsArgs, SEED_SIZES_MIB } from "../../../../src/images/disk/seed-build.ts";

test("a disk starts from the largest file system that fits", () => {
  expect(largestFitting([64, 128, 256], 200)).toBe(128);
  expect(largestFitting([64, 128, 256], 256)).toBe(256);
  expect(largestFitting([64, 128, 256], 1e6)).toBe(256);
  expect(largestFitting([64, 128, 256], 63)).toBeUndefined();
  expect(largestFitting([], 100)).toBeUndefined();
});

test("there are file systems for every size a disk may have, each at most doubled", () => {
  expect(SEED_SIZES_MIB[0]).toBe(SEED_MIN_MIB);
  expect(SEED_SIZES_MIB.at(-1)).toBe(1024 * 1024);
  for (let mib = 64; mib <= 1024 * 1024; mib = Math.ceil(mib * 1.37)) {
    expect(largestFitting(SEED_SIZES_MIB, mib)! * 2).toBeGreaterThan(mib);
  }
});

test("file systems are made the same way each time, and leave the kernel nothing to initialise", () => {
  const args = mke2fsArgs("/i", 2048).join(" ");
  expect(args).toMatch(/-U [0-9a-f-]{36}/);
  expect(args).toContain("hash_seed=");
  expect(args).toContain("lazy_itable_init=0,lazy_journal_init=0");
  expect(args).toContain(`resize=${2 ** 28}`);
  expect(mke2fsArgs("/i", 2 ** 20).join(" ")).not.toContain("resize=");
  expect(mke2fsArgs("/i", 64)).toContain("size=8");
  expect(args).toContain("-b 4096 -I 256 -i 4096"); // an inode for each block: space is what is used up first
});
