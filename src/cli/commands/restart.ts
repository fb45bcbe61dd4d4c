import { SmolVM } from "../../smolvm.ts";
import type { Arguments } from "../args/arguments.ts";
import { parseDurationMs } from "../args/duration.ts";
import { COMMON_OPTIONS } from "../args/options.ts";
import type { Command, CommandSpec, Outcome } from "../command.ts";
import { forEachName } from "../each.ts";
import type { Io } from "../io.ts";

const spec: CommandSpec = {
  name: "restart",
  usage: "[OPTIONS] NAME...",
  operands: { min: 1, max: Number.POSITIVE_INFINITY, what: "the sandbox's name", complete: "sandboxes" },
  options: [
    {
      name: "timeout",
      value: "TIME",
      help: "give up after that time, stop and start together (default: 60s for the start)",
    },
    ...COMMON_OPTIONS,
  ],
  exit: "plain",
  notes: [
    "Processes in it are ended, the disk is kept. A sandbox that does not run is only started. Prints the names.",
  ],
  examples: ["smolvm restart box"],
};

async function restartCommand(io: Io, args: Arguments): Promise<Outcome> {
  const timeout = args.value("timeout");
  const timeoutMs = timeout === undefined ? undefined : parseDurationMs("--timeout", timeout);
  const restarted = await forEachName(args.operands, async (name) => {
    const vm = await SmolVM.get(name);
    await vm.restart({ timeoutMs, signal: io.interrupts.signal, onProgress: io.onProgress });
    const info = await vm.info();
    await vm[Symbol.asyncDispose]();
    return info;
  });
  return { data: restarted, text: () => restarted.map((info) => `${info.name}\n`).join("") };
}

export const restart: Command = { spec, run: restartCommand };
