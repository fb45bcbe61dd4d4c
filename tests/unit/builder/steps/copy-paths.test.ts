import { expect, test } from "vitest";
import { inImage } from "../../../../src/builder/steps/copy-paths.ts";

test.for<[string | undefined, string, string]>([
  [undefined, "a", "/a"],
  ["/w", "a/", "/w/a/"],
  ["/w", ".", "/w/"],
  ["/w", "./", "/w/"],
  ["/w", "/a", "/a"],
  ["/w", "../a", "/a"],
])("in %s the path %s is %s", ([workdir, path, expected]) => {
  expect(inImage(workdir, path)).toBe(expected);
});
