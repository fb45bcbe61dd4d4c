import type { OnProgress } from "../config/progress.ts";
import type { Interrupts } from "./terminal/interrupts.ts";
import type { Output } from "./terminal/output.ts";

/** What a command has of the world: the streams of the process and what the user said about them. */
export interface Io {
  readonly stdout: Output;
  readonly stderr: Output;
  readonly env: NodeJS.ProcessEnv;
  readonly interrupts: Interrupts;
  /** the result is one JSON object on stdout */
  readonly json: boolean;
  /** nothing but errors on stderr */
  readonly quiet: boolean;
  /** stacks and details with errors */
  readonly verbose: boolean;
  /** shows the stage of something slow */
  readonly onProgress: OnProgress;
  /** takes the progress line away, before anything else is printed */
  endProgress(): void;
  /** one line for people on stderr; nothing under --quiet */
  note(text: string): void;
}
