import { createHash } from "node:crypto";

/** What a file is to a machine. */
export type FileRole = "vmm" | "kernel" | "initrd" | "seed" | "base";

/** A file by what tells it from every other and from its own later self. */
export interface FileIdentity {
  readonly role: FileRole;
  readonly path: string;
  readonly size: number;
  readonly mtimeMs: number;
  readonly inode: number;
}

/** All on which it depends whether a machine can go on from the memory of another. */
export interface MachineFacts {
  /** the machine as its guest sees it, in its VMM's words (Backend.shape) */
  readonly shape: readonly string[];
  readonly diskSizeMib: number;
  /** the VMM, the kernel, the initramfs (with the agent in it), the seeds, the read-only base */
  readonly files: readonly FileIdentity[];
  /** the host's CPU: its name and its features */
  readonly cpu: string;
}

/** Changes when templates of an older version of this program must not be used. */
const FORMAT = 4;

/**
 * All that a template is known by, in words. Pure.
 * @param card what its machine has behind its network card while it is made, which is no part of the shape
 */
export function templateFacts({ shape, diskSizeMib, files, cpu }: MachineFacts, card = "none"): string {
  return JSON.stringify([FORMAT, shape, diskSizeMib, files.map(words), cpu, card]);
}

/** The name of the template for such a machine: 32 hex digits of SHA-256. Pure. */
export function templateKey(facts: MachineFacts, card?: string): string {
  return createHash("sha256").update(templateFacts(facts, card)).digest("hex").slice(0, 32);
}

/** The name of the template of such a kind that has run these command lines besides. Pure. */
export function warmedKey(kind: string, warm: readonly string[]): string {
  if (warm.length === 0) return kind;
  return createHash("sha256")
    .update(JSON.stringify([kind, warm]))
    .digest("hex")
    .slice(0, 32);
}

/** What a memory must go on with. Of the seeds only a template's disk is made. */
const OF_MEMORY: readonly (readonly [FileRole, string])[] = [
  ["vmm", "the virtual machine monitor"],
  ["kernel", "the kernel"],
  ["initrd", "the initramfs with the agent"],
  ["base", "the image"],
];

/** Why a machine of these facts cannot go on from the memory of one of those; empty: it can. Pure. */
export function differences(was: MachineFacts, is: MachineFacts): string[] {
  const found: string[] = [];
  if (was.cpu !== is.cpu) found.push("this machine's processor is another");
  if (was.diskSizeMib !== is.diskSizeMib) found.push("its disk is of another size");
  if (JSON.stringify(was.shape) !== JSON.stringify(is.shape))
    found.push("this version of smolvm makes another machine of it");
  for (const [role, what] of OF_MEMORY) {
    if (ofRole(was, role) !== ofRole(is, role)) found.push(`${what} is another`);
  }
  return found;
}

function ofRole({ files }: MachineFacts, role: FileRole): string {
  return JSON.stringify(files.filter((file) => file.role === role).map(words));
}

/** Named one by one: the order of the members counts. */
function words({ path, size, mtimeMs, inode }: FileIdentity): readonly unknown[] {
  return [path, size, mtimeMs, inode];
}
