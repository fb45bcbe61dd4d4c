import { describe, expect, test } from "vitest";
import { SmolVMError } from "../../../src/errors.ts";
import { isNoSpace, orNoSpace } from "../../../src/util/no-space.ts";

describe("what a full disk looks like", () => {
  test.each<[string, unknown]>([
    ["Node's errno", Object.assign(new Error("write"), { code: "ENOSPC" })],
    ["a quota's", Object.assign(new Error("write"), { code: "EDQUOT" })],
    ["a program's words", new Error("tar: out: Cannot write: No space left on device")],
    ["ours", new SmolVMError("HOST_FAILED", "smolvm-monitor failed: /x: No room (os error 28)")],
  ])("%s", (_, error) => {
    expect(isNoSpace(error)).toBe(true);
    expect(orNoSpace(error, "no space left for it", "/data")).toMatchObject({
      code: "NO_SPACE",
      message: "no space left for it",
      hint: "Free some space: df -h '/data'",
      cause: error,
    });
  });

  test.each<[string, unknown]>([
    ["another errno", Object.assign(new Error("write"), { code: "EIO" })],
    ["another program's", new Error("x (os error 280)")],
    ["what is no error", undefined],
    ["what says so already", new SmolVMError("NO_SPACE", "no space left")],
  ])("not %s", (_, error) => {
    expect(orNoSpace(error, "no space left for it", "/data")).toBe(error);
  });
});
