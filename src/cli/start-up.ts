import { enableCompileCache } from "node:module";
import { join } from "node:path";
import { processPaths } from "../host/paths.ts";

/** Prepares the process, runs the command line and exits with its code. The only place that sets the exit code. */
export async function startUp(): Promise<void> {
  // In the user's own directory: Node's default is in the shared /tmp, where others could plant code.
  enableCompileCache(join(processPaths().cacheDir, "compile"));
  silenceSqliteWarning();
  const { main } = await import("./main.ts");
  const exitCode = await main(process.argv.slice(2));
  // Not left to an empty event loop: a stdin that nobody closes would keep the process.
  process.exit(exitCode);
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
