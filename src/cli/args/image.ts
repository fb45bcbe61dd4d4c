import type { Arch } from "../../config/spec.ts";
import { SmolVMError } from "../../errors.ts";
import { hostArch } from "../../host/hardware/facts.ts";
import type { OptionSpec } from "../command.ts";

export const ARCH_OPTION: OptionSpec = {
  name: "arch",
  value: "ARCH",
  help: "x86_64 or aarch64 (default: this machine's)",
};

/**
 * Reads `--arch`; absent, it is the host's.
 * @throws SmolVMError USAGE
 */
export function parseArch(text: string | undefined): Arch {
  if (text === undefined) return hostArch() ?? "x86_64";
  if (text === "x86_64" || text === "aarch64") return text;
  const other = { amd64: "x86_64", x64: "x86_64", arm64: "aarch64" }[text.toLowerCase()];
  throw new SmolVMError("USAGE", `--arch: '${text}' is not an architecture`, {
    hint: other ? `Did you mean --arch ${other}?` : "Write --arch x86_64 or --arch aarch64",
  });
}
