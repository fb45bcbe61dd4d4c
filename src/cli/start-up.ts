import { join } from "node:path";
import { useCompileCache } from "../host/files/compile-cache.ts";
import { loadCompiled } from "../host/files/compiled-code.ts";

/** Exit code of a failure of our own, before a command is known. */
const EXIT_BUG = 125;
/** What main.ts and all that `exec` needs, and what `run` needs besides, are bundled into (scripts/bundle-cli.ts). */
const CORE = "core.js";
const RUN_PATH = "run-path.js";

/** Prepares the process, runs the command line and exits with its code. The only place that sets the exit code. */
export async function startUp(): Promise<void> {
  const cacheDir = useCompileCache();
  silenceSqliteWarning();
  process.once("beforeExit", neverEnded);
  process.on("uncaughtException", crashed);
  const words = process.argv.slice(2);
  const keep = cacheDir === undefined ? undefined : loadBundles(words[0], cacheDir);
  const { main } = await import("./main.ts");
  const exitCode = await main(words);
  if (exitCode === 0) keep?.();
  // Not left to an empty event loop: a stdin that nobody closes would keep the process.
  process.exit(exitCode);
}

/**
 * Loads what a command needs, with what was compiled of it when the command that calls most of that had ended: `run` for itself, `exec` for all others.
 * @returns keeps what has been compiled by now; undefined if this command is not one of the two
 */
function loadBundles(command: string | undefined, cacheDir: string): (() => void) | undefined {
  const use = command === "run" ? "run" : "exec";
  const bundles = use === "run" ? [CORE, RUN_PATH] : [CORE];
  const keeps = bundles.map((bundle) => loadCompiled(join(import.meta.dirname, bundle), cacheDir, use));
  if (command !== use) return undefined;
  return () => {
    for (const keep of keeps) keep?.();
  };
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
