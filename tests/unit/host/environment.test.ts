import { expect, test } from "vitest";
import { readEnvironment } from "../../../src/host/environment.ts";

test("an empty variable is an unset one", () => {
  const env = readEnvironment({ SMOLVM_HOME: "", SMOLVM_BACKEND: "", SMOLVM_QEMU: "/opt/qemu" });
  expect(env.home).toBeUndefined();
  expect(env.backend).toBeUndefined();
  expect(env.qemu).toBe("/opt/qemu");
});

test("on Windows the profile takes the place of the home directory", () => {
  expect(readEnvironment({ USERPROFILE: "C:\\Users\\a", Path: "C:\\bin" })).toMatchObject({
    userHome: "C:\\Users\\a",
    path: "C:\\bin",
  });
});
