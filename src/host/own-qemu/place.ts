import { randomInt } from "node:crypto";
import {
  chmodSync,
  closeSync,
  cpSync,
  existsSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  readSync,
  realpathSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { basename, dirname, join } from "node:path";
import { renameSync, rmSync } from "../../util/files-go.ts";
import { ownQemuLayout } from "./layout.ts";
import { isMovable, movedProgram, PROGRAM_HEAD_BYTES } from "./moved-program.ts";

const PAGE_BYTES = 4096;
/**
 * Where the program may lie, in bytes: some 17 bits are left to chance. Below the buffer of translated code (1.5 GiB, qemu/translations.h), near enough for such
 * code to call the program directly, with room for the program and for its heap, which Linux begins up to 1 GiB behind it
 * (arch_randomize_brk() in arch/x86/kernel/process.c).
 */
const BASES = { from: 0x0040_0000, to: 0x1c00_0000 };
/** The file of a copy that says of which program it is one. */
const OF = "of";

/**
 * The program of a QEMU of ours, as a copy that lies at an address of this host's own: made by chance when it is first asked for, so that
 * nobody else can know it, and the same in every process, which code that was translated and kept depends on. Where no copy can be made
 * it is the program itself, which lies elsewhere in every process: it keeps nothing then, and does all else.
 * @param program in a directory bin, beside its directory share
 */
export function placedQemu(dirs: { readonly cacheDir: string }, program: string): string {
  try {
    const name = nameOf(program);
    const copy = join(ownQemuLayout(dirs).placed, name, "bin", basename(program));
    if (!existsSync(copy) && !place(dirs, program, name)) return program;
    // What it is started by must be what its VMM sees of the host.
    return realpathSync.native(copy);
  } catch {
    return program;
  }
}

/** Whether a program that somebody names is one of ours, that was built or installed: its recipe lies beside it. */
export function isOwnQemu(program: string): boolean {
  return existsSync(join(dirname(dirname(program)), "recipe", "recipe.json"));
}

/** Removes the copies whose programs are gone or have become others. What runs on them goes on. */
export function removeOldPlaces(dirs: { readonly cacheDir: string }): void {
  const { placed } = ownQemuLayout(dirs);
  for (const name of existsSync(placed) ? readdirSync(placed) : [])
    if (!isCurrent(join(placed, name), name)) rmSync(join(placed, name), { recursive: true, force: true });
}

function isCurrent(directory: string, name: string): boolean {
  try {
    return nameOf(readFileSync(join(directory, OF), "utf8")) === name;
  } catch {
    return false;
  }
}

/** What tells a program from another that came in its place. */
function nameOf(program: string): string {
  const { ino, size, mtimeMs } = statSync(program);
  return [ino, size, Math.round(mtimeMs)].map((number) => number.toString(36)).join("-");
}

/** Makes the copy, whole or not at all. False: this program cannot be put anywhere. */
function place(dirs: { readonly cacheDir: string }, program: string, name: string): boolean {
  if (!isMovable(readHead(program))) return false;
  const { placed } = ownQemuLayout(dirs);
  const base = randomInt(BASES.from / PAGE_BYTES, BASES.to / PAGE_BYTES) * PAGE_BYTES;
  const bytes = movedProgram(readFileSync(program), base);
  if (bytes === undefined) return false;
  const work = join(placed, `${name}.${process.pid}`);
  try {
    mkdirSync(placed, { recursive: true, mode: 0o700 });
    mkdirSync(join(work, "bin"), { recursive: true });
    cpSync(join(dirname(dirname(program)), "share"), join(work, "share"), { recursive: true });
    writeFileSync(join(work, OF), program);
    writeFileSync(join(work, "bin", basename(program)), bytes, { flush: true });
    // A VMM that is another user's sees its own directory, whoever may look for it on the host.
    for (const path of [work, join(work, "bin"), join(work, "bin", basename(program))])
      chmodSync(path, 0o755);
    renameSync(work, join(placed, name));
  } catch (error) {
    rmSync(work, { recursive: true, force: true });
    if (!existsSync(join(placed, name))) throw error; // or another process was faster
  }
  removeOldPlaces(dirs);
  return true;
}

function readHead(program: string): Buffer {
  const head = Buffer.alloc(PROGRAM_HEAD_BYTES);
  const file = openSync(program, "r");
  try {
    readSync(file, head);
  } finally {
    closeSync(file);
  }
  return head;
}
