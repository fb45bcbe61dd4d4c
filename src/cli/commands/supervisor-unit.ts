import { supervisorUnit as unitText } from "../../vm/supervisor/manage.ts";
import { COMMON_OPTIONS } from "../args/options.ts";
import type { Command, CommandSpec, Outcome } from "../command.ts";

const spec: CommandSpec = {
  name: "supervisor unit",
  usage: "[OPTIONS]",
  operands: { min: 0, max: 0, what: "nothing" },
  options: COMMON_OPTIONS,
  exit: "plain",
  notes: [
    "With it a supervisor is there from the login on (from the boot on with: loginctl enable-linger) and comes back at once when it is killed. Without it the next smolvm command brings it back.",
  ],
  examples: [
    "smolvm supervisor unit > ~/.config/systemd/user/smolvm.service",
    "systemctl --user enable --now smolvm",
  ],
};

async function unitCommand(): Promise<Outcome> {
  const unit = unitText();
  return { data: { unit }, text: () => unit };
}

export const supervisorUnit: Command = { spec, run: unitCommand };
