import { compileCacheDirectory, useCompileCache } from "../host/files/compile-cache.ts";
import { keepCompiled } from "../host/files/keep-compiled.ts";
import type { Loading } from "./loading.ts";
import { main } from "./main.ts";

/** Exit code of a failure of our own, before a command is known. */
const EXIT_BUG = 125;

/** Prepares the process, runs the command line and exits with its code. The only place that sets the exit code. */
export async function startUp(loading: Loading): Promise<void> {
  // Switching Node's cache on takes a ms, and an `exec` or a `run` that goes well loads nothing that is not bundled.
  loading.beforeOthers = () => {
    const directory = compileCacheDirectory();
    if (directory !== undefined) useCompileCache(directory);
  };
  silenceSqliteWarning();
  process.once("beforeExit", neverEnded);
  process.on("uncaughtException", crashed);
  const exitCode = await main(process.argv.slice(2));
  if (exitCode === 0 && loading.unkept.length > 0 && compileCacheDirectory() !== undefined)
    loading.unkept.forEach(keepCompiled);
  // Not left to an empty event loop: a stdin that nobody closes would keep the process.
  process.exit(exitCode);
}

/** Node ends quietly, and with success, when there is nothing left to wait for: here that is a promise nobody keeps. */
function neverEnded(): void {
  process.stderr.write(
    "error: smolvm ended in the middle of its work\nhint: This is a bug in smolvm. Please report it.\n",
  );
  process.exit(EXIT_BUG);
}

/** An error that nobody waited for. Exit handlers run, so a terminal is put back. */
function crashed(error: unknown): void {
  const debug = process.argv.includes("--verbose") || process.env.SMOLVM_LOG === "debug";
  const text = error instanceof Error ? ((debug ? error.stack : undefined) ?? error.message) : String(error);
  process.stderr.write(
    `error: ${text}\nhint: This is a bug in smolvm. Please report it with the output of --verbose.\n`,
  );
  process.exit(EXIT_BUG);
}

/** node:sqlite announces on Node 22 that it is experimental. That says nothing to our users; all other warnings stay. */
function silenceSqliteWarning(): void {
  const emit = process.emitWarning;
  process.emitWarning = ((warning: string | Error, ...rest: unknown[]) => {
    const text = typeof warning === "string" ? warning : warning.message;
    if (text.startsWith("SQLite is an experimental feature")) return;
    (emit as (...all: unknown[]) => void).call(process, warning, ...rest);
  }) as typeof process.emitWarning;
}
