import { resolve } from "node:path";
import type { ExtraDrive } from "../../config/options.ts";

/**
 * Reads one `--drive`: `FILE`, and behind it `:/mount/point`, `:ro` or `:rw`. What a file's own name may hold is only taken for one of these where it
 * looks like it.
 */
export function parseDrive(text: string): ExtraDrive {
  const [, file = text, mountAt, mode] = /^(.+?)(?::(\/[^:]*))?(?::(ro|rw))?$/s.exec(text) ?? [];
  return {
    path: resolve(file),
    ...(mode === "ro" ? { readOnly: true } : {}),
    ...(mountAt === undefined ? {} : { mountAt }),
  };
}
