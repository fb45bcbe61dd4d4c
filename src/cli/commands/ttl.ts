import { SmolVM } from "../../smolvm.ts";
import type { VMInfo } from "../../vm/info/info.ts";
import { parseDurationMs } from "../args/duration.ts";
import { COMMON_OPTIONS } from "../args/options.ts";
import type { Arguments } from "../arguments.ts";
import type { Command, CommandSpec, Outcome } from "../command.ts";
import type { Io } from "../io.ts";
import { formatUptime } from "../render/units.ts";

const spec: CommandSpec = {
  name: "ttl",
  usage: "[OPTIONS] NAME [TIME|off]",
  operands: { min: 1, max: 2, what: "the sandbox's name", complete: "sandboxes" },
  options: COMMON_OPTIONS,
  exit: "plain",
  notes: [
    "With TIME the sandbox is removed so long from now, whatever runs in it; with off it stays. Without it: prints the time that is left, or off.",
    "smolvm's supervisor does it. A sandbox that dies with a process of yours has its time to live from that process alone.",
  ],
  examples: ["smolvm ttl box", "smolvm ttl box 2h", "smolvm ttl box off"],
};

async function ttlCommand(io: Io, args: Arguments): Promise<Outcome> {
  const [name, time] = args.operands as [string, string | undefined];
  const vm = await SmolVM.get(name);
  if (time !== undefined) {
    const ttlMs = time === "off" ? time : parseDurationMs("TIME", time, Number.POSITIVE_INFINITY);
    await vm.setTtl(ttlMs, { signal: io.interrupts.signal });
  }
  const { expiresAt } = await vm.info();
  const data = { name: vm.name, expiresAt: expiresAt ?? null };
  return time === undefined ? { data, text: () => `${timeLeft(expiresAt, Date.now())}\n` } : { data };
}

/** The time until then, or that there is no end. Pure. */
function timeLeft(expiresAt: VMInfo["expiresAt"], now: number): string {
  return expiresAt === undefined ? "off" : formatUptime(Math.max(0, Date.parse(expiresAt) - now));
}

export const ttl: Command = { spec, run: ttlCommand };
