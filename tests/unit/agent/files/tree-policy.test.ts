import { describe, expect, test } from "vitest";
import { type TreeLimits, TreePolicy } from "../../../../src/agent/files/tree-policy.ts";
import { type FileInfo, TreeRecord } from "../../../../src/agent/wire/messages.ts";
import { type Draft, decode, encode } from "../../../../src/agent/wire/schema.ts";

const record = (draft: Draft<TreeRecord>): TreeRecord => decode(TreeRecord, encode(TreeRecord, draft));
const entry = (path: string, info: Draft<FileInfo> = {}) =>
  record({ entry: { type: 1, mode: 0o644, ...info, path: Buffer.from(path) } });
const ROOT = entry("", { type: 2, mode: 0o755 });
const DATA = record({ data: Buffer.from("0123456789") });
const END = record({ end: true });

/** The kinds of the steps that records lead to. */
function kinds(records: readonly TreeRecord[], limits: TreeLimits = {}): string[] {
  const policy = new TreePolicy("linux", limits);
  const seen = records.map((one) => policy.step(one).kind);
  policy.finish();
  return seen;
}
const refused = expect.objectContaining({ code: "FILE_UNSAFE" });

describe("a tree", () => {
  test("is its root, then entries, files with their content", () => {
    const records = [
      ROOT,
      entry("d", { type: 2 }),
      entry("d/f"),
      DATA,
      DATA,
      END,
      entry("e"),
      END,
      entry("l", { type: 3, target: Buffer.from("d/f") }),
    ];
    expect(kinds(records)).toEqual([
      "directory",
      "directory",
      "file",
      "data",
      "data",
      "end",
      "file",
      "end",
      "symlink",
    ]);
  });

  test.each<[string, TreeRecord[]]>([
    ["no records", []],
    ["an end before the root", [END]],
    ["content between files", [ROOT, entry("a"), END, DATA]],
    ["an end after an end", [ROOT, entry("a"), END, END]],
    ["an entry inside a file", [ROOT, entry("a"), entry("b")]],
    ["a file that does not end", [ROOT, entry("a"), DATA]],
    ["a record of two things", [ROOT, record({ entry: { path: Buffer.from("a"), type: 1 }, end: true })]],
    ["a record of nothing", [ROOT, record({})]],
    ["a device", [ROOT, entry("a", { type: 4 })]],
  ])("with %s is refused", (_what, records) => {
    expect(() => kinds(records)).toThrow(refused);
  });

  test("has at most so many entries and so many bytes", () => {
    const two = [ROOT, entry("a"), DATA, END, entry("b"), DATA, END];
    expect(kinds(two, { maxEntries: 2, maxBytes: 20 })).toHaveLength(7);
    expect(() => kinds(two, { maxEntries: 1 })).toThrow(/more than 1 entries/);
    expect(() => kinds(two, { maxBytes: 19 })).toThrow(/more than 19 bytes/);
  });

  test("has at most as many directories and symlinks as fit in memory", () => {
    const policy = new TreePolicy("linux", { maxEntries: Number.POSITIVE_INFINITY });
    policy.step(ROOT);
    const link = entry(`${"x".repeat(200)}/`.repeat(20).slice(0, -1), {
      type: 3,
      target: Buffer.alloc(4000, "x"),
    });
    expect(() => {
      for (let n = 0; n < 100_000; n++) policy.step(link);
    }).toThrow(/fit in memory/);
  });

  test("gives no set-user-id bits", () => {
    const policy = new TreePolicy("linux");
    policy.step(ROOT);
    expect(policy.step(entry("a", { mode: 0o7755 }))).toMatchObject({ mode: 0o755 });
  });
});
