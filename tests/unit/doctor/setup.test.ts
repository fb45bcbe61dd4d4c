import { describe, expect, test } from "vitest";
import { needsRoot, type SetupRequest, setupOptions, setupScript } from "../../../src/doctor/setup.ts";
import { readSteps, setupFailed } from "../../../src/doctor/setup-steps.ts";

const REQUEST: SetupRequest = {
  mode: "apply",
  uninstall: false,
  configureRuntime: false,
  user: undefined,
  privateNetworks: undefined,
  firecrackerArchive: undefined,
};

describe("setting up", () => {
  test("takes the platform's script, and there is none for Windows", () => {
    expect(setupScript("linux")).toMatch(/\/scripts\/system-setup\.sh$/);
    expect(setupScript("darwin")).toMatch(/\/scripts\/system-setup-macos\.sh$/);
    expect(() => setupScript("win32")).toThrow(expect.objectContaining({ code: "NOT_SUPPORTED" }));
  });

  test("gives the script its options", () => {
    expect(setupOptions(REQUEST)).toEqual([]);
    expect(
      setupOptions({
        ...REQUEST,
        mode: "dry-run",
        configureRuntime: true,
        user: "ann",
        privateNetworks: "open",
        firecrackerArchive: "a b.tgz",
      }),
    ).toEqual([
      "--dry-run",
      "--configure-runtime",
      "--user",
      "ann",
      "--private-networks",
      "open",
      "--firecracker-archive",
      "a b.tgz",
    ]);
    expect(setupOptions({ ...REQUEST, uninstall: true })).toEqual(["--uninstall"]);
  });

  test("needs root only to change a Linux machine", () => {
    expect(needsRoot(REQUEST, "linux", 1000)).toBe(true);
    expect(needsRoot(REQUEST, "linux", 0)).toBe(false);
    expect(needsRoot({ ...REQUEST, mode: "check" }, "linux", 1000)).toBe(false);
    expect(needsRoot(REQUEST, "darwin", 501)).toBe(false);
  });

  test("reads the script's lines, and passes over what is none of them", () => {
    expect(readSteps("ok       a b\nmissing  c\n         see: x\nnote     d\nokay then\n")).toEqual([
      { status: "ok", text: "a b" },
      { status: "missing", text: "c" },
      { status: "note", text: "d" },
    ]);
  });

  test("fails in the script's own words, with its remedies as the hint", () => {
    const end = { code: 1, signal: undefined };
    const error = setupFailed(["bash", "x"], {
      ...end,
      stderr: "error    no disk\n         df -h\n         rm x\n",
    });
    expect(error).toMatchObject({ code: "HOST_FAILED", message: "no disk", hint: "df -h\n      rm x" });
    expect(setupFailed(["bash"], { ...end, stderr: "bash: oops\n" })).toMatchObject({
      message: "bash: oops",
    });
    expect(setupFailed(["bash"], { ...end, stderr: "" }).message).toBe("the set-up script failed");
  });
});
