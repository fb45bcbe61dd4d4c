import { stopSupervisor } from "../../vm/supervisor/manage.ts";
import { COMMON_OPTIONS } from "../args/options.ts";
import type { Command, CommandSpec, Outcome } from "../command.ts";
import type { Io } from "../io.ts";

const spec: CommandSpec = {
  name: "supervisor stop",
  usage: "[OPTIONS]",
  operands: { min: 0, max: 0, what: "nothing" },
  options: COMMON_OPTIONS,
  exit: "plain",
  notes: [
    "Commands that go through it end, and its ports close. The next smolvm command starts it again if there is something to do; SMOLVM_SUPERVISOR=off keeps it from that.",
  ],
  examples: ["smolvm supervisor stop"],
};

async function stopCommand(io: Io): Promise<Outcome> {
  const stopped = await stopSupervisor();
  if (!stopped) io.note("there is none");
  return { data: { stopped } };
}

export const supervisorStop: Command = { spec, run: stopCommand };
