import { discardTemplate, findTemplate, type Template } from "../../snapshots/store.ts";
import type { VmRecord } from "../../store/vms.ts";
import { writeEmptyDisk, writeOwnDisk } from "../disks/own-disk.ts";
import { filesOf, type Home } from "../home.ts";
import { planTemplate } from "./plan.ts";

/** What a start goes on from: a template, or nothing, and then why. */
export type StartSource =
  | { readonly kind: "template"; readonly template: Template }
  /** `key`: of the template that should have been there */
  | { readonly kind: "boot"; readonly why: string; readonly key?: string };

/** What a sandbox's start goes on from. */
export function startSource(home: Home, { spec, startedAt, origin }: VmRecord): StartSource {
  if (origin !== undefined) return { kind: "boot", why: "its disk is not an empty one" };
  if (startedAt !== undefined)
    return { kind: "boot", why: "it has been started before, and has a disk of its own" };
  const plan = planTemplate(home.paths, spec);
  if ("why" in plan) return { kind: "boot", why: plan.why };
  const found = findTemplate(home.paths, plan.key);
  return "why" in found ? { kind: "boot", ...found, key: plan.key } : { kind: "template", template: found };
}

/**
 * Writes the disk that belongs to a template's memory over that of a sandbox that nobody has used yet.
 * @throws SmolVMError IMAGE_INVALID, NO_SPACE, HOST_FAILED
 */
export function writeTemplateDisk(home: Home, { id, spec }: VmRecord, { files }: Template): void {
  writeOwnDisk(files.disk, spec.diskSizeMib, filesOf(home, id));
}

/**
 * A machine did not go on from a template: what it goes on from next time is made anew, and the sandbox has an empty disk again.
 * @throws SmolVMError IMAGE_INVALID, NO_SPACE, HOST_FAILED
 */
export function giveUpTemplate(home: Home, { id, spec }: VmRecord, { key }: Template): void {
  discardTemplate(home.paths, key);
  writeEmptyDisk(spec, filesOf(home, id));
}
