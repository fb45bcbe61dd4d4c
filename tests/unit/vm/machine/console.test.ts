import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import type { VmFiles } from "../../../../src/host/files/filenames.ts";
import { vmFiles } from "../../../../src/host/files/filenames.ts";
import { readLog, tailOfLog } from "../../../../src/vm/machine/console.ts";
import { explainEnd } from "../../../../src/vm/machine/vmm-process.ts";

let directory: string;
let files: VmFiles;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "smolvm-console-"));
  files = {
    ...vmFiles(directory, directory, "box"),
    console: join(directory, "console.log"),
    exit: join(directory, "exit.json"),
  };
});
afterEach(() => rmSync(directory, { recursive: true }));

describe("a console", () => {
  test("is read across its rotation, oldest first", () => {
    writeFileSync(`${files.console}.1`, "one\ntwo\n");
    writeFileSync(files.console, "three\r\n\r\nfour");
    expect(readLog(files.console)).toBe("one\ntwo\nthree\r\n\r\nfour");
    expect(tailOfLog(files.console, 3)).toEqual(["two", "three", "four"]);
  });

  test("is read no further back than asked", () => {
    writeFileSync(`${files.console}.1`, "0123456789");
    writeFileSync(files.console, "abc");
    expect(readLog(files.console, 5)).toBe("89abc");
  });

  test("that was never written is empty", () => {
    expect(readLog(files.console)).toBe("");
  });
});

describe("the end of a machine", () => {
  const exit = (value: object): void => writeFileSync(files.exit, JSON.stringify(value));

  test("with the agent's goodbye and a clean exit was a stop", () => {
    exit({ code: 0, signal: null });
    writeFileSync(files.console, "smolvm-agent: ready\r\nsmolvm-agent: goodbye\r\n");
    expect(explainEnd(files)).toEqual({ kind: "stopped" });
  });

  test.each([
    [{ code: 0, signal: null }, "without a goodbye"],
    [{ code: null, signal: 9 }, "killed by signal 9"],
    [{ code: 1, signal: null }, "exited with code 1"],
  ])("as %j without one was a crash", (value, words) => {
    exit(value);
    expect(explainEnd(files)).toMatchObject({ kind: "crashed", message: expect.stringContaining(words) });
  });

  test.each([
    [
      "[  9.1] Kernel panic - not syncing: sysrq triggered crash\r\n[  9.2] CPU: 0\r\n---[ end Kernel panic - not syncing: sysrq triggered crash ]---\r\n",
      "the guest's kernel panicked: sysrq triggered crash",
    ],
    [
      "# reboot -f\r\n\u001b[31mrestarting\r\n",
      "the guest ended without a goodbye (a reset); its console ends: [31mrestarting",
    ],
    ["", "the guest ended without a goodbye (a reset)"],
  ])("after the console %j is told in its words", (console, message) => {
    exit({ code: 0, signal: null });
    writeFileSync(files.console, console);
    expect(explainEnd(files)).toEqual({ kind: "crashed", message });
  });

  test("of which nothing was written down was a crash", () => {
    expect(explainEnd(files)).toMatchObject({ kind: "crashed" });
  });
});
