import { expect, test } from "vitest";
import { anonymousBytes, mappingOf } from "../../../../src/vm/snapshots/mapped-template.ts";

const MAPS = `00400000-006a4000 r-xp 00000000 fe:00 1311 /usr/bin/qemu
60000000-60fc5000 rwxp 00001000 fe:00 1312 /home/user/templates/a/code
7f1000000000-7f1010000000 rw-p 00000000 fe:01 2622 /home/user/templates/a/memory
7f2000000000-7f2010000000 rw-p 00000000 00:00 0
`;

test("the file that is a guest's memory is found by its size, and nothing else is taken for it", () => {
  const bytes = 256 << 20;
  expect(mappingOf(MAPS, bytes)).toEqual({ device: "fe:01", inode: 2622 });
  expect(mappingOf(MAPS, bytes * 2)).toBeUndefined();
  expect(mappingOf(MAPS.replace(/^.*memory\n/m, ""), bytes)).toBeUndefined();
  expect(mappingOf(MAPS.replace("rw-p 00000000 fe:01", "rw-p 00001000 fe:01"), bytes)).toBeUndefined();
  expect(mappingOf(MAPS.replace("rw-p 00000000 fe:01", "rw-s 00000000 fe:01"), bytes)).toBeUndefined();
  expect(mappingOf("", bytes)).toBeUndefined();
});

test("what a process has to itself is read of its status; where that does not say, it is too much", () => {
  expect(anonymousBytes("Name:\tqemu\nRssAnon:\t    8052 kB\nRssFile:\t 9 kB\n")).toBe(8052 * 1024);
  expect(anonymousBytes("Name:\tqemu\n")).toBe(Number.POSITIVE_INFINITY);
});
