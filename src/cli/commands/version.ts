import { packageVersion } from "../../host/package.ts";
import { COMMON_OPTIONS } from "../args/options.ts";
import type { Command, CommandSpec, Outcome } from "../command.ts";

const spec: CommandSpec = {
  name: "version",
  usage: "[OPTIONS]",
  operands: { min: 0, max: 0, what: "nothing" },
  options: COMMON_OPTIONS,
  exit: "plain",
  examples: ["smolvm version"],
};

async function versionCommand(): Promise<Outcome> {
  const version = packageVersion();
  const data = { version, node: process.versions.node, platform: process.platform, arch: process.arch };
  return { data, text: () => `smolvm ${version}\n` };
}

export const version: Command = { spec, run: versionCommand };
