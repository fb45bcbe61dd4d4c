import { expect, test } from "vitest";
import { privateMapping } from "../../../../src/backends/firecracker/memory-map.ts";

const MAPS = `00400000-006a4000 r-xp 00000000 fe:00 1311 /usr/bin/firecracker
7f1000000000-7f1010000000 rw-p 00000000 fe:00 2622 /home/user/snapshots/all/memory (deleted)
7f2000000000-7f2010000000 rw-p 00000000 00:00 0
7f3000000000-7f3000001000 rw-s 00000000 00:0e 1044 anon_inode:kvm-vcpu:0
`;

test("the memory of a guest that went on from a file is found by its size", () => {
  expect(privateMapping(MAPS, 256 << 20)).toBe(0x7f10_0000_0000);
});

test("that of one that was booted is no file's, and of two pieces neither is it", () => {
  expect(privateMapping(MAPS, 512 << 20)).toBeUndefined();
  expect(privateMapping(MAPS.replace(/^.*memory.*\n/m, ""), 256 << 20)).toBeUndefined();
  expect(
    privateMapping(MAPS.replace("rw-p 00000000 fe:00", "rw-p 00001000 fe:00"), 256 << 20),
  ).toBeUndefined();
  expect(privateMapping("", 256 << 20)).toBeUndefined();
});
