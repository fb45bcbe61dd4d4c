import { SmolVMError } from "../errors.ts";
import type { SnapshotKind } from "./snapshot-manifest.ts";

/*
 * A snapshot as one file: a tar archive (GNU's format), compressed with zstd, with these entries in this order:
 *
 *   manifest.json   a PortableManifest
 *   disk            what the disk holds, its parts one after the other
 *   memory, state   for a full one: the same of its memory, and the state of its devices
 *
 * The parts of a sparse file are named in the manifest, so that neither side reads or writes its holes.
 */

/** The one format so far. */
export const PORTABLE_FORMAT = 1;

/** A manifest names each part of memory and disk: some MiB at most. */
export const PORTABLE_MANIFEST_MAX_BYTES: number = 32 * 2 ** 20;

/** One entry's content, and where its parts go in the file that it is of. */
export interface PortableFile {
  /** of the file, in bytes: all that is in no part is zero */
  readonly size: number;
  /** offset and length of each part, in bytes, ascending */
  readonly parts: readonly (readonly [number, number])[];
  /** SHA-256 of the parts, one after the other, hex */
  readonly sha256: string;
}

/** What is said of a snapshot in such a file. Whoever made the file wrote it: nothing of it is taken for true before it was looked at. */
export interface PortableManifest {
  readonly smolvmSnapshot: typeof PORTABLE_FORMAT;
  readonly name: string;
  readonly kind: SnapshotKind;
  /** ms since the epoch */
  readonly createdAt: number;
  readonly source: { readonly id: string; readonly name: string };
  /** what the sandbox was like: options as of SmolVM.create */
  readonly config: Readonly<Record<string, unknown>>;
  /** content address of the image that its disk lies over */
  readonly imageDigest: string;
  readonly disk: PortableFile;
  readonly memory?: PortableFile;
  readonly state?: PortableFile;
  /** what the memory must go on with */
  readonly needs?: PortableNeeds;
}

/** By content: other machines have other paths. */
export interface PortableNeeds {
  /** the host's CPU: its name and its features */
  readonly cpu: string;
  /** the machine as its guest sees it, in its VMM's words */
  readonly shape: readonly string[];
  /** SHA-256 of the files, hex */
  readonly vmm: string;
  readonly kernel: string;
  readonly initrd: string;
  /** nothing of QEMU's libslirp is in the state; absent: it is, if there was a network card */
  readonly withoutSlirp?: true | undefined;
}

const NEEDED: readonly (readonly [keyof PortableNeeds, string])[] = [
  ["cpu", "this machine's processor is another"],
  ["shape", "this version of smolvm makes another machine of it"],
  ["vmm", "the virtual machine monitor is another"],
  ["kernel", "the kernel is another"],
  ["initrd", "the initramfs with the agent is another"],
];

/** Why the memory cannot go on here; empty: it can. Pure. */
export function unmet(needs: PortableNeeds, here: PortableNeeds): string[] {
  return NEEDED.filter(([what]) => JSON.stringify(needs[what]) !== JSON.stringify(here[what])).map(
    ([, why]) => why,
  );
}

/**
 * Reads such a manifest. Pure.
 * @throws SmolVMError SNAPSHOT_INVALID naming what is wrong
 */
export function parsePortable(text: string): PortableManifest {
  let manifest: unknown;
  try {
    manifest = JSON.parse(text);
  } catch {
    throw invalid("its manifest is no JSON");
  }
  const is = object(manifest, "its manifest");
  if (is.smolvmSnapshot !== PORTABLE_FORMAT)
    throw invalid("it is of another version of smolvm, or no snapshot");
  const full = is.kind === "full";
  if (!full && is.kind !== "disk") throw invalid("its kind is neither full nor disk");
  const source = object(is.source, "its source");
  return {
    smolvmSnapshot: PORTABLE_FORMAT,
    name: string(is.name, "its name", 63),
    kind: full ? "full" : "disk",
    createdAt: count(is.createdAt, "its time"),
    source: { id: string(source.id, "its source", 64), name: string(source.name, "its source", 64) },
    config: object(is.config, "its config"),
    imageDigest: string(is.imageDigest, "its image", 128),
    disk: file(is.disk, "disk"),
    ...(full
      ? { memory: file(is.memory, "memory"), state: file(is.state, "state"), needs: needs(is.needs) }
      : {}),
  };
}

function needs(value: unknown): PortableNeeds {
  const is = object(value, "what it needs");
  const shape = is.shape;
  if (!Array.isArray(shape) || shape.length > 1_000) throw invalid("what it needs is no list");
  return {
    cpu: string(is.cpu, "its CPU", 65_536),
    shape: shape.map((word) => string(word, "its machine", 65_536)),
    vmm: hash(is.vmm),
    kernel: hash(is.kernel),
    initrd: hash(is.initrd),
  };
}

/** The most that a disk or a memory can be: 1 TiB. */
const MAX_FILE_BYTES = 2 ** 40;

function file(value: unknown, what: string): PortableFile {
  const is = object(value, `its ${what}`);
  const size = count(is.size, `the size of its ${what}`);
  if (size === 0 || size > MAX_FILE_BYTES) throw invalid(`its ${what} has a size that none has`);
  if (!Array.isArray(is.parts)) throw invalid(`the parts of its ${what} are no list`);
  let end = 0;
  const parts = is.parts.map((part: unknown): readonly [number, number] => {
    if (!Array.isArray(part) || part.length !== 2) throw invalid(`a part of its ${what} is none`);
    const offset = count(part[0], `a part of its ${what}`);
    const length = count(part[1], `a part of its ${what}`);
    if (offset < end || length === 0 || offset + length > size)
      throw invalid(`a part of its ${what} is outside of it, empty, or over another`);
    end = offset + length;
    return [offset, length];
  });
  return { size, parts, sha256: hash(is.sha256) };
}

function object(value: unknown, what: string): Record<string, unknown> {
  if (typeof value === "object" && value !== null && !Array.isArray(value))
    return value as Record<string, unknown>;
  throw invalid(`${what} is no object`);
}

function string(value: unknown, what: string, max: number): string {
  if (typeof value === "string" && value !== "" && value.length <= max) return value;
  throw invalid(`${what} is no text of 1 to ${max} characters`);
}

function count(value: unknown, what: string): number {
  if (typeof value === "number" && Number.isSafeInteger(value) && value >= 0) return value;
  throw invalid(`${what} is no whole number`);
}

function hash(value: unknown): string {
  if (typeof value === "string" && /^[0-9a-f]{64}$/.test(value)) return value;
  throw invalid("a hash is none");
}

/** What is no exported snapshot, or was damaged or cut since. */
export function invalid(why: string): SmolVMError {
  return new SmolVMError("SNAPSHOT_INVALID", `the file is no snapshot that can be taken in: ${why}`, {
    hint: "Export it again, where it is whole: smolvm snapshot export NAME FILE",
  });
}
