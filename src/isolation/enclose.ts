import { bwrapArgs } from "./bwrap-args.ts";
import type { Enclosure } from "./enclosure.ts";
import type { HostView } from "./view.ts";

/** What is launched instead of a program that is to be enclosed. */
export interface EnclosedProgram {
  readonly argv: readonly string[];
  /** the program is not the first of argv: it says itself which process it is (monitor/src/enter.rs) */
  readonly wrapped: boolean;
}

/**
 * Puts an enclosure around a program. Pure.
 * @param view what it needs of the host; only asked for where there is an enclosure
 */
export function enclose(
  { bubblewrap }: Enclosure,
  view: () => HostView,
  argv: readonly string[],
): EnclosedProgram {
  if (bubblewrap === undefined) return { argv, wrapped: false };
  return {
    argv: [...bwrapArgs(bubblewrap, view()), bubblewrap.monitor, "enter", "--", ...argv],
    wrapped: true,
  };
}
