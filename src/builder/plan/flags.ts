import type { Instruction } from "../../images/dockerfile/parse.ts";
import { WordError } from "../../images/dockerfile/words.ts";
import { parseMount } from "./mounts.ts";

/** Options of COPY and ADD that are there or not. */
export const SWITCHES: Readonly<Record<string, readonly string[]>> = {
  COPY: ["link", "parents"],
  ADD: ["link", "unpack"],
};
const VALUES: Readonly<Record<string, readonly string[]>> = {
  COPY: ["chown", "chmod", "exclude", "from"],
  ADD: ["chown", "chmod", "exclude", "checksum"],
};

/** Whether a value is known before variables are. Pure. */
export function isLiteral(value: string): boolean {
  return !value.includes("$");
}

/** An option that is there or not. */
function isSwitch(value: string | undefined): boolean {
  return value === undefined || value === "true" || value === "false";
}

/**
 * Looks at the options of one instruction, as far as they are known before variables are. Pure.
 * @throws WordError
 */
export function checkFlags({ keyword, flags }: Instruction): void {
  for (const { name, value } of flags) {
    const shown = `--${name}${value === undefined ? "" : `=${value}`}`;
    if (keyword === "RUN") {
      const isKnown =
        name === "mount" ||
        (name === "network" && (!isLiteral(value ?? "") || ["default", "none"].includes(value ?? "")));
      if (!isKnown) throw new WordError(`RUN ${shown} is not supported`);
      if (name === "mount" && isLiteral(value ?? "")) parseMount(value ?? "", "/");
    } else if (keyword === "COPY" || keyword === "ADD") {
      const isKnown =
        (SWITCHES[keyword]!.includes(name) && isSwitch(value)) ||
        (VALUES[keyword]!.includes(name) && value !== undefined);
      // It has an error of its own (steps/copy-options.ts).
      const isOfGit = keyword === "ADD" && name === "keep-git-dir";
      if (!isKnown && !isOfGit) throw new WordError(`${keyword} ${shown} is not supported`);
    }
  }
}
