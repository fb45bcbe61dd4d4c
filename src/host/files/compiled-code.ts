import { isAscii } from "node:buffer";
import { closeSync, fsyncSync, mkdirSync, openSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { createRequire, Module } from "node:module";
import { dirname, join } from "node:path";
import { Script } from "node:vm";
import { renameSync, rmSync } from "../../util/files-go.ts";

/** What Node puts around a CommonJS file. */
const HEAD = Buffer.from("(function (exports, require, module, __filename, __dirname) {");
const TAIL = Buffer.from("\n})");
/** Lengths of the compiled code and of the source with these around it, before both: V8 copies compiled code that does not begin at a multiple of 8. */
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
  const path = keptAt(file, cacheDir, use);
  if (path === undefined) return undefined; // not bundled
  const kept = read(path);
  const wrapped = kept?.wrapped ?? wrap(readFileSync(file));
  if (wrapped === undefined) return undefined;
  const cachedData = kept?.compiled;
  // V8 throws away what was compiled and has not been called for some collections. A file's outermost function is called once: after a command of some
  // seconds, as a first one is, it was missing in what was kept, and each command compiled the whole file again (6 ms).
  if (cachedData === undefined) setFlag("--no-flush-bytecode");
  // One text and no other: of three that are put together V8 makes another one, and two of this size fill its young generation.
  const script = new Script(wrapped.toString("latin1"), {
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
  return () => {
    setFlag("--flush-bytecode"); // V8 refuses what was made with other flags than its own
    keep(path, wrapped, script.createCachedData());
  };
}

/** Its module takes a ms to load, and only who keeps something needs it. */
function setFlag(flag: string): void {
  process.getBuiltinModule?.("node:v8").setFlagsFromString(flag);
}

function hasOptions(): boolean {
  return process.execArgv.length > 0 || (process.env.NODE_OPTIONS ?? "") !== "";
}

/** Of a file: its source with what Node puts around it, and what was compiled of that. */
interface Kept {
  readonly wrapped: Buffer;
  readonly compiled: Buffer;
}

/**
 * Where it is kept. The name says which file it was made of, and in which state: any change of it changes its ctime, so that it need not be read to be
 * compared. V8 itself refuses what another V8 has made, or one with other flags; of the source it looks at the length alone.
 */
function keptAt(file: string, cacheDir: string, use: string): string | undefined {
  const stat = statSync(file, { bigint: true, throwIfNoEntry: false });
  if (stat === undefined) return undefined;
  const state = [stat.dev, stat.ino, stat.size, stat.ctimeNs].map((value) => value.toString(36));
  return join(cacheDir, `whole-${process.version}-${process.arch}`, [...state, use].join("-"));
}

/** What is kept there, if it is whole. */
function read(path: string): Kept | undefined {
  let kept: Buffer;
  try {
    kept = readFileSync(path);
  } catch {
    return undefined;
  }
  if (kept.length < HEADER_BYTES) return undefined;
  const end = HEADER_BYTES + kept.readUInt32LE(0);
  if (kept.length !== end + kept.readUInt32LE(4)) return undefined;
  const wrapped = kept.subarray(end);
  return isWrapped(wrapped) ? { wrapped, compiled: kept.subarray(HEADER_BYTES, end) } : undefined;
}

/** Undefined: the source is not ASCII. */
function wrap(source: Buffer): Buffer | undefined {
  return isAscii(source) ? Buffer.concat([HEAD, source, TAIL]) : undefined;
}

function isWrapped(text: Buffer): boolean {
  return text.subarray(0, HEAD.length).equals(HEAD) && text.subarray(-TAIL.length).equals(TAIL);
}

function keep(path: string, wrapped: Buffer, compiled: Buffer): void {
  const header = Buffer.alloc(HEADER_BYTES);
  header.writeUInt32LE(compiled.length, 0);
  header.writeUInt32LE(wrapped.length, 4);
  const unfinished = `${path}.${process.pid}`;
  try {
    mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
    const fd = openSync(unfinished, "wx", 0o600);
    try {
      writeFileSync(fd, Buffer.concat([header, compiled, wrapped]));
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
