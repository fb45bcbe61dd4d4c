import { environment } from "../args/environment.ts";
import { COMMAND_OPTIONS, COMMON_OPTIONS, FIXED_OPTIONS, PLACE_OPTIONS } from "../args/options.ts";
import { usage } from "../args/parse.ts";
import type { Arguments } from "../arguments.ts";
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
  options: [...PLACE_OPTIONS, ...COMMAND_OPTIONS, ...COMMON_OPTIONS],
  fixed: FIXED_OPTIONS,
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
  const env = await environment(io, args);
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
