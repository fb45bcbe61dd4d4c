import { createHash } from "node:crypto";
import { readFileSync, statSync, writeFileSync } from "node:fs";
import { SmolVMError } from "../errors.ts";
import { hostBootId } from "../host/process/process-identity.ts";
import { renameSync, rmSync } from "../util/files-go.ts";
import type { TemplateFiles } from "./layout.ts";

/** What is written beside a template's files when it is whole. */
export interface TemplateManifest {
  readonly key: string;
  /** ms since the epoch */
  readonly createdAt: number;
  /** what it was made of, for people */
  readonly image: string;
  readonly vmm: string;
  /** the memory file as it was left: any write changes at least one of these, and who writes cannot set `ctimeMs` back */
  readonly memory: FileStamp;
  /** the file of translated code as it was left, or why there is none */
  readonly code: FileStamp | { readonly why: string };
  /** SHA-256 of the smaller files, hex */
  readonly stateSha256: string;
  readonly diskSha256: string;
  /**
   * Those as they were left or last found right, and in which boot of this machine. While it lasts the kernel has of each file what was written to it,
   * so that one whose stamp is the same need not be read to be compared; after a loss of power it is. Absent: they are always compared.
   */
  readonly seen?: Seen;
}

/** See {@link TemplateManifest.seen}. */
interface Seen {
  readonly bootId: string;
  readonly state: FileStamp;
  readonly disk: FileStamp;
}

/** What of a file changes when it is written. */
export interface FileStamp {
  readonly size: number;
  readonly inode: number;
  readonly mtimeMs: number;
  readonly ctimeMs: number;
}

/** A file as it is now. @throws as statSync does */
export function stampOf(path: string): FileStamp {
  const { size, ino, mtimeMs, ctimeMs } = statSync(path);
  return { size, inode: ino, mtimeMs, ctimeMs };
}

/** Whether a file is as it was. Pure. */
export function isSame(was: FileStamp | undefined, is: FileStamp): boolean {
  return (
    was?.size === is.size &&
    was.inode === is.inode &&
    was.mtimeMs === is.mtimeMs &&
    was.ctimeMs === is.ctimeMs
  );
}

/**
 * A file of translated code that may be used, or why there is none. `wholeFor`: it is what was written, and so is the state that it belongs to, of
 * which this is the SHA-256 (hex); absent: whoever uses it looks.
 */
export type KeptCode = { readonly path: string; readonly wholeFor?: string } | { readonly why: string };

/**
 * Looks whether a file of translated code is what was left there. One that is not is left alone, and the machine goes on without: it is
 * only slower.
 */
export function keptCode(path: string, was: FileStamp | { readonly why: string } | undefined): KeptCode {
  if (was === undefined) return { why: "none were kept" };
  if ("why" in was) return was;
  try {
    return isSame(was, stampOf(path)) ? { path } : { why: "their file was changed or moved" };
  } catch (error) {
    return { why: (error as Error).message };
  }
}

/** SHA-256 of a small file, hex. */
export function hashOf(content: Uint8Array): string {
  return createHash("sha256").update(content).digest("hex");
}

/** A template that is what was made, as far as that was looked at. */
export interface CheckedTemplate {
  /**
   * Reads the state of the machine's CPUs and devices, and looks whether that and the disk are whole: a machine may be on its way meanwhile.
   * @throws SmolVMError HOST_FAILED
   */
  readonly readState: () => Buffer;
  /** what it had translated */
  readonly code: KeptCode;
  /** Notes that all of it was read and is whole: until this machine is booted again, that need not be done again. */
  readonly noteWhole: () => void;
}

/**
 * Looks whether a template is what was made: nothing missing, exchanged or, but for the small files, written to since. The memory is not read:
 * that would take longer than a boot.
 * @returns what reads and checks the small files, or what is wrong
 */
export function checkTemplate(
  files: TemplateFiles,
  key: string,
): CheckedTemplate | { readonly damage: string } {
  try {
    const manifest = JSON.parse(readFileSync(files.manifest, "utf8")) as Partial<TemplateManifest>;
    if (manifest.key !== key) return { damage: "its manifest is of another" };
    if (!isSame(manifest.memory, stampOf(files.memory))) return { damage: "its memory was changed or moved" };
    const now = seenNow(files);
    const isKnown = now !== undefined && isSeen(manifest.seen, now);
    const code = keptCode(files.code, manifest.code);
    const { stateSha256 } = manifest;
    return {
      readState: () => (isKnown ? readFileSync(files.state) : readState(files, manifest)),
      code:
        isKnown && "path" in code && stateSha256 !== undefined ? { ...code, wholeFor: stateSha256 } : code,
      noteWhole: () => {
        // As it was before it was read: what has been written to it since is another.
        if (!isKnown && now !== undefined)
          replace(files.manifest, JSON.stringify({ ...manifest, seen: now }));
      },
    };
  } catch (error) {
    return { damage: (error as Error).message };
  }
}

/** The small files as they are. Undefined: one is missing, or this system does not tell its boots apart. */
export function seenNow(files: Pick<TemplateFiles, "state" | "disk">): Seen | undefined {
  const bootId = hostBootId();
  if (bootId === "") return undefined;
  try {
    return { bootId, state: stampOf(files.state), disk: stampOf(files.disk) };
  } catch {
    return undefined;
  }
}

/** Whether they were seen as they are now. Pure. */
function isSeen(was: Seen | undefined, is: Seen): boolean {
  return was?.bootId === is.bootId && isSame(was.state, is.state) && isSame(was.disk, is.disk);
}

/** Another reader finds the old one or the new one. What cannot be written is looked at again next time. */
function replace(path: string, text: string): void {
  const unfinished = `${path}.${process.pid}`;
  try {
    writeFileSync(unfinished, text, { mode: 0o600 });
    renameSync(unfinished, path);
  } catch {
    rmSync(unfinished, { force: true });
  }
}

/** The state of a template's devices, if that and its disk are what was made. @throws SmolVMError HOST_FAILED */
function readState(
  files: TemplateFiles,
  { stateSha256, diskSha256 }: Pick<Partial<TemplateManifest>, "stateSha256" | "diskSha256">,
): Buffer {
  const changed = (what: string, cause?: unknown): SmolVMError =>
    new SmolVMError("HOST_FAILED", `${what} of the template was changed`, { cause });
  try {
    const state = readFileSync(files.state);
    if (hashOf(state) !== stateSha256) throw changed("the state of the devices");
    if (hashOf(readFileSync(files.disk)) !== diskSha256) throw changed("the disk");
    return state;
  } catch (error) {
    throw error instanceof SmolVMError ? error : changed("a file", error);
  }
}
