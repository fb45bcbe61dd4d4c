import type { DifferenceStep, DiskEntry, GuestTime } from "../../agent/files/difference.ts";

/** What a disk had at a path when it was looked at. */
interface Known {
  readonly kind: DiskEntry["kind"] | "removed";
  /** another one after every change ({@link stateOf}) */
  readonly state: string;
}

/** What a disk had when it was looked at. */
export interface Listing {
  readonly entries: ReadonlyMap<string, Known>;
  /** the last change that anything of it had had */
  readonly changedAt: GuestTime;
}

/** What a layer holds, in order. An entry of kind "file" is followed by its content and `end`. */
export type LayerStep =
  | { readonly step: "entry"; readonly entry: DiskEntry }
  /** what lower layers have there is gone */
  | { readonly step: "whiteout"; readonly path: string }
  /** what lower layers have in that directory is gone */
  | { readonly step: "opaque"; readonly path: string }
  | { readonly step: "data"; readonly data: Uint8Array }
  | { readonly step: "end" };

/** Content is needed that was not asked for: all of it has to be asked for. */
export class ContentMissing extends Error {}

/**
 * What smolvm itself writes into every sandbox: names, addresses, identities. It is of that sandbox, and of no image made of it.
 */
const OWN_FILES: ReadonlySet<string> = new Set([
  "etc/hostname",
  "etc/hosts",
  "etc/machine-id",
  "etc/resolv.conf",
]);
/** What steps of a build have mounted, as long as they last. */
const BUILD_FILES = /^\.smolvm-build(?:\/|$)/;
const OWN_KEYS = /^etc\/ssh\/ssh_host_[a-z0-9]+_key(?:\.pub)?$/;

/** Whether a file is of the sandbox, not of an image made of it. Pure. */
function isOwn(path: string): boolean {
  return OWN_FILES.has(path) || OWN_KEYS.test(path) || BUILD_FILES.test(path);
}

/** A directory on the way to where the last entry was. */
interface Above {
  readonly entry: DiskEntry;
  readonly isChanged: boolean;
  written: boolean;
  /** all that is in it is new */
  readonly isNew: boolean;
}

/**
 * Makes a layer of what a disk has over its image: all of it, or what has changed since it was looked at before. Pure.
 */
export class LayerChanges {
  readonly #before: Listing | undefined;
  readonly #now = new Map<string, Known>();
  #changedAt: GuestTime;
  readonly #way: Above[] = [];
  /** files whose content was written */
  readonly #written = new Set<string>();
  /** directories that hide what was below them */
  readonly #opaque = new Set<string>();
  /** what comes is the content of a file that is not written */
  #skips = false;

  /** @param before how the disk was when the layer below was made */
  constructor(before?: Listing) {
    this.#before = before;
    this.#changedAt = before?.changedAt ?? { s: 0, ns: 0 };
  }

  /** How the disk was now: complete after {@link finish}. */
  get listing(): Listing {
    return { entries: this.#now, changedAt: this.#changedAt };
  }

  /** Takes an entry for known, and makes nothing of it. */
  note(step: DifferenceStep): void {
    if (step.step === "removed" && !isOwn(step.path)) this.#know(step.path, "removed", "");
    if (step.step !== "entry" || isOwn(step.entry.path)) return;
    this.#know(step.entry.path, step.entry.kind, stateOf(step.entry));
    this.#noteTime(step.entry);
  }

  #know(path: string, kind: Known["kind"], state: string): void {
    this.#now.set(path, { kind, state });
  }

  #noteTime({ ctime }: DiskEntry): void {
    const { s, ns } = this.#changedAt;
    if (ctime.s > s || (ctime.s === s && ctime.ns > ns)) this.#changedAt = ctime;
  }

  /** @throws ContentMissing */
  *take(step: DifferenceStep): Generator<LayerStep> {
    switch (step.step) {
      case "removed":
        if (!isOwn(step.path)) yield* this.#removed(step.path);
        return;
      case "entry":
        this.#skips = isOwn(step.entry.path);
        if (!this.#skips) yield* this.#entry(step.entry);
        return;
      case "data":
        if (!this.#skips) yield { step: "data", data: step.data };
        return;
      case "end":
        if (!this.#skips) yield { step: "end" };
        this.#skips = false;
    }
  }

  /** What was there before, and is not now. */
  *finish(): Generator<LayerStep> {
    for (const [path, { kind }] of this.#before?.entries ?? []) {
      if (kind === "removed" || this.#now.has(path)) continue;
      const parent = parentOf(path);
      // Where a directory is gone, or hides what was in it, all that was in it is.
      const above = this.#now.get(parent);
      if (above?.kind === "directory" && !this.#isHidden(parent)) yield { step: "whiteout", path };
    }
  }

  *#removed(path: string): Generator<LayerStep> {
    this.#know(path, "removed", "");
    const isNew = this.#enter(path);
    // What is in a directory that hides the layers below need not be removed from them.
    if (isNew || this.#before?.entries.get(path)?.kind === "removed") return;
    yield* this.#writeWay();
    yield { step: "whiteout", path };
  }

  *#entry(entry: DiskEntry): Generator<LayerStep> {
    const { path, kind } = entry;
    const known = this.#before?.entries.get(path);
    this.#noteTime(entry);
    const state = stateOf(entry);
    this.#know(path, kind, state);
    const isNew = path === "" ? false : this.#enter(path);
    const isChanged = this.#before === undefined || isNew || known?.kind !== kind || known.state !== state;
    if (kind === "directory") {
      const hides = entry.opaque && isChanged;
      this.#way.push({ entry, isChanged, written: false, isNew: isNew || hides });
      if (isChanged) yield* this.#writeWay();
      if (hides && !isNew) {
        this.#opaque.add(path);
        yield { step: "opaque", path };
      }
      return;
    }
    if (!isChanged && !(kind === "link" && this.#written.has(entry.target))) {
      this.#skips = kind === "file" && !entry.same;
      return;
    }
    if (entry.same) throw new ContentMissing();
    if (kind === "link" && isOwn(entry.target)) throw new ContentMissing();
    if (kind === "file") this.#written.add(path);
    yield* this.#writeWay();
    yield { step: "entry", entry };
  }

  /** Goes to the directory that a path is in. Returns whether all that is in it is new. */
  #enter(path: string): boolean {
    const parent = parentOf(path);
    while (this.#way.at(-1)!.entry.path !== parent) this.#way.pop();
    return this.#way.at(-1)!.isNew;
  }

  /** Writes the directories that lead to what is written next. */
  *#writeWay(): Generator<LayerStep> {
    for (const above of this.#way) {
      // The root is there anyway.
      if (above.written || (above.entry.path === "" && !above.isChanged)) continue;
      above.written = true;
      yield { step: "entry", entry: above.entry };
    }
  }

  #isHidden(path: string): boolean {
    for (let at = path; ; at = parentOf(at)) {
      if (this.#opaque.has(at)) return true;
      if (at === "") return false;
    }
  }
}

/** What of it changes when it does: of a directory what is its own, because what is in it has entries. */
function stateOf({ kind, version, target, mode, uid, gid, opaque, attributes }: DiskEntry): string {
  if (kind !== "directory") return `${version} ${target}`;
  const named = [...attributes].map(([name, value]) => [name, Buffer.from(value).toString("hex")]);
  return JSON.stringify([mode, uid, gid, opaque, named]);
}

function parentOf(path: string): string {
  return path.slice(0, Math.max(0, path.lastIndexOf("/")));
}
