import { existsSync, mkdirSync, readdirSync, statSync, utimesSync } from "node:fs";
import { join } from "node:path";
import { renameSync, rmSync } from "../util/files-go.ts";
import { type TemplateDirs, type TemplateFiles, templateLayout } from "./layout.ts";
import { type CheckedTemplate, checkTemplate } from "./manifest.ts";

/** A template that is whole. */
export interface Template extends CheckedTemplate {
  readonly key: string;
  readonly files: TemplateFiles;
}

/** What templates may take of the disk altogether, in bytes; the one that is made last may always stay. */
export const TEMPLATES_MAX_BYTES: number = 4 * 2 ** 30;

/** The template of that key, if there is one that looks whole. One that does not is removed. */
export function findTemplate(dirs: TemplateDirs, key: string): Template | { readonly why: string } {
  const files = templateLayout(dirs).template(key);
  if (!existsSync(files.manifest)) return { why: "there is none yet" };
  const checked = checkTemplate(files, key);
  if ("damage" in checked) {
    discardTemplate(dirs, key);
    return { why: `it was damaged (${checked.damage}) and is removed` };
  }
  markUsed(files);
  return { key, files, ...checked };
}

/** The memory of the template that is that file, whatever its key; undefined: it is none's, or no more. */
export function templateMemory(dirs: TemplateDirs, inode: number): string | undefined {
  const { template } = templateLayout(dirs);
  return keysOf(dirs)
    .map((key) => template(key).memory)
    .find((path) => statSync(path, { throwIfNoEntry: false })?.ino === inode);
}

/** The directory's time is when it was last used: those that were not for longest go first. */
function markUsed({ dir }: TemplateFiles): void {
  const now = new Date();
  try {
    utimesSync(dir, now, now);
  } catch {
    // a cache that cannot be written: then age decides
  }
}

/** Removes a template. Machines that run from it keep its memory, which goes when the last of them ends. */
export function discardTemplate(dirs: TemplateDirs, key: string): void {
  const { work, template } = templateLayout(dirs);
  try {
    mkdirSync(work, { recursive: true, mode: 0o700 });
    const aside = join(work, `${key}.${process.pid}.${Date.now()}`);
    renameSync(template(key).dir, aside); // nobody finds half of one
    rmSync(aside, { recursive: true, force: true });
  } catch {
    // another process was faster, or what is left of it is cleared up with the work directory
  }
}

/** One template as it lies on the disk. */
export interface StoredTemplate {
  readonly key: string;
  /** what it takes of the disk, in bytes: its memory is sparse */
  readonly diskBytes: number;
  /** ms since the epoch */
  readonly usedAt: number;
}

/** All templates, in no order. */
export function listTemplates(dirs: TemplateDirs): StoredTemplate[] {
  const { template } = templateLayout(dirs);
  return keysOf(dirs).flatMap((key) => {
    try {
      const { dir, memory, state, code, disk } = template(key);
      const files = [memory, state, disk, ...(existsSync(code) ? [code] : [])];
      const diskBytes = files.reduce((sum, path) => sum + statSync(path).blocks * 512, 0);
      return [{ key, diskBytes, usedAt: statSync(dir).mtimeMs }];
    } catch {
      return []; // it is being removed
    }
  });
}

function keysOf(dirs: TemplateDirs): string[] {
  const { root } = templateLayout(dirs);
  return existsSync(root) ? readdirSync(root).filter((name) => /^[0-9a-f]{32}$/.test(name)) : [];
}

/** Those that go so that the rest takes no more than `maxBytes`: the ones that were not used for longest, none that is used. Pure. */
export function surplus(
  templates: readonly StoredTemplate[],
  maxBytes: number,
  inUse: ReadonlySet<string>,
): string[] {
  let kept = 0;
  return [...templates]
    .sort((a, b) => b.usedAt - a.usedAt)
    .filter(({ key, diskBytes }) => {
      const goes = kept + diskBytes > maxBytes && !inUse.has(key);
      if (!goes) kept += diskBytes;
      return goes;
    })
    .map(({ key }) => key);
}
