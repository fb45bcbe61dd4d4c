import { environment } from "../args/environment.ts";
import { COMMON_OPTIONS, FIXED_OPTIONS, PLACE_OPTIONS } from "../args/options.ts";
import { usage } from "../args/parse.ts";
import type { Arguments } from "../arguments.ts";
import type { Command, CommandSpec, Outcome } from "../command.ts";
import { runGuestCommand } from "../guest/command.ts";
import { runningSandbox } from "../guest/running.ts";
import { requireTerminal } from "../guest/terminal-session.ts";
import type { Io } from "../io.ts";

const spec: CommandSpec = {
  name: "shell",
  usage: "[OPTIONS] NAME",
  operands: { min: 1, max: 1, what: "the sandbox's name", complete: "sandboxes" },
  options: [...PLACE_OPTIONS, ...COMMON_OPTIONS],
  fixed: FIXED_OPTIONS,
  exit: "guest",
  notes: ["If the guest no longer answers: Ctrl-] three times within a second leaves."],
  examples: ["smolvm shell box", "smolvm shell --user nobody --workdir /tmp box"],
};

async function shellCommand(io: Io, args: Arguments): Promise<Outcome> {
  const name = args.operands[0]!;
  if (io.json)
    throw usage(
      spec,
      "shell has no result to print as JSON",
      `Run a command: smolvm exec --json ${name} -- ls`,
    );
  requireTerminal("shell", `Run a command instead: smolvm exec ${name} -- sh -c '...'`);
  const env = await environment(io, args);
  const vm = await runningSandbox(name);
  try {
    const options = { tty: true, interactive: true, timeoutMs: undefined, env };
    const all = { ...options, cwd: args.value("workdir"), user: args.value("user") };
    return await runGuestCommand(vm, [], all, io);
  } finally {
    await vm[Symbol.asyncDispose]();
  }
}

export const shell: Command = { spec, run: shellCommand };
