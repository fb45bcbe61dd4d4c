import { expect, test } from "vitest";
import { commandResult } from "../../../src/doctor/checks/command.ts";

const judge = (real: string, start = "") =>
  commandResult({ path: "/usr/bin/smolvm", real, start, own: "/src/smolvm" }, "the fix");

test("the smolvm of this package is the one to run, by whatever link", () => {
  expect(judge("/src/smolvm/bin/smolvm")).toEqual({
    name: "Command",
    status: "pass",
    detail: "/usr/bin/smolvm",
  });
});

test("another copy is named, also behind a script", () => {
  for (const found of [
    judge("/usr/lib/node_modules/smolvm/dist/cli/bin.js"),
    judge("/opt/bin/smolvm", '#!/bin/sh\nexec node "$basedir/../smolvm/dist/cli/bin.js" "$@"'),
  ])
    expect(found).toMatchObject({
      status: "warn",
      detail: expect.stringContaining("another copy"),
      fix: "the fix",
    });
});

test("another program of that name is named", () => {
  for (const found of [judge("/usr/bin/smolvm", "\x7fELF"), judge("/src/smolvm-other/bin/smolvm")])
    expect(found).toMatchObject({
      status: "warn",
      detail: expect.stringContaining("another program"),
      fix: "the fix",
    });
});
