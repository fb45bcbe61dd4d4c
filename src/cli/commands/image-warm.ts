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
    { name: "timeout", value: "TIME", help: "give up after that time (default: 10m)" },
    ...COMMON_OPTIONS,
  ],
  exit: "plain",
  notes: [
    "Makes the template that sandboxes with these options start from: the memory of a machine that has booted. Without it the first of them boots, and it is made in the background.",
  ],
  examples: ["smolvm image warm", "smolvm image warm --memory 1G --network off"],
};

async function imageWarmCommand(io: Io, args: Arguments): Promise<Outcome> {
  const { made } = await SmolVM.warm({
    ...sandboxConfig(args.declaring(SANDBOX_OPTIONS), undefined),
    timeoutMs: timeoutOption(args),
    signal: io.interrupts.signal,
    onProgress: (progress) => io.onProgress({ ...progress, stage: "warm" }),
  });
  io.note(made ? "The template is made." : "The template is there already.");
  return { data: { made } };
}

export const imageWarm: Command = { spec, run: imageWarmCommand };
