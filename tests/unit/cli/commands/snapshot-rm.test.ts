import { expect, test } from "vitest";
import { topFirst } from "../../../../src/cli/commands/snapshot-rm.ts";

test("snapshots that lie over others are removed before these, in whichever order they are named", () => {
  const pile = [{ name: "a" }, { name: "b", base: "a" }, { name: "c", base: "b" }, { name: "x" }];
  expect(topFirst(["a", "x", "c", "b"], pile)).toEqual(["c", "b", "a", "x"]);
  expect(topFirst(["x", "missing", "a"], pile)).toEqual(["x", "missing", "a"]);
  expect(
    topFirst(
      ["a", "b"],
      [
        { name: "a", base: "b" },
        { name: "b", base: "a" },
      ],
    ),
  ).toHaveLength(2);
});
