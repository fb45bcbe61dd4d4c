import { isAscii } from "node:buffer";
import { readFileSync, statSync } from "node:fs";
import { Module } from "node:module";
import { Script } from "node:vm";

/** Where compiled code is kept, in the directory for what can be made again. */
export const COMPILED = "compile";

/** What Node puts around a CommonJS file. */
const HEAD = "(function (exports, require, module, __filename, __dirname) {";
const TAIL = "\n})";
/** Lengths of the compiled code and of the source with these around it, before both: V8 copies compiled code that does not begin at a multiple of 8. */
export const HEADER_BYTES = 8;

/** A file that was compiled anew, and where that may be kept. */
export interface Unkept {
  readonly script: Script;
  readonly wrapped: Buffer;
  readonly path: string;
}

/**
 * Loads a CommonJS file into Node's cache of modules, with what was compiled of it when it was kept (keep-compiled.ts). Node's own compile cache keeps what is compiled
 * on loading, which are a file's outermost functions; here it is everything that a command called, two thirds of what it takes to start.
 * The file has no import(), for which Node would warn (vm.Script, importModuleDynamically).
 * @param file absolute path; what is not there, or not ASCII, is left to `require`
 * @param directory where compiled code is kept: only this user can write it, with one directory for each kind of what is compiled
 * @param use what it is loaded for, of which another calls other functions
 * @param require what the file calls to load others; what is in the file's own directory is asked for as "./NAME"
 * @returns what is to be kept; undefined if that is kept already, or cannot be
 */
export function loadCompiled(
  file: string,
  directory: string,
  use: string,
  require: NodeJS.Require,
): Unkept | undefined {
  const path = keptAt(file, directory, use);
  if (path === undefined) return undefined; // not bundled
  const kept = read(path);
  const wrapped = kept?.wrapped ?? wrap(readFileSync(file));
  if (wrapped === undefined) return undefined;
  const cachedData = kept?.compiled;
  // V8 throws away what was compiled and has not been called for some collections. A file's outermost function is called once: after a command of some
  // seconds, as a first one is, it was missing in what was kept, and each command compiled the whole file again (6 ms).
  if (cachedData === undefined) process.getBuiltinModule("node:v8").setFlagsFromString("--no-flush-bytecode");
  // One text and no other: of three that are put together V8 makes another one, and two of this size fill its young generation.
  const script = new Script(wrapped.toString("latin1"), {
    filename: file,
    columnOffset: -HEAD.length,
    ...(cachedData && { cachedData }),
  });
  const module = new Module(file);
  module.filename = file;
  module.paths = [];
  require.cache[file] = module;
  try {
    script.runInThisContext().call(module.exports, module.exports, require, module, file, directory);
  } catch (error) {
    delete require.cache[file];
    throw error;
  }
  module.loaded = true;
  // With other options than usual it was compiled otherwise: who comes next without them would compile again.
  if (cachedData !== undefined && (!script.cachedDataRejected || hasOptions())) return undefined;
  return { script, wrapped, path };
}

function hasOptions(): boolean {
  return process.execArgv.length > 0 || (process.env.NODE_OPTIONS ?? "") !== "";
}

/**
 * Where it is kept. The name says which file it was made of, and in which state: any change of it changes its ctime, so that it need not be read to be
 * compared. V8 itself refuses what another V8 has made, or one with other flags; of the source it looks at the length alone.
 */
function keptAt(file: string, directory: string, use: string): string | undefined {
  const stat = statSync(file, { bigint: true, throwIfNoEntry: false });
  if (stat === undefined) return undefined;
  const state = [stat.dev, stat.ino, stat.size, stat.ctimeNs].map((value) => value.toString(36));
  return `${directory}/whole-${process.version}-${process.arch}/${[...state, use].join("-")}`;
}

/** Of a file: its source with what Node puts around it, and what was compiled of that. */
interface Kept {
  readonly wrapped: Buffer;
  readonly compiled: Buffer;
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
  return isAscii(source) ? Buffer.concat([Buffer.from(HEAD), source, Buffer.from(TAIL)]) : undefined;
}

function isWrapped(text: Buffer): boolean {
  const part = (from: number, to?: number): string => text.toString("latin1", from, to);
  return part(0, HEAD.length) === HEAD && part(text.length - TAIL.length) === TAIL;
}
