import { closeSync, fsyncSync, mkdirSync, openSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import { renameSync, rmSync } from "../../util/files-go.ts";
import { HEADER_BYTES, type Unkept } from "./compiled-code.ts";

/** Keeps what has been compiled by now of a file, for who loads it next (compiled-code.ts). What cannot be written is not kept. */
export function keepCompiled({ script, wrapped, path }: Unkept): void {
  // V8 refuses what was made with other flags than its own.
  process.getBuiltinModule("node:v8").setFlagsFromString("--flush-bytecode");
  const compiled = script.createCachedData();
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
