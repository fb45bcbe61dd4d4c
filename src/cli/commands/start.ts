import { SmolVM } from "../../smolvm.ts";
import type { Arguments } from "../args/arguments.ts";
import { parseDurationMs } from "../args/duration.ts";
import { COMMON_OPTIONS } from "../args/options.ts";
import type { Command, CommandSpec, Outcome } from "../command.ts";
import { forEachName } from "../each.ts";
import type { Io } from "../io.ts";

const spec: CommandSpec = {
  name: "start",
  usage: "[OPTIONS] NAME...",
  operands: { min: 1, max: Number.POSITIVE_INFINITY, what: "the sandbox's name", complete: "sandboxes" },
  options: [
    { name: "timeout", value: "TIME", help: "give up after that time (default: 60s)" },
    ...COMMON_OPTIONS,
  ],
  exit: "plain",
  notes: ["Starting what runs is fine. Prints the names."],
  examples: ["smolvm start box"],
};

async function startCommand(io: Io, args: Arguments): Promise<Outcome> {
  const timeout = args.value("timeout");
  const timeoutMs = timeout === undefined ? undefined : parseDurationMs("--timeout", timeout);
  const started = await forEachName(args.operands, async (name) => {
    const vm = await SmolVM.get(name);
    await vm.start({ timeoutMs, signal: io.interrupts.signal, onProgress: io.onProgress });
    const info = await vm.info();
    await vm[Symbol.asyncDispose]();
    return info;
  });
  return { data: started, text: () => started.map((info) => `${info.name}\n`).join("") };
}

export const start: Command = { spec, run: startCommand };
