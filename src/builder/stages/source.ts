import type { BuildMachine } from "../machine/machine.ts";

/** What `--from` names: a stage before, or an image. */
export interface Source {
  /** of what it holds */
  readonly key: string;
  /** a sandbox that holds it, started if there is none yet */
  readonly machine: () => Promise<BuildMachine>;
}
