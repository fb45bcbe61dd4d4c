import { expect, test } from "vitest";
import type { DifferenceStep, DiskEntry } from "../../../../src/agent/files/difference.ts";
import { TreeFilter } from "../../../../src/builder/machine/tree-filter.ts";

const NONE = { s: 0, ns: 0 };
const entry = (kind: DiskEntry["kind"], path: string, target = ""): DiskEntry => ({
  ...{ kind, path, target, mode: 0o755, uid: 0, gid: 0, mtimeS: 0, size: 1, major: 0, minor: 0 },
  ...{ attributes: new Map(), opaque: false, same: false, version: "", ctime: NONE },
});
const TREE: readonly DifferenceStep[] = [
  { step: "entry", entry: entry("directory", "") },
  { step: "entry", entry: entry("directory", "a") },
  { step: "entry", entry: entry("directory", "a/empty") },
  { step: "entry", entry: entry("directory", "a/more") },
  ...file("a/more/x"),
  ...file("a/y"),
  { step: "entry", entry: entry("directory", "ab") },
  { step: "entry", entry: entry("link", "ab/x", "a/more/x") },
  { step: "entry", entry: entry("link", "ab/y", "a/y") },
];

function file(path: string): DifferenceStep[] {
  const data = Buffer.from(path);
  return [{ step: "entry", entry: entry("file", path) }, { step: "data", data }, { step: "end" }];
}

test.for<[string, RegExp, string[], string[]]>([
  ["all", /./, ["a", "a/empty", "a/more", "a/more/x", "=", "a/y", "=", "ab", "ab/x", "ab/y"], []],
  ["a file, with the directories above it", /^a\/more\/x$/, ["a", "a/more", "a/more/x", "="], []],
  ["a link whose first name is left out", /^a\/y$|^ab\//, ["a", "a/y", "=", "ab", "ab/y"], ["ab/x"]],
  ["a directory with nothing in it", /^a\/empty$/, ["a", "a/empty"], []],
  ["nothing", /^b$/, [], []],
])("of a tree is taken %s", ([, wanted, taken, withoutContent]) => {
  const filter = new TreeFilter((path) => wanted.test(path));
  const steps = TREE.flatMap((step) => [...filter.take(step)]);
  const names = steps.flatMap((step) =>
    step.step === "entry" ? [step.entry.path] : step.step === "data" ? ["="] : [],
  );
  expect(names).toEqual(taken);
  expect(filter.withoutContent).toEqual(withoutContent);
  expect(filter.taken > 0).toBe(taken.length > 0);
});
