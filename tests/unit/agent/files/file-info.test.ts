import { expect, test } from "vitest";
import { entryInfo, fileInfo } from "../../../../src/agent/files/file-info.ts";
import { FileInfo } from "../../../../src/agent/wire/messages.ts";
import { type Draft, decode, encode } from "../../../../src/agent/wire/schema.ts";

const said = (draft: Draft<FileInfo>): FileInfo => decode(FileInfo, encode(FileInfo, draft));

test("an old agent's answer has what it knows, and no more", () => {
  const info = fileInfo(said({ type: 4, mode: 0o644, mtimeS: 5 }), "/dev/x");
  expect(info).toMatchObject({ name: "x", path: "/dev/x", type: "other", mtime: new Date(5000) });
  expect(info).toMatchObject({ inode: undefined, birthtime: undefined });
});

test("an inode that uses all 64 bits keeps them", () => {
  expect(fileInfo(said({ type: 7, inode: Buffer.from("010000000000f0ff", "hex") }), "/s")).toMatchObject({
    type: "socket",
    inode: "18442240474082181121",
  });
});

test("what no honest guest says is refused, or cut to what it can mean", () => {
  expect(() => fileInfo(undefined, "/s")).toThrow(/without the file's information/);
  expect(() => fileInfo(said({ inode: Buffer.from([1]) }), "/s")).toThrow(/an inode of 1 bytes/);
  const path = Buffer.from("d/n");
  const info = entryInfo(said({ path, type: 99, mode: 0o170_777, btimeS: 2 ** 53 - 1 }));
  expect(info).toMatchObject({ name: "n", path: "d/n", type: "other", mode: 0o777 });
  expect(Number.isFinite(info.birthtime?.getTime())).toBe(true);
});
