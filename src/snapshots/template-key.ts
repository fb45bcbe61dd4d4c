import { createHash } from "node:crypto";

/** A file by what tells it from every other and from its own later self. */
export interface FileIdentity {
  readonly path: string;
  readonly size: number;
  readonly mtimeMs: number;
  readonly inode: number;
}

/** All on which it depends whether a machine can go on from a template's memory. */
export interface TemplateFacts {
  /** the machine as its guest sees it, in its VMM's words (Backend.shape) */
  readonly shape: readonly string[];
  readonly diskSizeMib: number;
  /** the VMM, the kernel, the initramfs (with the agent in it), the seeds, the read-only base */
  readonly files: readonly FileIdentity[];
  /** the host's CPU: its name and its features */
  readonly cpu: string;
}

/** Changes when templates of an older version of this program must not be used. */
const FORMAT = 1;

/** The name of the template for such a machine: 32 hex digits of SHA-256. Pure. */
export function templateKey({ shape, diskSizeMib, files, cpu }: TemplateFacts): string {
  // Named one by one: the order of the members counts.
  const identities = files.map(({ path, size, mtimeMs, inode }) => [path, size, mtimeMs, inode]);
  const facts = [FORMAT, shape, diskSizeMib, identities, cpu];
  return createHash("sha256").update(JSON.stringify(facts)).digest("hex").slice(0, 32);
}
