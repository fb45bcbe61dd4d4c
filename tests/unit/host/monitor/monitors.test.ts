import { expect, test } from "vitest";
import { monitorsAmong, parseCimProcesses } from "../../../../src/host/monitor/monitors.ts";

test("Windows' list of processes gives each one's words, and leaves out what it does not show us", () => {
  const json = JSON.stringify([
    { ProcessId: 4, CommandLine: null },
    {
      ProcessId: 4711,
      CommandLine:
        '"C:\\Program Files\\nodejs\\node.exe" monitor.js run --exit "C:\\Users\\A B\\smolvm\\vms\\x\\exit.json" -- qemu',
    },
  ]);
  expect(parseCimProcesses(json)).toEqual([
    {
      pid: 4711,
      args: [
        "C:\\Program Files\\nodejs\\node.exe",
        "monitor.js",
        "run",
        "--exit",
        "C:\\Users\\A B\\smolvm\\vms\\x\\exit.json",
        "--",
        "qemu",
      ],
    },
  ]);
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
