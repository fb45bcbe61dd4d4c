import { SmolVMError } from "../../errors.ts";
import { SmolVM } from "../../smolvm.ts";
import { timeoutOption } from "../args/duration.ts";
import { COMMON_OPTIONS, FIXED_OPTIONS, SANDBOX_OPTIONS } from "../args/options.ts";
import { sandboxConfig } from "../args/sandbox-config.ts";
import type { Arguments } from "../arguments.ts";
import type { Command, CommandSpec, Outcome } from "../command.ts";
import type { Io } from "../io.ts";

/** Options on which it depends what a machine is: others do not change its template. */
const SHAPE = new Set([
  ...[
    "backend",
    "image",
    "cpus",
    "memory",
    "disk",
    "network",
    "qemu-network",
    "arch",
    "machine",
    "accelerator",
  ],
  ...["isolation", "kernel", "initrd", "rootfs"],
]);

const spec: CommandSpec = {
  name: "image warm",
  usage: "[OPTIONS]",
  operands: { min: 0, max: 0, what: "nothing" },
  options: [
    ...FIXED_OPTIONS.filter(({ name }) => SHAPE.has(name)),
    { name: "run", value: "LINE", repeat: true, help: "a command line that the machine runs before" },
    { name: "plain", help: "none any more" },
    { name: "timeout", value: "TIME", help: "give up after that time (default: 10m)" },
    ...COMMON_OPTIONS,
  ],
  exit: "plain",
  notes: [
    "With --run, sandboxes with these options start from then on where these programs are in memory, and (on a QEMU of our own) translated: the first `python3` costs what the second does. What they write to the disk is there, too. They run as root, once or twice, and must not fail.",
    "Makes the template that sandboxes with these options start from: the memory of a machine that has booted. Without it the first of them boots, and it is made in the background.",
  ],
  examples: [
    "smolvm image warm",
    "smolvm image warm --memory 1G --network off",
    "smolvm image warm --run \"python3 -c 'import json'\"",
  ],
};

async function imageWarmCommand(io: Io, args: Arguments): Promise<Outcome> {
  const lines = args.values("run");
  const plain = args.flag("plain");
  if (plain && lines.length > 0)
    throw new SmolVMError("USAGE", "--plain and --run exclude each other", {
      hint: "--plain goes back to a template that has run nothing.",
    });
  const { made } = await SmolVM.warm({
    ...(plain || lines.length > 0 ? { warm: lines, forAll: true } : {}),
    ...sandboxConfig(args.declaring(SANDBOX_OPTIONS), undefined),
    timeoutMs: timeoutOption(args),
    signal: io.interrupts.signal,
    onProgress: (progress) => io.onProgress({ ...progress, stage: "warm" }),
  });
  io.note(made ? "The template is made." : "The template is there already.");
  return { data: { made } };
}

export const imageWarm: Command = { spec, run: imageWarmCommand };
