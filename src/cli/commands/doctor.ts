import { renderDoctor } from "../../doctor/render.ts";
import { runDoctor } from "../../doctor/run-doctor.ts";
import { COMMON_OPTIONS } from "../args/options.ts";
import type { Arguments } from "../arguments.ts";
import type { Command, CommandSpec, Outcome } from "../command.ts";
import type { Io } from "../io.ts";
import { hasColour } from "../render/paint.ts";

const spec: CommandSpec = {
  name: "doctor",
  usage: "[OPTIONS]",
  operands: { min: 0, max: 0, what: "nothing" },
  options: [
    {
      name: "backend",
      value: "NAME",
      choices: ["auto", "qemu", "firecracker"],
      help: "check for that backend: auto (default), qemu or firecracker",
    },
    { name: "deep", help: "also boot a sandbox, and compare it with what the checks say" },
    { name: "strict", help: "warnings fail too" },
    ...COMMON_OPTIONS,
  ],
  exit: "plain",
  notes: [
    "Each line that is not good is followed by the exact command that fixes it. Exit code 1 if a check fails.",
  ],
  examples: [
    "smolvm doctor",
    "smolvm doctor --backend qemu",
    "smolvm doctor --deep",
    "smolvm doctor --json --strict",
  ],
};

async function doctorCommand(io: Io, args: Arguments): Promise<Outcome> {
  const report = await runDoctor({
    backend: args.value("backend"),
    strict: args.flag("strict"),
    deep: args.flag("deep"),
    signal: io.interrupts.signal,
    onProgress: (message) => io.onProgress({ stage: "deep", message }),
  });
  const color = hasColour(io.stdout.isTTY, io.env);
  const text = (): string => renderDoctor(report, { color, columns: io.stdout.columns });
  return { data: report, text, exitCode: report.summary.ok ? 0 : 1 };
}

export const doctor: Command = { spec, run: doctorCommand };
