import { supervisorStatus as readStatus } from "../../vm/supervisor/manage.ts";
import { COMMON_OPTIONS } from "../args/options.ts";
import type { Command, CommandSpec, Outcome } from "../command.ts";
import { renderFields } from "../render/table.ts";

const spec: CommandSpec = {
  name: "supervisor status",
  usage: "[OPTIONS]",
  operands: { min: 0, max: 0, what: "nothing" },
  options: COMMON_OPTIONS,
  exit: "plain",
  notes: [
    "The supervisor is a process in the background that comes when something needs it: ports of detached sandboxes (-p, smolvm port), times to live (--ttl), and more processes in one sandbox than it has session ports. It goes when there is nothing left to do. With SMOLVM_SUPERVISOR=off none is started.",
  ],
  examples: ["smolvm supervisor status"],
};

async function statusCommand(): Promise<Outcome> {
  const status = readStatus();
  return {
    data: status,
    text: () =>
      renderFields([
        [
          "state",
          status.running ? `running (process ${status.pid}, version ${status.version})` : "not running",
        ],
        ["needed", status.needed ? "yes" : "no"],
        ["log", status.log],
      ]),
  };
}

export const supervisorStatus: Command = { spec, run: statusCommand };
