/**
 * What a user sees of a Firecracker that does not do its work, and what it leaves: nothing. Needs a KVM: without one, no
 * Firecracker is ever started. The parts of it: tests/integration/backends/firecracker-*.test.ts.
 */
import { chmodSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, describe, expect, test } from "vitest";
import { cliJson } from "../../helpers/cli.ts";
import { leftovers, useTempHome } from "../../helpers/home.ts";

const home = useTempHome();
const FAKE = join(import.meta.dirname, "../../helpers/fake-firecracker.ts");
const SMALL = ["--backend", "firecracker", "--network", "off", "--memory", "256M"];

afterEach(async () => {
  expect((await cliJson(["ls"])).data).toEqual([]);
  expect(leftovers(home)).toEqual({ processes: [], directories: [], sockets: [] });
});

/** Creates and starts a sandbox with that Firecracker, or with the lab's own: the error. */
async function failure(firecracker: string | undefined, options: readonly string[] = [], env = {}) {
  // What a stand-in is made of lies all over the machine: without bubblewrap in PATH nothing hides that from it.
  const other = firecracker === undefined ? {} : { SMOLVM_FIRECRACKER: firecracker, PATH: home };
  const run = await cliJson(["create", "--start", ...SMALL, ...options], { env: { ...other, ...env } });
  expect(run.ok).toBe(false);
  return run.error;
}

/** A program that says the right version, and then does this. */
function impostor(script: string): string {
  const path = join(home, "firecracker");
  writeFileSync(path, `#!/bin/sh\n[ "$1" = --version ] && echo 'Firecracker v1.16.2' && exit\n${script}\n`);
  chmodSync(path, 0o755);
  return path;
}
const fake = (setting: string): string => impostor(`${setting} exec '${process.execPath}' '${FAKE}' "$@"`);

describe("a Firecracker", () => {
  test("that is some other program is refused, with the command that shows what it says", async () => {
    expect(await failure("/bin/true")).toMatchObject({
      code: "BACKEND_UNAVAILABLE",
      message: expect.stringContaining("/bin/true says no version of Firecracker"),
      hint: expect.stringContaining("/bin/true --version"),
    });
  });

  test("that is too old is refused, with the reason and what installs another", async () => {
    expect(await failure(undefined, [], { SMOLVM_ALLOW_OLD_FIRECRACKER: undefined })).toMatchObject({
      code: "BACKEND_UNAVAILABLE",
      message: expect.stringContaining("CVE-2026-1386"),
      hint: expect.stringContaining("smolvm setup"),
    });
  });

  test("that ends at once is told with its words", async () => {
    expect(await failure(impostor("echo it is broken >&2; exit 3"))).toMatchObject({
      code: "VMM_FAILED",
      message: expect.stringContaining("it is broken"),
    });
  });

  test("that never opens its API, or never answers, is given up in time", async () => {
    const time = ["--timeout", "10s"];
    for (const silent of [impostor("exec /bin/sleep 600"), fake("FAKE_FIRECRACKER_IGNORES=/boot-source")])
      expect(await failure(silent, time)).toMatchObject({ code: expect.stringMatching(/TIMEOUT$/) });
  });

  test("that refuses something is told with its words", async () => {
    expect(await failure(fake("FAKE_FIRECRACKER_REFUSES=/machine-config"))).toMatchObject({
      code: "VMM_FAILED",
      message: expect.stringContaining("The vCPU number is invalid!"),
    });
  });

  test("that is asked to boot a program as a kernel is told in time, with what it says", async () => {
    const error = await failure(undefined, ["--kernel", process.execPath]);
    expect(error).toMatchObject({ code: "IMAGE_INVALID", hint: expect.stringContaining("kernel") });
  });
});
