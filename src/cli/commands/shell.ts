import type { Arguments } from "../args/arguments.ts";
import { COMMON_OPTIONS } from "../args/options.ts";
import { parseEnv } from "../args/pairs.ts";
import { usage } from "../args/parse.ts";
import type { Command, CommandSpec, Outcome } from "../command.ts";
import { runGuestCommand } from "../guest/command.ts";
import { runningSandbox } from "../guest/running.ts";
import type { Io } from "../io.ts";
import { requireTerminal } from "../terminal/session.ts";
import { noteUnset } from "./run.ts";

const spec: CommandSpec = {
  name: "shell",
  usage: "[OPTIONS] NAME",
  operands: { min: 1, max: 1, what: "the sandbox's name", complete: "sandboxes" },
  options: [
    {
      name: "env",
      short: "e",
      value: "K=V",
      repeat: true,
      help: "environment variable; K alone: your value",
    },
    { name: "workdir", short: "w", value: "DIR", help: "working directory" },
    { name: "user", short: "u", value: "USER", help: "user: name, uid, name:group or uid:gid" },
    ...COMMON_OPTIONS,
  ],
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
  const { env, unset } = parseEnv(args.values("env"), io.env);
  noteUnset(io, unset);
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
