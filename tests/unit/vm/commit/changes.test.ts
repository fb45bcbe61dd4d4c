import { describe, expect, test } from "vitest";
import type { DifferenceStep, DiskEntry } from "../../../../src/agent/files/difference.ts";
import { ContentMissing, LayerChanges, type Listing } from "../../../../src/vm/commit/changes.ts";

const entry = (path: string, more: Partial<DiskEntry> = {}): DifferenceStep => ({
  step: "entry",
  entry: {
    kind: "file",
    path,
    mode: 0o644,
    uid: 0,
    gid: 0,
    mtimeS: 1,
    size: 1,
    target: "",
    major: 0,
    minor: 0,
    attributes: new Map(),
    opaque: false,
    same: false,
    version: `${path} 1`,
    ctime: { s: 5, ns: 0 },
    ...more,
  },
});
const dir = (path: string, more: Partial<DiskEntry> = {}) => entry(path, { kind: "directory", ...more });
const file = (path: string, more: Partial<DiskEntry> = {}): DifferenceStep[] => [
  entry(path, more),
  ...(more.same ? [] : ([{ step: "data", data: Buffer.from("x") }, { step: "end" }] as const)),
];
const removed = (path: string): DifferenceStep => ({ step: "removed", path });
const ROOT = dir("");

/** What a layer is made of, one word for each thing; a file's content and end are seen to follow it. */
function layer(steps: readonly DifferenceStep[], before?: Listing): { made: string[]; listing: Listing } {
  const changes = new LayerChanges(before);
  const made: string[] = [];
  const all = [...steps.flatMap((step) => [...changes.take(step)]), ...changes.finish()];
  for (const [index, step] of all.entries()) {
    if (step.step === "data") expect(made.at(-1)).toMatch(/^file /);
    else if (step.step === "end") expect(all[index - 1]!.step).toBe("data");
    else if (step.step === "entry") made.push(`${step.entry.kind} ${step.entry.path}`);
    else made.push(`${step.step} ${step.path}`);
  }
  return { made, listing: changes.listing };
}

describe("a layer of all that a disk has", () => {
  test("is entries, whiteouts, and what is opaque", () => {
    const { made, listing } = layer([
      ROOT,
      dir("a"),
      removed("a/gone"),
      ...file("a/is"),
      dir("b", { opaque: true }),
      ...file("b/own"),
    ]);
    expect(made).toEqual([
      "directory ",
      "directory a",
      "whiteout a/gone",
      "file a/is",
      "directory b",
      "opaque b",
      "file b/own",
    ]);
    expect(listing.changedAt).toEqual({ s: 5, ns: 0 });
  });

  test("has nothing that smolvm writes into every sandbox", () => {
    const own = ["etc/hostname", "etc/hosts", "etc/machine-id", "etc/resolv.conf"].flatMap((path) =>
      file(path),
    );
    const steps = [ROOT, dir("etc"), ...own, dir("etc/ssh"), ...file("etc/ssh/ssh_host_rsa_key.pub")];
    expect(layer([...steps, ...file("etc/ssh/sshd_config")]).made).toEqual([
      "directory ",
      "directory etc",
      "directory etc/ssh",
      "file etc/ssh/sshd_config",
    ]);
  });
});

describe("a layer of what has changed", () => {
  const FIRST: readonly DifferenceStep[] = [
    ROOT,
    dir("d"),
    ...file("d/one"),
    ...file("d/two"),
    dir("e"),
    ...file("e/x"),
    removed("z"),
  ];
  const before = layer(FIRST).listing;
  const same = { same: true } as const;

  test.for<[string, readonly DifferenceStep[], string[]]>([
    [
      "nothing",
      [
        ROOT,
        dir("d"),
        ...file("d/one", same),
        ...file("d/two"),
        dir("e"),
        ...file("e/x", same),
        removed("z"),
      ],
      [],
    ],
    [
      "a file, with the directory that it is in",
      [
        ROOT,
        dir("d"),
        ...file("d/one", same),
        ...file("d/two", { version: "2" }),
        dir("e"),
        ...file("e/x", same),
        removed("z"),
      ],
      ["directory d", "file d/two"],
    ],
    [
      "what was made and is gone again",
      [ROOT, dir("d"), ...file("d/one", same), removed("e"), removed("z")],
      ["whiteout e", "whiteout d/two"],
    ],
    [
      "a directory's own mode",
      [
        ROOT,
        dir("d", { mode: 0o700 }),
        ...file("d/one", same),
        ...file("d/two", same),
        dir("e"),
        ...file("e/x", same),
        removed("z"),
      ],
      ["directory d"],
    ],
    [
      "a directory that is another now: all of it",
      [ROOT, dir("d", { opaque: true }), ...file("d/one"), dir("e"), ...file("e/x", same), removed("z")],
      ["directory d", "opaque d", "file d/one"],
    ],
    [
      "a file where a directory was",
      [ROOT, ...file("d", { version: "d 1" }), dir("e"), ...file("e/x", same), removed("z")],
      ["file d"],
    ],
    [
      "one more name of what has changed, and of what has not",
      [
        ROOT,
        dir("d"),
        ...file("d/one", { version: "3" }),
        ...file("d/two", same),
        dir("e"),
        entry("e/link", { kind: "link", target: "d/one", version: "" }),
        ...file("e/x", same),
        removed("z"),
      ],
      ["directory d", "file d/one", "directory e", "link e/link"],
    ],
  ])("%s", ([, steps, expected]) => {
    expect(layer(steps, before).made).toEqual(expected);
  });

  test("asks for content that it needs and was not given", () => {
    const changes = new LayerChanges(before);
    const take = (steps: readonly DifferenceStep[]) => steps.map((step) => [...changes.take(step)]);
    take([ROOT, dir("d")]);
    expect(() => take(file("d/one", { same: true, version: "2" }))).toThrow(ContentMissing);
  });

  test("is over the disk as it was when it was looked at, though nothing was made of that", () => {
    const looked = new LayerChanges();
    for (const step of FIRST) looked.note(step);
    expect(layer(FIRST, looked.listing).made).toEqual([]);
  });
});
