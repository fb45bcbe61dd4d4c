import { COMMON_OPTIONS } from "../args/options.ts";
import { usage } from "../args/parse.ts";
import type { Arguments } from "../arguments.ts";
import type { Command, CommandSpec, Outcome } from "../command.ts";
import { forEachName } from "../each.ts";
import { runningSandbox } from "../guest/running.ts";
import type { Io } from "../io.ts";

const spec: CommandSpec = {
  name: "kill",
  usage: "[OPTIONS] NAME ID...",
  operands: {
    min: 2,
    max: Number.POSITIVE_INFINITY,
    what: "the sandbox's name and a command's id",
    complete: "sandboxes",
  },
  options: [
    { name: "signal", short: "s", value: "SIGNAL", help: "send that instead of KILL: TERM, HUP, 15" },
    ...COMMON_OPTIONS,
  ],
  exit: "plain",
  notes: [
    "Ends commands in a sandbox, each with all that it started, also what has left its session or lost its parent, and what a command that has ended left in the background. The ids are those of smolvm ps. It returns when the sandbox's kernel says that nothing of them is left; with another signal, when that was sent.",
  ],
  examples: ["smolvm kill box 3", "smolvm kill -s TERM box 3 4", "smolvm kill box $(smolvm ps -q box)"],
};

async function killCommand(io: Io, args: Arguments): Promise<Outcome> {
  const [name, ...ids] = args.operands as [string, ...string[]];
  for (const id of ids) {
    if (!/^\d{1,10}$/.test(id))
      throw usage(spec, `'${id}' is not a command's id`, `See them: smolvm ps ${name}`);
  }
  const vm = await runningSandbox(name);
  try {
    const killed = await forEachName(ids, async (id) => {
      const options = { tree: true, signal: io.interrupts.signal };
      await vm.processes.kill(
        Number(id),
        (args.value("signal") as NodeJS.Signals | undefined) ?? "SIGKILL",
        options,
      );
      return { id: Number(id) };
    });
    return { data: killed };
  } finally {
    await vm[Symbol.asyncDispose]();
  }
}

export const kill: Command = { spec, run: killCommand };
