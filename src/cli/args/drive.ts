import { resolve } from "node:path";
import type { ExtraDrive } from "../../config/options.ts";

/**
 * Reads one `--drive`: `FILE`, and behind it `:/mount/point`, `:ro` or `:rw`. What a file's own name may hold is only taken for one of these where it
 * looks like it. On Windows a letter, a colon and a slash are how a file's path begins. For tests: `platform`.
 */
export function parseDrive(text: string, platform: NodeJS.Platform = process.platform): ExtraDrive {
  const disk = platform === "win32" ? (/^[A-Za-z]:(?=[\\/])/.exec(text)?.[0] ?? "") : "";
  const parts = /^(.+?)(?::(\/[^:]*))?(?::(ro|rw))?$/s.exec(text.slice(disk.length));
  const [, rest = text, mountAt, mode] = parts ?? [];
  const file = parts === null ? text : disk + rest;
  return {
    path: resolve(file),
    ...(mode === "ro" ? { readOnly: true } : {}),
    ...(mountAt === undefined ? {} : { mountAt }),
  };
}
