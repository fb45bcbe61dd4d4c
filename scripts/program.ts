/**
 * A program of this repository's developers (benchmarks, the lab) with the manners of the command line: the same parser, --help,
 * and errors with a hint instead of a stack. Under SMOLVM_LOG=debug the stack is there.
 */

import { parseArguments } from "../src/cli/args/parse.ts";
import type { Arguments } from "../src/cli/arguments.ts";
import type { CommandSpec, OptionSpec } from "../src/cli/command.ts";
import { failureExitCode } from "../src/cli/exit-code.ts";
import { renderError } from "../src/cli/render/error.ts";
import { renderCommandHelp } from "../src/cli/render/help.ts";
import { paintFor } from "../src/cli/render/paint.ts";
import { isSmolVMError, SmolVMError } from "../src/errors.ts";

/** A program's words, as data. */
export type ProgramSpec = Omit<CommandSpec, "name" | "exit"> & {
  /** as typed, e.g. "npm run bench --" */
  readonly invocation: string;
  /** its first line of help */
  readonly summary: string;
};

const HELP: OptionSpec = { name: "help", short: "h", help: "this help" };

/**
 * Runs a program with the words it was given, and sets the exit code: what `act` returns, 1 if it failed, 2 for wrong usage.
 * @param failed the exit code for a failure, where another one than these is told apart
 */
export async function program(
  { summary, ...words }: ProgramSpec,
  act: (args: Arguments) => Promise<number | undefined>,
  failed?: number,
): Promise<void> {
  const spec: CommandSpec = {
    ...words,
    name: words.invocation,
    exit: "plain",
    options: [...words.options, HELP],
  };
  try {
    const args = parseArguments(spec, process.argv.slice(2));
    if (args.flag("help")) process.stdout.write(renderCommandHelp(spec, summary));
    else process.exitCode = (await act(args)) ?? 0;
  } catch (error) {
    if (!isSmolVMError(error)) throw error; // a fault of the program's own: its stack is what is wanted
    const paint = paintFor(process.stderr.isTTY, process.env);
    process.stderr.write(renderError(error, { paint, verbose: process.env.SMOLVM_LOG === "debug" }));
    process.exitCode = failed ?? failureExitCode(spec, error, undefined);
  }
}

/** The value of an option that is a whole number from 1 on, or undefined. @throws SmolVMError USAGE */
export function countOption(args: Arguments, name: string): number | undefined {
  const text = args.value(name);
  if (text === undefined) return undefined;
  if (/^[1-9]\d{0,8}$/.test(text)) return Number(text);
  throw new SmolVMError("USAGE", `--${name}: '${text}' is not a whole number from 1 on`, {
    hint: `For example: --${name} 20`,
  });
}
