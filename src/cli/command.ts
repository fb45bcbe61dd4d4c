import type { Arguments } from "./arguments.ts";
import type { Io } from "./io.ts";

/** One option of a command, as data: the parser and the help are made from it. */
export interface OptionSpec {
  /** long name without its dashes */
  readonly name: string;
  /** one letter */
  readonly short?: string;
  /** placeholder of its value, e.g. "SIZE"; absent: the option is a flag */
  readonly value?: string;
  /** the values that there are, if they can be listed: for completion */
  readonly choices?: readonly string[];
  /** may be given more than once */
  readonly repeat?: true;
  readonly help: string;
}

/** What the shell can complete a word to by asking smolvm. */
export type Completed = "sandboxes" | "snapshots" | "pools" | "images" | "kernels" | "copy-paths";

/** A command's words, as data. */
export interface CommandSpec {
  /** as typed, e.g. "image build" */
  readonly name: string;
  /** all that is typed before its arguments, where that is not `smolvm` and the name: a program of its own */
  readonly invocation?: string;
  /** the rest of the usage line, e.g. "[OPTIONS] NAME" */
  readonly usage: string;
  /** least and most operands (`trailing` words not counted); what they are called in errors */
  readonly operands: {
    readonly min: number;
    readonly max: number;
    readonly what: string;
    /** what the shell completes them to, or the words themselves; absent: nothing */
    readonly complete?: Completed | readonly string[];
  };
  /**
   * A command line for the guest follows the operands: from its first word on nothing is smolvm's any more.
   * Absent: options may stand anywhere.
   */
  readonly trailing?: true;
  readonly options: readonly OptionSpec[];
  /** options of `create` that say what a sandbox is: this command, which takes one that exists, tells that they cannot be changed */
  readonly fixed?: readonly OptionSpec[];
  /** "guest": the guest's exit code is passed through and smolvm's own failures are 125; "plain": 0, 1, 2 */
  readonly exit: "guest" | "plain";
  /** paragraphs under the options */
  readonly notes?: readonly string[];
  /** command lines that work as they stand */
  readonly examples: readonly string[];
}

/** How a command line begins. Pure. */
export function invocation(spec: CommandSpec): string {
  return spec.invocation ?? `smolvm ${spec.name}`;
}

/** What a command found or did. `data` is the JSON result; `text` what a person sees on stdout, made only when needed. */
export interface Outcome {
  readonly data: unknown;
  readonly text?: () => string;
  /** the command has printed its result itself */
  readonly printed?: true;
  /** default 0 */
  readonly exitCode?: number;
}

export interface Command {
  readonly spec: CommandSpec;
  run(io: Io, args: Arguments): Promise<Outcome>;
}

/** A command in the overview; its module is loaded when it is used, because loading costs start-up time. */
export interface CommandEntry {
  readonly name: string;
  readonly summary: string;
  readonly load: () => Promise<Command>;
}
