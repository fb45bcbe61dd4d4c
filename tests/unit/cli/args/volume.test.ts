import { expect, test } from "vitest";
import { parseVolume } from "../../../../src/cli/args/volume.ts";

test("-v", () => {
  expect(parseVolume("./src:/work", false)).toEqual({ host: "./src", guest: "/work" });
  expect(parseVolume("a:b:/work:overlay", true)).toEqual({
    host: "a:b",
    guest: "/work",
    mode: "overlay",
    shareAnyway: true,
  });
  for (const text of ["src", "src:work", ":/work", "src:/work:write", "src:/work:"])
    expect(() => parseVolume(text, false), text).toThrow(expect.objectContaining({ code: "USAGE" }));
});
