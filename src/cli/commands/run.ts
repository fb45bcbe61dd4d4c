import type { VMConfig } from "../../config/options.ts";
import { SmolVM } from "../../smolvm.ts";
import { environment } from "../args/environment.ts";
import { COMMAND_OPTIONS, COMMON_OPTIONS, SANDBOX_OPTIONS } from "../args/options.ts";
import { usage } from "../args/parse.ts";
import { gdbNote, sandboxConfig } from "../args/sandbox-config.ts";
import type { Arguments } from "../arguments.ts";
import type { Command, CommandSpec, Outcome } from "../command.ts";
import { commandOptions, runGuestCommand } from "../guest/command.ts";
import { withCommandHint } from "../guest/hints.ts";
import type { Io } from "../io.ts";

const spec: CommandSpec = {
  name: "run",
  usage: "[OPTIONS] [--] COMMAND [ARGUMENT...]",
  operands: { min: 0, max: 0, what: "the command" },
  trailing: true,
  options: [...SANDBOX_OPTIONS, ...COMMAND_OPTIONS, ...COMMON_OPTIONS],
  exit: "guest",
  notes: [
    "The sandbox is new, lives as long as the command, and is deleted with everything in it. The command is executed as it is; for a shell write: sh -c '...'. With -t and no command you get a login shell.",
  ],
  examples: [
    "smolvm run -- echo hello",
    "smolvm run --network off --memory 1G -- python3 -c 'print(6*7)'",
    "smolvm run -it",
    "cat script.py | smolvm run -- python3 -",
  ],
};

async function runCommand(io: Io, args: Arguments): Promise<Outcome> {
  const options = await commandOptions(io, args, spec);
  if (args.trailing.length === 0 && !options.tty) {
    throw usage(
      spec,
      "the command is missing",
      "Say what to run: smolvm run -- echo hello (or smolvm run -it for a shell)",
    );
  }
  const config = sandboxConfig(args, await environment(io, args));
  const vm = await SmolVM.create({
    ...config,
    lifetime: "owner",
    onProgress: io.onProgress,
    signal: io.interrupts.signal,
  } satisfies VMConfig & { signal: AbortSignal });
  let outcome: Outcome;
  try {
    io.endProgress();
    if (config.gdbPort !== undefined) io.note(gdbNote(config.gdbPort));
    for (const forward of vm.ports.list()) {
      io.note(
        `forwarding ${forward.hostAddress}:${forward.hostPort} -> port ${forward.guestPort} of the sandbox`,
      );
    }
    outcome = await runGuestCommand(vm, args.trailing, options, io);
  } catch (error) {
    await vm.delete({ force: true }).catch(() => {}); // the first failure is the one to tell
    throw withCommandHint(error, "smolvm run", args.trailing);
  }
  await vm.delete({ force: true });
  return outcome;
}

export const run: Command = { spec, run: runCommand };
