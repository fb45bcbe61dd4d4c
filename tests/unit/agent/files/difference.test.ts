import { describe, expect, test } from "vitest";
import { DifferencePolicy } from "../../../../src/agent/files/difference.ts";
import { DifferenceRecord } from "../../../../src/agent/wire/messages.ts";
import { type Draft, decode, encode } from "../../../../src/agent/wire/schema.ts";

const record = (draft: Draft<DifferenceRecord>): DifferenceRecord =>
  decode(DifferenceRecord, encode(DifferenceRecord, draft));
const entry = (path: string, type = 2, more: Draft<DifferenceRecord> = {}, target = "") =>
  record({
    entry: { path: Buffer.from(path, "latin1"), type, mode: 0o755, target: Buffer.from(target) },
    ...more,
  });
const gone = (path: string) => record({ removed: Buffer.from(path) });
const DATA = record({ data: Buffer.from("x") });
const END = record({ end: true });
const ROOT = entry("");

function take(records: readonly DifferenceRecord[]): string[] {
  const policy = new DifferencePolicy();
  const steps = records.map((one) => policy.step(one));
  policy.finish();
  return steps.map((step) => (step.step === "entry" ? step.entry.kind : step.step));
}

test("an honest guest's difference is taken", () => {
  const records = [
    ROOT,
    entry("a"),
    entry("a/f", 1),
    DATA,
    END,
    gone("a/g"),
    entry("a/h", 5, {}, "a/f"),
    entry("a.b", 3, {}, "/anywhere"),
    entry("b", 8, { major: 259, minor: 70_000 }),
    entry("c", 1, { same: true }),
    entry("d\xff", 6),
  ];
  expect(take(records)).toEqual([
    "directory",
    "directory",
    "file",
    "data",
    "end",
    "removed",
    "link",
    "symlink",
    "character",
    "file",
    "fifo",
  ]);
});

describe("what no honest guest sends is refused", () => {
  test.for<[string, readonly DifferenceRecord[]]>([
    ["nothing", []],
    ["no root", [entry("a")]],
    ["a root that is a file", [entry("", 1)]],
    ["two roots", [ROOT, ROOT]],
    ["a path that climbs", [ROOT, entry("../a")]],
    ["an absolute path", [ROOT, entry("/a")]],
    ["a removal that climbs", [ROOT, gone("..")]],
    ["a directory that did not come", [ROOT, entry("a/b")]],
    ["a directory that was left", [ROOT, entry("a"), entry("b"), entry("a/b")]],
    ["what is in a file", [ROOT, entry("a", 1), END, entry("a/b")]],
    ["a path twice", [ROOT, entry("a"), entry("a")]],
    ["names that are not in order", [ROOT, entry("b"), entry("a")]],
    ["content of nothing", [ROOT, DATA]],
    ["content of what is the same", [ROOT, entry("a", 1, { same: true }), DATA]],
    ["an entry inside another", [ROOT, entry("a", 1), entry("b")]],
    ["no end", [ROOT, entry("a", 1), DATA]],
    ["a socket", [ROOT, entry("a", 7)]],
    ["a symlink to nothing", [ROOT, entry("a", 3)]],
    ["a link out of it", [ROOT, entry("a", 5, {}, "../x")]],
    ["a device that cannot be", [ROOT, entry("a", 8, { major: 5000 })]],
    [
      "an attribute without a name",
      [ROOT, entry("a", 2, { attributes: [{ name: Buffer.alloc(0), value: Buffer.from("x") }] })],
    ],
    [
      "an attribute that would be two",
      [ROOT, entry("a", 2, { attributes: [{ name: Buffer.from("a=b"), value: Buffer.alloc(0) }] })],
    ],
    ["two things in one", [ROOT, entry("a", 2, { end: true })]],
  ])("%s", ([, records]) => {
    expect(() => take(records)).toThrow(expect.objectContaining({ code: "FILE_UNSAFE" }));
  });
});
