import { WITHOUT_GIT } from "../context/added-files.ts";
import { checkFlags, SWITCHES } from "../plan/flags.ts";
import type { CopyFilter } from "../plan/selection.ts";
import type { Step } from "./step.ts";

/** What COPY and ADD say with options. */
export interface CopyOptions {
  readonly chown?: string;
  readonly chmod?: string;
  readonly from?: string;
  readonly checksum?: string;
  readonly unpack: boolean | undefined;
  readonly filter: CopyFilter;
}

/** @throws SmolVMError DOCKERFILE_INVALID */
export function copyOptions(step: Step): CopyOptions {
  const { keyword, flags } = step.instruction;
  step.read(() => checkFlags(step.instruction)); // those of ONBUILD come with an image, and were in no plan
  const known: Record<string, string> = {};
  const exclude: string[] = [];
  // Not `link`: layers are made of what has changed, whether or not they could be had without the ones below.
  const switches: { link?: boolean; parents?: boolean; unpack?: boolean } = {};
  for (const { name, value } of flags) {
    if (SWITCHES[keyword]!.includes(name)) {
      switches[name as keyof typeof switches] = value !== "false";
      continue;
    }
    if (name === "keep-git-dir")
      throw step.fail("ADD --keep-git-dir is of Git repositories, which are not supported", WITHOUT_GIT);
    const expanded = step.expand(value!);
    if (name === "exclude") exclude.push(expanded);
    else known[name] = expanded;
  }
  const { parents = false, unpack } = switches;
  return { ...known, unpack, filter: { parents, exclude } };
}
