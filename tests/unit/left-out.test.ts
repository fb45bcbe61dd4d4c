import { existsSync } from "node:fs";
import { expect, test } from "vitest";
import { LEFT_OUT as ON_BUSYBOX } from "../contract/left-out.ts";
import { fileLeftOut, type LeftOut, leftOut } from "../helpers/left-out.ts";
import { LEFT_OUT as ON_WINDOWS } from "../windows/left-out.ts";

const LIST: readonly LeftOut[] = [
  { file: "a.test.ts", name: /first/, why: "one" },
  { file: "b.test.ts", why: "all" },
  { file: "a.test.ts", name: /first|second/, why: "another" },
];

test("the first of a list that names a test says why it is left out", () => {
  const of = (file: string, name: string) => leftOut(LIST, file, name);
  expect([of("a.test.ts", "the first"), of("a.test.ts", "the second"), of("a.test.ts", "the third")]).toEqual(
    ["one", "another", undefined],
  );
  expect([of("b.test.ts", "any"), of("c.test.ts", "the first")]).toEqual(["all", undefined]);
  expect(["a", "b", "c"].map((name) => fileLeftOut(LIST, `${name}.test.ts`))).toEqual([
    undefined,
    "all",
    undefined,
  ]);
});

test.each([...ON_BUSYBOX, ...ON_WINDOWS])("$file is there", ({ file }) => {
  expect(existsSync(file)).toBe(true);
});
