import { expect, test } from "vitest";
import { processTable } from "../../../../src/cli/commands/ps.ts";

test("commands are a table: what runs, what has left something behind, and how much", () => {
  const now = Date.UTC(2026, 0, 2);
  const entry = {
    id: 3,
    pid: 300,
    argv: ["sh", "-c", "make"],
    running: true,
    exitCode: undefined,
    signal: undefined,
    detached: false,
    pty: false,
    startedAt: new Date(now - 65_000),
    user: "root",
    processes: 12,
  };
  const long = "x".repeat(100);
  expect(
    processTable(
      [
        entry,
        { ...entry, id: 14, running: false, exitCode: 0, processes: 690, argv: [long] },
        { ...entry, id: 15, running: false, signal: "SIGKILL", processes: undefined },
      ],
      now,
    ),
  ).toMatchInlineSnapshot(`
    "ID  STATE    PROCESSES  STARTED  USER  COMMAND
     3  running         12   1m ago  root  sh -c make
    14  exit 0         690   1m ago  root  xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx…
    15  SIGKILL          -   1m ago  root  sh -c make
    "
  `);
});
