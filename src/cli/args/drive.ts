import { resolve } from "node:path";
import type { ExtraDrive } from "../../config/options.ts";

/** Reads one `--drive`: `FILE`, `FILE:ro` or `FILE:rw`. The last two letters decide, so a file's own name may hold colons. */
export function parseDrive(text: string): ExtraDrive {
  const [, file = text, mode] = /^(.+):(ro|rw)$/s.exec(text) ?? [];
  return { path: resolve(file), ...(mode === "ro" ? { readOnly: true } : {}) };
}
