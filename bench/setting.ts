import type { Target } from "./machine.ts";

/** What is measured and how, from the command line. */
export interface Setting {
  readonly target: Target;
  /** rounds of samples; absent: as many as each row takes by itself */
  readonly n?: number | undefined;
  /** rounds of samples of what takes milliseconds: warm commands */
  readonly runs: number;
  /** measure sandboxes with nothing around their VMM, too */
  readonly bare: boolean;
  /** size of a transfer, in MiB */
  readonly mib: number;
}
