import {
  existsSync,
  ftruncateSync,
  mkdtempSync,
  openSync,
  readFileSync,
  rmSync,
  statSync,
  writeSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { copyWithoutZeros } from "../../../../src/host/monitor/copy-sparse.ts";
import { Deadline } from "../../../../src/util/deadline.ts";

let directory: string;
beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), "smolvm-copy-"));
});
afterAll(() => rmSync(directory, { recursive: true }));

/** A file of that size with these bytes at these places. */
function make(name: string, size: number, parts: readonly (readonly [number, Buffer])[]): string {
  const path = join(directory, name);
  const fd = openSync(path, "w");
  ftruncateSync(fd, size);
  for (const [at, bytes] of parts) writeSync(fd, bytes, 0, bytes.length, at);
  return path;
}

test("a copy has the same bytes, and holes where there are zeros", async () => {
  const size = 40 * 1024 * 1024 + 7;
  const from = make("disk", size, [
    [0, Buffer.from("begin")],
    [1024 * 1024 - 3, Buffer.from("across")],
    [9_000_000, Buffer.alloc(2_000_000, "much")],
    [30_000_000, Buffer.alloc(3_000_000)], // zeros that were written
    [size - 3, Buffer.from("end")],
  ]);
  const to = join(directory, "copy");
  await copyWithoutZeros(from, to, Deadline.within(20_000, "copying"));
  expect(readFileSync(to).equals(readFileSync(from))).toBe(true);
  expect(statSync(to).blocks * 512).toBeLessThan(3_000_000);
});

test("one that is given up, or finds something there, leaves nothing and changes nothing", async () => {
  const from = make("other", 10_000_000, [[0, Buffer.from("x")]]);
  const to = join(directory, "none");
  await expect(copyWithoutZeros(from, to, Deadline.within(0, "copying"))).rejects.toMatchObject({
    code: "TIMEOUT",
  });
  expect(existsSync(to)).toBe(false);
  await expect(copyWithoutZeros(to, from, Deadline.within(1_000, "copying"))).rejects.toMatchObject({
    code: "ENOENT",
  });
  await expect(copyWithoutZeros(from, from, Deadline.within(1_000, "copying"))).rejects.toMatchObject({
    code: "EEXIST",
  });
  expect(readFileSync(from, "latin1").startsWith("x")).toBe(true);
});
