import type { ProcessInfo } from "../../agent/types.ts";
import { COMMON_OPTIONS } from "../args/options.ts";
import { usage } from "../args/parse.ts";
import type { Arguments } from "../arguments.ts";
import type { Command, CommandSpec, Outcome } from "../command.ts";
import { runningSandbox } from "../guest/running.ts";
import type { Io } from "../io.ts";
import { renderTable } from "../render/table.ts";
import { formatUptime } from "../render/units.ts";

const spec: CommandSpec = {
  name: "ps",
  usage: "[OPTIONS] NAME",
  operands: { min: 0, max: 1, what: "the sandbox's name", complete: "sandboxes" },
  options: [
    { name: "all", short: "a", help: "also detached commands of which nothing is left" },
    ...COMMON_OPTIONS,
  ],
  exit: "plain",
  notes: [
    "The commands that smolvm started in the sandbox, whoever did, and how many processes there are of each, threads included. A command that has ended is listed as long as something runs that it left in the background: smolvm kill NAME ID ends that. With --quiet only the ids, one a line.",
  ],
  examples: ["smolvm ps box", "smolvm kill box $(smolvm ps -q box)"],
};

async function psCommand(io: Io, args: Arguments): Promise<Outcome> {
  const name = args.operands[0];
  if (name === undefined) {
    // Docker's ps lists what our ls does.
    throw usage(
      spec,
      "the sandbox's name is missing",
      "Say which: smolvm ps NAME. The sandboxes themselves: smolvm ls",
    );
  }
  const vm = await runningSandbox(name);
  try {
    const all = await vm.processes.list({ signal: io.interrupts.signal });
    const listed = args.flag("all") ? all : all.filter((entry) => entry.running || entry.processes !== 0);
    return {
      data: listed,
      text: () => (io.quiet ? listed.map(({ id }) => `${id}\n`).join("") : processTable(listed, Date.now())),
    };
  } finally {
    await vm[Symbol.asyncDispose]();
  }
}

/** The table of a sandbox's commands. `now`: ms since the epoch. Pure. */
export function processTable(processes: readonly ProcessInfo[], now: number): string {
  return renderTable(
    [
      { head: "ID", align: "right" },
      { head: "STATE" },
      { head: "PROCESSES", align: "right" },
      { head: "STARTED", align: "right" },
      { head: "USER" },
      { head: "COMMAND" },
    ],
    processes.map((entry) => [
      String(entry.id),
      entry.running ? "running" : (entry.signal ?? `exit ${entry.exitCode}`),
      entry.processes === undefined ? "-" : String(entry.processes),
      `${formatUptime(Math.max(0, now - entry.startedAt.getTime()))} ago`,
      entry.user,
      oneLine(entry.argv),
    ]),
  );
}

/** Most of a command line that a table shows. */
const MAX_COMMAND = 60;

function oneLine(argv: readonly string[]): string {
  const line = argv.join(" ");
  return line.length <= MAX_COMMAND ? line : `${line.slice(0, MAX_COMMAND - 1)}…`;
}

export const ps: Command = { spec, run: psCommand };
