import { logout } from "../../images/registry/login.ts";
import { Deadline } from "../../util/deadline.ts";
import { COMMON_OPTIONS } from "../args/options.ts";
import type { Arguments } from "../arguments.ts";
import type { Command, CommandSpec, Outcome } from "../command.ts";
import type { Io } from "../io.ts";

const spec: CommandSpec = {
  name: "image logout",
  usage: "[OPTIONS] [REGISTRY]",
  operands: { min: 0, max: 1, what: "the registry" },
  options: COMMON_OPTIONS,
  exit: "plain",
  notes: ["Without a registry it is Docker's. Docker's own login there is the same one, and gone too."],
  examples: ["smolvm image logout ghcr.io"],
};

async function imageLogoutCommand(io: Io, args: Arguments): Promise<Outcome> {
  const deadline = Deadline.of("logging out", { signal: io.interrupts.signal });
  const { registry, keptIn } = await logout(args.operands[0], { deadline });
  io.note(`logged out of ${registry}`);
  return { data: { registry, keptIn }, text: () => `${registry}\n` };
}

export const imageLogout: Command = { spec, run: imageLogoutCommand };
