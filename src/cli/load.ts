import { createRequire } from "node:module";
import { absoluteHome, dataAndCache } from "../host/files/base-directories.ts";
import { COMPILED, loadCompiled, type Unkept } from "../host/files/compiled-code.ts";
import { readPlaceVariables } from "../host/place-variables.ts";
import type { Loading } from "./loading.ts";

/** What all that `exec` needs, and what `run` needs besides, are bundled into (scripts/bundle-cli.ts). */
const CORE = "core.js";
const RUN_PATH = "run-path.js";

/**
 * Loads the program and runs it. This file and what it imports are compiled anew by each command, and all else is taken as it was compiled
 * before: so there is nothing here but what finds that.
 */
export async function load(): Promise<void> {
  const loading = loadBundles(process.argv[2], import.meta.dirname);
  const { startUp } = await import("./start-up.ts");
  await startUp(loading);
}

/**
 * Loads what a command needs, with what was compiled of it when the command that calls most of that had ended: `run` for itself, `exec` for all others.
 */
function loadBundles(command: string | undefined, directory: string): Loading {
  const use = command === "run" ? "run" : "exec";
  const unkept: Unkept[] = [];
  const loading: Loading = { beforeOthers: () => {}, unkept };
  const require = requireOf(directory, loading);
  const { cacheDir } = dataAndCache(readPlaceVariables(process.env), process.platform, absoluteHome());
  for (const bundle of use === "run" ? [CORE, RUN_PATH] : [CORE]) {
    const file = `${directory}${SEPARATOR}${bundle}`;
    const made = loadCompiled(file, `${cacheDir}${SEPARATOR}${COMPILED}`, use, require);
    if (made !== undefined && command === use) unkept.push(made);
  }
  return loading;
}

const SEPARATOR = process.platform === "win32" ? "\\" : "/";

/** What the bundles load others with. They find each other, and Node's own modules, without Node's search for files. */
function requireOf(directory: string, loading: Loading): NodeJS.Require {
  const require = createRequire(import.meta.filename);
  let isFirst = true;
  const find = (id: string): unknown => {
    if (id.startsWith("node:")) return process.getBuiltinModule(id);
    const loaded = require.cache[directory + SEPARATOR + id.slice("./".length)];
    if (loaded !== undefined) return loaded.exports;
    if (isFirst) loading.beforeOthers();
    isFirst = false;
    return require(id);
  };
  return Object.assign(find, require);
}
