import { monotonicMs } from "../util/monotonic.ts";
import { parseArguments } from "./args/parse.ts";
import { inWordsOfFlags } from "./args/words.ts";
import type { CommandSpec, Outcome } from "./command.ts";
import { splitCommand } from "./commands/command-line.ts";
import { failureExitCode } from "./exit-code.ts";
import type { Io } from "./io.ts";
import { failureEnvelope, successEnvelope } from "./render/json.ts";
import { paintFor } from "./render/paint.ts";
import { ProgressDisplay } from "./render/progress.ts";
import { Interrupts } from "./terminal/interrupts.ts";
import { type Output, OutputClosed, openOutput } from "./terminal/output.ts";

/**
 * Runs one command line and returns the exit code. Everything that is printed besides the guest's own output
 * is printed here: the result on stdout, errors on stderr, or one JSON object.
 * @param words what follows `smolvm`
 */
export async function main(words: readonly string[], env: NodeJS.ProcessEnv = process.env): Promise<number> {
  const stdout = openOutput(1);
  const stderr = openOutput(2);
  const interrupts = new Interrupts();
  const said = new Said(words, env);
  let name = "";
  let spec: CommandSpec | undefined;
  const progress = new ProgressDisplay({
    isTTY: stderr.isTTY,
    columns: () => process.stderr.columns ?? 80,
    write: (text) => void stderr.write(text).catch(() => {}),
    now: monotonicMs,
  });
  try {
    const line = splitCommand(words);
    name = line.name;
    if (line.help !== undefined) {
      const { helpOutcome } = await import("./commands/help.ts");
      return await finish(await helpOutcome(line.help), "help");
    }
    const command = await line.entry.load();
    spec = command.spec;
    const args = parseArguments(spec, line.words);
    said.exactly({ json: args.flag("json"), quiet: args.flag("quiet"), verbose: args.flag("verbose") });
    if (args.flag("help")) {
      const { helpOutcome } = await import("./commands/help.ts");
      return await finish(await helpOutcome(line.name), "help");
    }
    interrupts.listen();
    return await finish(await command.run(makeIo(), args), line.name);
  } catch (error) {
    return await fail(error);
  }

  function makeIo(): Io {
    const quiet = said.quiet;
    const note = (text: string): void => {
      progress.end();
      if (!quiet) void stderr.write(`${text}\n`).catch(() => {});
    };
    return {
      stdout,
      stderr,
      env,
      interrupts,
      json: said.json,
      quiet,
      verbose: said.verbose,
      onProgress: (stage) => {
        if (stage.stage === "template") {
          if (said.verbose) note(stage.message);
        } else if (!quiet) progress.update(stage);
      },
      endProgress: () => progress.end(),
      note,
    };
  }

  async function finish(outcome: Outcome, command: string): Promise<number> {
    progress.end();
    if (outcome.printed) return outcome.exitCode ?? 0;
    if (said.json) await stdout.write(`${JSON.stringify(successEnvelope(command, outcome.data))}\n`);
    else if (outcome.text) await stdout.write(outcome.text());
    return outcome.exitCode ?? 0;
  }

  async function fail(thrown: unknown): Promise<number> {
    progress.end();
    const error = inWordsOfFlags(thrown);
    const exitCode = failureExitCode(spec, error, interrupts.received);
    if (error instanceof OutputClosed) return exitCode;
    const { renderError } = await import("./render/error.ts");
    await print(
      said.json ? stdout : stderr,
      said.json
        ? `${JSON.stringify(failureEnvelope(name, error))}\n`
        : renderError(error, { paint: paintFor(stderr.isTTY, env), verbose: said.verbose }),
    );
    return exitCode;
  }
}

/** Prints; a reader that has gone is no reason to fail differently. */
async function print(output: Output, text: string): Promise<void> {
  try {
    await output.write(text);
  } catch (error) {
    if (!(error instanceof OutputClosed)) throw error;
  }
}

/** What the user said about output: guessed from the words until they are parsed, because parsing may be what fails. */
class Said {
  json: boolean;
  quiet: boolean;
  verbose: boolean;

  constructor(words: readonly string[], env: NodeJS.ProcessEnv) {
    const end = words.indexOf("--");
    const own = end < 0 ? words : words.slice(0, end);
    this.json = own.includes("--json");
    this.quiet = own.includes("--quiet");
    this.verbose = own.includes("--verbose") || env.SMOLVM_LOG === "debug";
  }

  exactly(flags: { json: boolean; quiet: boolean; verbose: boolean }): void {
    this.json = flags.json;
    this.quiet = flags.quiet;
    this.verbose = flags.verbose || process.env.SMOLVM_LOG === "debug";
  }
}
