import { expect, test } from "vitest";
import { outsideProfile } from "../../../src/doctor/checks/storage.ts";

const PROFILE = "C:\\Users\\ann";

test("directories below the user's profile are private on Windows", () => {
  const inside = ["C:\\Users\\ann\\AppData\\Local\\smolvm", "c:/users/Ann/AppData/Local/Temp/smolvm-1"];
  expect(outsideProfile(inside, "win32", PROFILE)).toBeUndefined();
});

test.each(["D:\\smolvm", "C:\\Users\\anna\\smolvm", "C:\\Windows\\Temp\\smolvm-1", "C:\\Users\\ann\\..\\x"])(
  "%s may not be",
  (path) => {
    expect(outsideProfile(["C:\\Users\\ann\\x", path], "win32", PROFILE)).toMatchObject({
      status: "warn",
      fix: expect.stringContaining(`icacls "${path}"`),
    });
  },
);

test("elsewhere modes say it", () => {
  expect(outsideProfile(["/srv"], "linux", "/home/ann")).toBeUndefined();
});
