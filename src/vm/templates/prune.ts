import { readFileSync, statSync } from "node:fs";
import { basename } from "node:path";
import { templateLayout } from "../../snapshots/layout.ts";
import type { TemplateManifest } from "../../snapshots/manifest.ts";
import { discardTemplate, listTemplates } from "../../snapshots/store.ts";
import type { Home } from "../home.ts";

/** A template that no running sandbox of this user's goes on from. */
export interface UnusedTemplate {
  readonly kind: "template";
  /** as a person knows it: of which image, for which VMM, and the begin of its key */
  readonly name: string;
  readonly path: string;
  /** what it takes of the disk */
  readonly sizeBytes: number;
  /** when it was made, ms since the epoch */
  readonly usedAt: number;
}

/** Templates that can go: the next sandbox of the kind boots, and has one made again. */
export function unusedTemplates({ paths, store }: Home): UnusedTemplate[] {
  const used = new Set(store.vms.templatesInUse());
  return listTemplates(paths)
    .filter(({ key }) => !used.has(key))
    .map(({ key, diskBytes }) => {
      const { dir, manifest } = templateLayout(paths).template(key);
      const usedAt = statSync(dir, { throwIfNoEntry: false })?.mtimeMs ?? 0;
      return { kind: "template", name: nameOf(manifest, key), path: dir, sizeBytes: diskBytes, usedAt };
    });
}

/** Removes those whose paths are named, as far as they are not used. A sandbox that starts from one at this moment has it open, or boots. Returns what was removed. */
export function pruneTemplates(home: Home, paths: ReadonlySet<string>): UnusedTemplate[] {
  const unused = unusedTemplates(home).filter(({ path }) => paths.has(path));
  for (const { path } of unused) discardTemplate(home.paths, basename(path));
  return unused;
}

function nameOf(manifest: string, key: string): string {
  try {
    const { image, vmm } = JSON.parse(readFileSync(manifest, "utf8")) as Partial<TemplateManifest>;
    if (typeof image === "string" && typeof vmm === "string")
      return `${image || "custom"} on ${vmm} (${key.slice(0, 12)})`;
  } catch {
    // damaged: it has its key
  }
  return key;
}
