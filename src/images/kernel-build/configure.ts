import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { SmolVMError } from "../../errors.ts";
import { type LostOption, lostOptions, parseConfig } from "./fragment.ts";
import { type MakeOptions, make } from "./make.ts";

/**
 * Configures the source tree: tinyconfig, the recipe's fragments over it, then the kernel's own rules. What the rules took
 * away again fails the build, because a kernel without it would fail later, inside somebody's sandbox.
 * @returns the text of the .config
 * @throws SmolVMError IMAGE_BUILD_FAILED, with all lost options in the message and in details.lost
 */
export async function configure(options: MakeOptions): Promise<string> {
  const path = join(options.source.tree, ".config");
  await make("tinyconfig", options);
  // The last line for an option wins.
  await writeFile(path, `${await readFile(path, "utf8")}${options.recipe.fragment}`);
  await make("olddefconfig", options);
  const config = await readFile(path, "utf8");
  const lost = lostOptions(options.recipe.requests, parseConfig(config));
  if (lost.length > 0) throw lostError(lost, options.source.version);
  return config;
}

/** The error for requests that the kernel's rules did not grant. Pure. */
export function lostError(lost: readonly LostOption[], sourceVersion: string): SmolVMError {
  const lines = lost.map(({ option, value, got, where }) => `${where}: ${option}=${value} became ${got}`);
  return new SmolVMError(
    "IMAGE_BUILD_FAILED",
    `the kernel ${sourceVersion} does not take ${lost.length === 1 ? "an option" : `${lost.length} options`} of its configuration:\n  ${lines.join("\n  ")}`,
    {
      hint: "The option has another name in this version, its dependencies are not met, or another option selects it: see kernel/README.md.",
      details: { lost: lost.map(({ option, value, got, where }) => ({ option, value, got, where })) },
    },
  );
}
