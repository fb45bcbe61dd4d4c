import {
  type DifferenceRequest,
  type DifferenceStep,
  type DiskEntry,
  readDifference,
} from "../../agent/files/difference.ts";
import { TarFile } from "../../agent/files/tar-file.ts";
import type { AgentSession } from "../../agent/session/session.ts";
import { LayerFile, type MadeLayer } from "../../images/layer/layer-file.ts";
import type { ImageDirs } from "../../images/store/layout.ts";
import type { Deadline } from "../../util/deadline.ts";
import { encodeEntry, padding, type TarHeader } from "../../util/tar/header.ts";
import { encodePax, xattrKey } from "../../util/tar/pax.ts";
import { ContentMissing, LayerChanges, type LayerStep, type Listing } from "./changes.ts";

export interface LayerOptions {
  /** the image below, not what lies over it */
  readonly base?: boolean | undefined;
  /** how the disk was when the layer below was made; default: nothing was on it */
  readonly before?: Listing | undefined;
  /** in s since 1970: times after that are written as that */
  readonly latest?: number | undefined;
  /** told of each piece, in bytes of content */
  readonly onBytes?: ((count: number) => void) | undefined;
}

/**
 * Makes a layer of what a sandbox's disk has over its image. The same content in the same order makes the same bytes.
 * @param session over which nothing else changes the disk meanwhile
 * @returns the layer, unless it would hold nothing, and how the disk was
 * @throws SmolVMError as readDifference; NO_SPACE
 */
export async function makeLayer(
  dirs: ImageDirs,
  session: AgentSession,
  options: LayerOptions,
  deadline: Deadline,
): Promise<{ readonly layer: MadeLayer | undefined; readonly listing: Listing }> {
  const { before, base } = options;
  try {
    return await read(dirs, session, { base, since: before?.changedAt }, options, deadline);
  } catch (error) {
    if (!(error instanceof ContentMissing)) throw error;
    return await read(dirs, session, { base }, options, deadline);
  }
}

/** How a disk is now, without content. */
export async function listDisk(session: AgentSession, deadline: Deadline): Promise<Listing> {
  const changes = new LayerChanges({ entries: new Map(), changedAt: { s: 0, ns: 0 } });
  const all = { since: { s: 2 ** 40, ns: 0 } };
  for await (const step of readDifference(session, all, deadline)) changes.note(step);
  return changes.listing;
}

export interface TarOptions {
  /** gives of each step what goes on; default: all of it */
  readonly filter?: ((step: DifferenceStep) => Iterable<DifferenceStep>) | undefined;
}

async function* filtered(
  steps: AsyncIterable<DifferenceStep>,
  filter: TarOptions["filter"],
): AsyncGenerator<DifferenceStep, void, undefined> {
  if (filter === undefined) yield* steps;
  else for await (const step of steps) yield* filter(step);
}

/**
 * All of a directory of a sandbox, or one file under its last name, as programs see it, as a tar: with owners, links, modes and extended attributes.
 * @throws SmolVMError as readDifference
 */
export async function* directoryTar(
  session: AgentSession,
  path: string,
  change: (entry: DiskEntry) => DiskEntry,
  deadline: Deadline,
  { filter }: TarOptions = {},
): AsyncGenerator<Buffer, void, undefined> {
  const tar = new LayerTar();
  for await (const step of filtered(readDifference(session, { path }, deadline), filter)) {
    if (step.step === "removed") continue;
    // The directory itself is there, or is made.
    if (step.step === "entry" && step.entry.path === "") continue;
    tar.take(step.step === "entry" ? { step: "entry", entry: change(step.entry) } : step);
    for (const bytes of tar.made()) yield Buffer.from(bytes);
  }
  tar.end();
  for (const bytes of tar.made()) yield Buffer.from(bytes);
}

async function read(
  dirs: ImageDirs,
  session: AgentSession,
  request: DifferenceRequest,
  { before, latest, onBytes }: LayerOptions,
  deadline: Deadline,
): Promise<{ readonly layer: MadeLayer | undefined; readonly listing: Listing }> {
  const changes = new LayerChanges(before);
  const file = await LayerFile.create(dirs);
  try {
    const tar = new LayerTar(latest);
    for await (const step of readDifference(session, request, deadline)) {
      for (const change of changes.take(step)) tar.take(change);
      if (step.step === "data") onBytes?.(step.data.length);
      for (const bytes of tar.made()) await file.write(bytes);
    }
    for (const change of changes.finish()) tar.take(change);
    const isEmpty = tar.entries === 0;
    tar.end();
    for (const bytes of tar.made()) await file.write(bytes);
    return { layer: isEmpty ? undefined : await file.finish(), listing: changes.listing };
  } finally {
    await file.abandon();
  }
}

const TYPES: Readonly<Record<DiskEntry["kind"], string>> = {
  file: "0",
  link: "1",
  symlink: "2",
  character: "3",
  block: "4",
  directory: "5",
  fifo: "6",
};

/** Writes what a layer holds as a tar (image-spec, layer.md). */
class LayerTar {
  readonly #latest: number;
  #made: Uint8Array[] = [];
  #file: TarFile | undefined;
  entries = 0;

  constructor(latest: number = Number.POSITIVE_INFINITY) {
    this.#latest = latest;
  }

  /** What was written since the last call. */
  made(): Uint8Array[] {
    const made = this.#made;
    this.#made = [];
    return made;
  }

  take(step: LayerStep): void {
    switch (step.step) {
      case "data":
        this.#file!.data(Buffer.from(step.data));
        return;
      case "end":
        this.#file!.end();
        this.#file = undefined;
        return;
      case "opaque":
        this.#mark(step.path === "" ? ".wh..wh..opq" : `${step.path}/.wh..wh..opq`);
        return;
      case "whiteout": {
        const slash = step.path.lastIndexOf("/") + 1;
        this.#mark(`${step.path.slice(0, slash)}.wh.${step.path.slice(slash)}`);
        return;
      }
      case "entry":
        this.#entry(step.entry);
    }
  }

  end(): void {
    this.#made.push(Buffer.alloc(1024));
  }

  #mark(path: string): void {
    this.entries++;
    const plain = { mode: 0o644, uid: 0, gid: 0, size: 0, mtime: 0, type: "0" };
    this.#made.push(encodeEntry({ ...plain, name: Buffer.from(path, "latin1"), linkName: Buffer.alloc(0) }));
  }

  #entry(entry: DiskEntry): void {
    this.entries++;
    const { kind, path, mode, uid, gid, target, attributes } = entry;
    if (attributes.size > 0) this.#pax([...attributes].map(([name, value]) => [xattrKey(name), value]));
    const name = kind === "directory" ? `${path === "" ? "." : path}/` : path;
    const header: TarHeader = {
      name: Buffer.from(name, "latin1"),
      mode: kind === "symlink" ? 0o777 : mode,
      uid,
      gid,
      size: entry.size,
      mtime: Math.min(entry.mtimeS, this.#latest),
      type: TYPES[kind],
      linkName: Buffer.from(target, "latin1"),
      ...(kind === "character" || kind === "block" ? { major: entry.major, minor: entry.minor } : {}),
    };
    if (kind === "file") this.#file = new TarFile(header, (bytes) => this.#made.push(bytes));
    else this.#made.push(encodeEntry(header));
  }

  #pax(fields: [string, Uint8Array][]): void {
    const records = encodePax(fields);
    const plain = { mode: 0o644, uid: 0, gid: 0, mtime: 0, linkName: Buffer.alloc(0) };
    const name = Buffer.from("PaxHeaders/0");
    this.#made.push(
      encodeEntry({ ...plain, name, size: records.length, type: "x" }),
      records,
      Buffer.alloc(padding(records.length)),
    );
  }
}
