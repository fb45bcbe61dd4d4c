import type { Arguments } from "../args/arguments.ts";
import { COMMAND_OPTIONS, COMMON_OPTIONS } from "../args/options.ts";
import { parseEnv } from "../args/pairs.ts";
import { usage } from "../args/parse.ts";
import type { Command, CommandSpec, Outcome } from "../command.ts";
import { commandOptions, runGuestCommand } from "../guest/command.ts";
import { withCommandHint } from "../guest/hints.ts";
import { runningSandbox } from "../guest/running.ts";
import type { Io } from "../io.ts";

const spec: CommandSpec = {
  name: "exec",
  usage: "[OPTIONS] NAME [--] COMMAND [ARGUMENT...]",
  operands: { min: 1, max: 1, what: "the sandbox's name", complete: "sandboxes" },
  trailing: true,
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
    ...COMMAND_OPTIONS,
    ...COMMON_OPTIONS,
  ],
  exit: "guest",
  notes: ["The command is executed as it is; for a shell write: sh -c '...'."],
  examples: [
    "smolvm exec box -- ls -la /",
    "smolvm exec --timeout 10s --workdir /srv box -- make test",
    "smolvm exec -it box -- python3",
    "tar -c . | smolvm exec box -- tar -x -C /srv",
  ],
};

async function execCommand(io: Io, args: Arguments): Promise<Outcome> {
  const options = await commandOptions(io, args, spec);
  const name = args.operands[0]!;
  if (args.trailing.length === 0) {
    throw usage(
      spec,
      "the command is missing",
      `Say what to run: smolvm exec ${name} -- ls (or smolvm shell ${name})`,
    );
  }
  const { env, unset } = parseEnv(args.values("env"), io.env);
  for (const variable of unset)
    io.note(`note: ${variable} is not set here, so --env ${variable} sets nothing`);
  const vm = await runningSandbox(name);
  const all = { ...options, env, cwd: args.value("workdir"), user: args.value("user") };
  try {
    return await runGuestCommand(vm, args.trailing, all, io);
  } catch (error) {
    throw withCommandHint(error, `smolvm exec ${name}`, args.trailing);
  } finally {
    await vm[Symbol.asyncDispose]();
  }
}

export const exec: Command = { spec, run: execCommand };
