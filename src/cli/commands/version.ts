import { readFileSync } from "node:fs";
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
  // Three levels up both from src/cli/commands and from dist/cli/commands.
  const manifest = readFileSync(new URL("../../../package.json", import.meta.url), "utf8");
  const { version } = JSON.parse(manifest) as { version: string };
  const data = { version, node: process.versions.node, platform: process.platform, arch: process.arch };
  return { data, text: () => `smolvm ${version}\n` };
}

export const version: Command = { spec, run: versionCommand };
