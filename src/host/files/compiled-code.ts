import { isAscii } from "node:buffer";
import { closeSync, fsyncSync, mkdirSync, openSync, readFileSync, writeFileSync } from "node:fs";
import { createRequire, Module } from "node:module";
import { dirname, join } from "node:path";
import { Script } from "node:vm";
import { renameSync, rmSync } from "../../util/files-go.ts";

/** What Node puts around a CommonJS file. */
const HEAD = "(function (exports, require, module, __filename, __dirname) {";
const TAIL = "\n})";
/** Lengths of the source and of the compiled code, before both. */
const HEADER_BYTES = 8;

/**
 * Loads a CommonJS file into `require`'s cache, with what was compiled of it when it was kept. Node's own compile cache keeps what is compiled
 * on loading, which are a file's outermost functions; here it is everything that a command called, two thirds of what it takes to start.
 * The file has no import(), for which Node would warn (vm.Script, importModuleDynamically).
 * @param file absolute path; what is not there, or not ASCII, is left to `require`
 * @param cacheDir a directory that only this user can write, with one directory for each kind of what is compiled
 * @param use what it is loaded for, of which another calls other functions
 * @returns keeps what has been compiled by now; undefined if that is kept already, or cannot be
 */
export function loadCompiled(file: string, cacheDir: string, use: string): (() => void) | undefined {
  let source: Buffer;
  try {
    source = readFileSync(file);
  } catch {
    return undefined; // not bundled
  }
  if (!isAscii(source)) return undefined;
  // V8 itself refuses what another V8 has made, or one with other flags. Of the source it looks at the length alone.
  const path = join(cacheDir, `whole-${process.version}-${process.arch}`, `${source.length}-${use}`);
  const cachedData = keptFor(source, path);
  const script = new Script(`${HEAD}${source.toString("latin1")}${TAIL}`, {
    filename: file,
    columnOffset: -HEAD.length,
    ...(cachedData && { cachedData }),
  });
  const require = createRequire(file);
  const module = new Module(file);
  module.filename = file;
  module.paths = [];
  require.cache[file] = module;
  try {
    script.runInThisContext().call(module.exports, module.exports, require, module, file, dirname(file));
  } catch (error) {
    delete require.cache[file];
    throw error;
  }
  module.loaded = true;
  // With other options than usual it was compiled otherwise: who comes next without them would compile again.
  if (cachedData !== undefined && (!script.cachedDataRejected || hasOptions())) return undefined;
  return () => keep(path, source, script.createCachedData());
}

function hasOptions(): boolean {
  return process.execArgv.length > 0 || (process.env.NODE_OPTIONS ?? "") !== "";
}

/** What is kept for exactly this source: no hash, because comparing the bytes takes less time. */
function keptFor(source: Buffer, path: string): Buffer | undefined {
  let kept: Buffer;
  try {
    kept = readFileSync(path);
  } catch {
    return undefined;
  }
  if (kept.length < HEADER_BYTES) return undefined;
  const start = HEADER_BYTES + kept.readUInt32LE(0);
  if (kept.length !== start + kept.readUInt32LE(4)) return undefined;
  return source.equals(kept.subarray(HEADER_BYTES, start)) ? kept.subarray(start) : undefined;
}

function keep(path: string, source: Buffer, compiled: Buffer): void {
  const header = Buffer.alloc(HEADER_BYTES);
  header.writeUInt32LE(source.length, 0);
  header.writeUInt32LE(compiled.length, 4);
  const unfinished = `${path}.${process.pid}`;
  try {
    mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
    const fd = openSync(unfinished, "wx", 0o600);
    try {
      writeFileSync(fd, Buffer.concat([header, source, compiled]));
      fsyncSync(fd); // V8 does not look whether all of it is as it was written
    } finally {
      closeSync(fd);
    }
    renameSync(unfinished, path);
  } catch {
    // A full disk, a file in the way: slower, as without.
    try {
      rmSync(unfinished, { force: true });
    } catch {}
  }
}
