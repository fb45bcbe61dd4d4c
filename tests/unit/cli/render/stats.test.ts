import { expect, test } from "vitest";
import { statsTable } from "../../../../src/cli/commands/stats.ts";

test("stats are a table, with dashes for what is not known", () => {
  const common = { id: "0", vcpuCount: 1, memSizeMib: 512, diskSizeMib: 2048 };
  const none = { pid: undefined, memoryBytes: undefined, memoryKind: undefined, cpuTimeMs: undefined };
  expect(
    statsTable([
      {
        ...common,
        ...{ name: "box", state: "running", pid: 7, memoryBytes: 130 * 2 ** 20, memoryKind: "pss" },
        ...{ cpuTimeMs: 3250, diskBytes: 40 * 2 ** 20 },
      },
      { ...common, ...none, name: "other", state: "stopped", diskBytes: undefined },
      { ...common, ...none, name: "busy", state: "running", cpuTimeMs: 3_900_000, diskBytes: 0 },
    ]),
  ).toBe(
    [
      "NAME   STATE    CPU TIME       MEMORY      DISK",
      "box    running      3.3s  130M / 512M  40M / 2G",
      "other  stopped         -     - / 512M    - / 2G",
      "busy   running     1h 5m     - / 512M   0B / 2G",
      "",
    ].join("\n"),
  );
});
