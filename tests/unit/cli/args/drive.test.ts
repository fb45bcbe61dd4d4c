import { resolve } from "node:path";
import { expect, test } from "vitest";
import { parseDrive } from "../../../../src/cli/args/drive.ts";

test.each([
  ["data.img", "data.img", {}],
  ["data.img:/data", "data.img", { mountAt: "/data" }],
  ["data.img:/data:ro", "data.img", { mountAt: "/data", readOnly: true }],
  ["a:b.img:rw", "a:b.img", {}],
])("--drive %s", (text, path, rest) => {
  expect(parseDrive(text, "linux")).toEqual({ path: resolve(path), ...rest });
});

test.each([
  ["C:/disks/data.img", "C:/disks/data.img", {}],
  ["C:\\disks\\data.img:/data", "C:\\disks\\data.img", { mountAt: "/data" }],
  ["c:/data.img:/data:ro", "c:/data.img", { mountAt: "/data", readOnly: true }],
  ["data.img:/data", "data.img", { mountAt: "/data" }],
])("--drive %s on Windows", (text, path, rest) => {
  expect(parseDrive(text, "win32")).toEqual({ path: resolve(path), ...rest });
});
