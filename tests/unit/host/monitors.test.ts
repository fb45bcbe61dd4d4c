import { expect, test } from "vitest";
import { parseCimProcesses } from "../../../src/host/monitors.ts";

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
