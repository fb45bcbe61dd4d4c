import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { noteMonitor, readMonitorNote } from "../../../../src/host/monitor/monitor-note.ts";
import { monitorOf, monitorsAmong } from "../../../../src/host/monitor/monitors.ts";

test("what a monitor notes beside its lock is read again, and damage is no note", () => {
  const directory = mkdtempSync(join(tmpdir(), "smolvm-note-"));
  const lock = join(directory, "monitor.lock");
  expect(readMonitorNote(lock)).toBeUndefined();
  noteMonitor(lock, { pid: 4711, exit: "C:\\Users\\A B\\exit.json" });
  expect(readMonitorNote(lock)).toEqual({ pid: 4711, exit: "C:\\Users\\A B\\exit.json" });
  expect(monitorOf(lock)).toEqual([]); // nobody holds it
  writeFileSync(join(directory, "monitor.json"), '{"pid":"4711"}');
  expect(readMonitorNote(lock)).toBeUndefined();
  rmSync(directory, { recursive: true });
});

test("monitors are told by their command lines, and wrappers only where their monitor is gone", () => {
  const line = (pid: number, text: string) => ({ pid, args: text.split(" ") });
  const wrapper = (exit: string): string =>
    `/usr/bin/bwrap --setenv SMOLVM_EXIT ${exit} -- qemu --setenv SMOLVM_EXIT /no`;
  expect(
    monitorsAmong([
      line(1, "/m run --console /a/console.log --exit /a/exit.json --wrapped -- bwrap"),
      line(2, wrapper("/a/exit.json")),
      line(3, wrapper("/b/exit.json")),
      line(4, "qemu -- --setenv SMOLVM_EXIT /c/exit.json"),
    ]),
  ).toEqual([
    { pid: 1, exit: "/a/exit.json", stray: false },
    { pid: 3, exit: "/b/exit.json", stray: true },
  ]);
});
