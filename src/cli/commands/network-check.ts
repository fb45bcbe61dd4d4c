import { renderDoctor } from "../../doctor/render.ts";
import { runDoctor } from "../../doctor/run-doctor.ts";
import { COMMON_OPTIONS } from "../args/options.ts";
import type { Arguments } from "../arguments.ts";
import type { Command, CommandSpec, Outcome } from "../command.ts";
import type { Io } from "../io.ts";
import { hasColour } from "../render/paint.ts";

const spec: CommandSpec = {
  name: "network check",
  usage: "[OPTIONS]",
  operands: { min: 0, max: 0, what: "nothing" },
  options: [{ name: "strict", help: "warnings fail too" }, ...COMMON_OPTIONS],
  exit: "plain",
  notes: [
    "Compares the networks of sandboxes as they are on this machine with what they are meant to be: taps and their packet filter, forwarding, addresses that another network has too, and other packet filters (Docker's, firewalld's, ufw's) that are in the way. Packet filters are seen by root alone. What is not good is followed by the command that fixes it. Exit code 1 if a check fails.",
  ],
  examples: ["smolvm network check", "sudo smolvm network check --json"],
};

async function networkCheckCommand(io: Io, args: Arguments): Promise<Outcome> {
  const report = await runDoctor({ strict: args.flag("strict"), networkOnly: true });
  const color = hasColour(io.stdout.isTTY, io.env);
  const text = (): string => renderDoctor(report, { color, columns: io.stdout.columns });
  return { data: report, text, exitCode: report.summary.ok ? 0 : 1 };
}

export const networkCheck: Command = { spec, run: networkCheckCommand };
