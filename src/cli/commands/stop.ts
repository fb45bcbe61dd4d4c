import { SmolVM } from "../../smolvm.ts";
import type { Arguments } from "../args/arguments.ts";
import { parseDurationMs } from "../args/duration.ts";
import { COMMON_OPTIONS } from "../args/options.ts";
import type { Command, CommandSpec, Outcome } from "../command.ts";
import { forEachName } from "../each.ts";
import type { Io } from "../io.ts";

const spec: CommandSpec = {
  name: "stop",
  usage: "[OPTIONS] NAME...",
  operands: { min: 1, max: Number.POSITIVE_INFINITY, what: "the sandbox's name", complete: "sandboxes" },
  options: [{ name: "timeout", value: "TIME", help: "give up after that time" }, ...COMMON_OPTIONS],
  exit: "plain",
  notes: [
    "Processes in it are ended, the disk is synced and kept. Stopping what is stopped is fine. Prints the names.",
  ],
  examples: ["smolvm stop box"],
};

async function stopCommand(io: Io, args: Arguments): Promise<Outcome> {
  const timeout = args.value("timeout");
  const timeoutMs = timeout === undefined ? undefined : parseDurationMs("--timeout", timeout);
  const stopped = await forEachName(args.operands, async (name) => {
    const vm = await SmolVM.get(name);
    io.onProgress({ stage: `stop ${vm.name}`, message: `stopping ${vm.name}` });
    await vm.stop({ timeoutMs, signal: io.interrupts.signal });
    const info = await vm.info();
    await vm[Symbol.asyncDispose]();
    return info;
  });
  return { data: stopped, text: () => stopped.map((info) => `${info.name}\n`).join("") };
}

export const stop: Command = { spec, run: stopCommand };
