import { type Environment, readEnvironment } from "../host/environment.ts";
import { processCacheDir } from "../host/files/paths.ts";

/** What backends need to know of the host and user that they run for. */
export interface BackendHost {
  /** where answers that are slow to get are kept (versions, the TSC's frequency) */
  readonly cacheDir: string;
  readonly env: Environment;
}

/** The host as this process sees it. */
export function processHost(): BackendHost {
  return { cacheDir: processCacheDir(), env: readEnvironment(process.env) };
}
