import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { type TemplateDirs, templateLayout } from "../../snapshots/layout.ts";
import { renameSync, rmSync } from "../../util/files-go.ts";

/** The command lines that were given for all templates of a kind; none where that was not done, or what was written makes no sense. */
export function warmUpsOf(dirs: TemplateDirs, kind: string): readonly string[] {
  try {
    const lines = JSON.parse(readFileSync(templateLayout(dirs).warmUps(kind), "utf8")) as unknown;
    return Array.isArray(lines) ? lines.filter((line) => typeof line === "string") : [];
  } catch {
    return [];
  }
}

/** Gives them; none: as if there never were any. */
export function giveWarmUps(dirs: TemplateDirs, kind: string, lines: readonly string[]): void {
  const { root, warmUps } = templateLayout(dirs);
  const path = warmUps(kind);
  if (lines.length === 0) {
    rmSync(path, { force: true });
    return;
  }
  mkdirSync(root, { recursive: true, mode: 0o700 });
  writeFileSync(`${path}.${process.pid}.tmp`, JSON.stringify(lines), { mode: 0o600 });
  renameSync(`${path}.${process.pid}.tmp`, path);
}
