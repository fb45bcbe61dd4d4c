import type { VMConfig } from "../../config/options.ts";
import type { SmolVMError } from "../../errors.ts";
import { isOwnImage } from "../../images/store/reference.ts";
import { SmolVM } from "../../smolvm.ts";
import { environment } from "../args/environment.ts";
import { BRING_OPTION, COMMAND_OPTIONS, COMMON_OPTIONS, SANDBOX_OPTIONS } from "../args/options.ts";
import { usage } from "../args/parse.ts";
import { parseBrings } from "../args/port.ts";
import { gdbNote, notPublished, sandboxConfig } from "../args/sandbox-config.ts";
import { flagOf } from "../args/words.ts";
import type { Arguments } from "../arguments.ts";
import type { Command, CommandSpec, Outcome } from "../command.ts";
import { commandOptions, type GuestCommandOptions, runGuestCommand } from "../guest/command.ts";
import { withCommandHint } from "../guest/hints.ts";
import type { Io } from "../io.ts";

const spec: CommandSpec = {
  name: "run",
  usage: "[OPTIONS] [--] [COMMAND [ARGUMENT...]]",
  operands: { min: 0, max: 0, what: "the command" },
  trailing: true,
  options: [
    ...SANDBOX_OPTIONS,
    BRING_OPTION,
    { name: "entrypoint", value: "PROGRAM", help: "what to execute, with the command as its arguments" },
    { name: "pool", value: "NAME", help: "take a sandbox that waits in a pool (smolvm pool create)" },
    ...COMMAND_OPTIONS,
    ...COMMON_OPTIONS,
  ],
  exit: "guest",
  notes: [
    "The sandbox is new, lives as long as the command, and is deleted with everything in it. The command is executed as it is; for a shell write: sh -c '...'. Without a command an image of a registry runs what it names (its entrypoint and command); with -t and neither you get a login shell.",
  ],
  examples: [
    "smolvm run -- echo hello",
    "smolvm run --network off --memory 1G -- python3 -c 'print(6*7)'",
    "smolvm run --network off -R 80:127.0.0.1:11434 -- curl http://localhost/",
    "smolvm run --image python:3.12 -- python -c 'print(42)'",
    "smolvm run -it",
    "cat script.py | smolvm run -- python3 -",
  ],
};

async function runCommand(io: Io, args: Arguments): Promise<Outcome> {
  const options = await commandOptions(io, args, spec);
  const entrypoint = args.value("entrypoint");
  const asked = [...(entrypoint === undefined ? [] : [entrypoint]), ...args.trailing];
  if (
    asked.length === 0 &&
    !options.tty &&
    (args.value("image") === undefined || isOwnImage(args.value("image")!))
  )
    throw commandMissing();
  const brought = parseBrings(args.values("bring"));
  const config = sandboxConfig(args, await environment(io, args));
  const vm = await sandboxFor(io, args, config);
  let outcome: Outcome;
  try {
    io.endProgress();
    if (config.gdbPort !== undefined) io.note(gdbNote(config.gdbPort));
    const note = config.publishAll ? notPublished((await vm.info()).imagePorts) : undefined;
    if (note !== undefined) io.note(note);
    for (const forward of vm.ports.list()) {
      io.note(
        `forwarding ${forward.hostAddress}:${forward.hostPort} -> port ${forward.guestPort} of the sandbox`,
      );
    }
    for (const { guestPort, target } of brought) await vm.ports.bring(guestPort, target);
    const own = args.value("pool") === undefined ? options : inPool(options, config);
    const command = asked.length > 0 ? asked : ((await vm.info()).imageCommand ?? []);
    if (command.length === 0 && !options.tty) throw commandMissing();
    outcome = await runGuestCommand(vm, command, own, io);
  } catch (error) {
    await vm.delete({ force: true }).catch(() => {}); // the first failure is the one to tell
    throw withCommandHint(error, "smolvm run", asked);
  }
  // One that was named may be wanted again at once.
  await vm.delete({ force: true, behind: args.value("name") === undefined });
  return outcome;
}

function commandMissing(): SmolVMError {
  return usage(
    spec,
    "the command is missing",
    "Say what to run: smolvm run -- echo hello (or smolvm run -it for a shell). An image from a registry may name its own.",
  );
}

/** What is the sandbox's in a new one is the command's in one that was made before. */
function inPool(options: GuestCommandOptions, { env, workdir, user }: VMConfig): GuestCommandOptions {
  return { ...options, env, cwd: workdir, user };
}

/** A new sandbox, or one that waits in a pool. */
async function sandboxFor(io: Io, args: Arguments, config: VMConfig): Promise<SmolVM> {
  const pool = args.value("pool");
  const { signal } = io.interrupts;
  if (pool === undefined) {
    return await SmolVM.create({ ...config, lifetime: "owner", onProgress: io.onProgress, signal });
  }
  const { name, labels, ttlMs, env: _, workdir: __, user: ___, ...others } = config;
  const other = Object.keys(others)[0];
  if (other !== undefined) {
    throw usage(
      spec,
      `a pool's sandboxes are there already, so ${flagOf(other)} cannot be chosen with --pool`,
      `Make a pool of that kind: smolvm pool create --help`,
    );
  }
  io.onProgress({ stage: "take", message: `taking a sandbox from ${pool}` });
  return await SmolVM.take(pool, { name, labels, ttlMs, lifetime: "owner", signal });
}

export const run: Command = { spec, run: runCommand };
