import { expect, test } from "vitest";
import { prunable } from "../../../../src/images/store/prune.ts";

const HOUR = 3_600_000;
const NOW = 100 * HOUR;
const file = (name: string, hoursAgo: number, sizeBytes: number) => ({
  name,
  usedAt: NOW - hoursAgo * HOUR,
  sizeBytes,
});
const FILES = [file("new", 1, 100), file("old", 30, 100), file("older", 50, 100)];
const names = (limits: Parameters<typeof prunable>[1]) =>
  prunable(FILES, limits, NOW).map(({ name }) => name);

test("all that is not used goes where nothing is said, the oldest first", () => {
  expect(names({})).toEqual(["older", "old", "new"]);
});

test("what is newer stays, and as much as is to be kept, the newest of it", () => {
  expect(names({ olderThanMs: 24 * HOUR })).toEqual(["older", "old"]);
  expect(names({ keepBytes: 250 })).toEqual(["older"]);
  expect(names({ keepBytes: 200 })).toEqual(["older"]);
  expect(names({ keepBytes: 199 })).toEqual(["older", "old"]);
  expect(names({ keepBytes: 300 })).toEqual([]);
  expect(names({ olderThanMs: 24 * HOUR, keepBytes: 50 })).toEqual(["older", "old"]);
});

test("what an image has goes with the last of those, and never before it", () => {
  const [new_, older] = [file("new", 1, 100), file("older", 50, 100)];
  const files = [
    { ...new_, path: "new" },
    { ...older, path: "older" },
    { ...file("of both", 60, 10), path: "1", neededBy: ["new", "older"] },
    { ...file("of the older", 60, 10), path: "2", neededBy: ["older"] },
  ];
  const which = (limits: Parameters<typeof prunable>[1]) =>
    prunable(files, limits, NOW).map(({ name }) => name);
  expect(which({})).toEqual(["older", "new", "of both", "of the older"]);
  expect(which({ olderThanMs: 24 * HOUR })).toEqual(["older", "of the older"]);
});
