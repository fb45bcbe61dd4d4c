import type { Unkept } from "../host/files/compiled-code.ts";

/** What has been loaded of the program, and what is left to the code in it. */
export interface Loading {
  /** is called once, before the first file that is not one of the bundles is loaded */
  beforeOthers: () => void;
  /** bundles whose compiled code is to be kept when the command has ended */
  readonly unkept: readonly Unkept[];
}
