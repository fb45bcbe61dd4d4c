import type { Deadline } from "../../util/deadline.ts";
import { Inflow } from "../session/inflow.ts";
import type { AgentSession } from "../session/session.ts";
import { DifferenceRecord, FileType } from "../wire/messages.ts";
import { RecordDecoder } from "../wire/records.ts";
import { decode } from "../wire/schema.ts";
import { checkEntryPath, unsafe } from "./entry-path.ts";
import { guestPath } from "./guest-path.ts";
import { MAX_TREE_DATA } from "./tree-policy.ts";

/** What the disk has at a path. */
export interface DiskEntry {
  readonly kind: "file" | "directory" | "symlink" | "link" | "fifo" | "character" | "block";
  /** relative to the root, which has an empty one; bytes, each as one character */
  readonly path: string;
  /** permission bits, set-uid and the like included */
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly mtimeS: number;
  /** bytes of content: of a file */
  readonly size: number;
  /** of a symlink; of a link the path that the file was sent with */
  readonly target: string;
  /** of a device */
  readonly major: number;
  readonly minor: number;
  /** extended attributes by their names, which are bytes, each as one character */
  readonly attributes: ReadonlyMap<string, Uint8Array>;
  /** of a directory: nothing of the base is seen in it */
  readonly opaque: boolean;
  /** of a file: its content was not wanted */
  readonly same: boolean;
  /** another one after every change, hex; "" of a link */
  readonly version: string;
  /** when anything of it was changed last */
  readonly ctime: GuestTime;
}

/** A time of the guest's clock. */
export interface GuestTime {
  readonly s: number;
  readonly ns: number;
}

/** One step through a difference. An entry of kind "file", unless it is the same, is followed by its content and `end`. */
export type DifferenceStep =
  | { readonly step: "entry"; readonly entry: DiskEntry }
  | { readonly step: "removed"; readonly path: string }
  | { readonly step: "data"; readonly data: Uint8Array }
  | { readonly step: "end" };

/** What is wanted of a sandbox's disk. */
export interface DifferenceRequest {
  /** content of files that were not changed after this is not; default all of it */
  readonly since?: GuestTime | undefined;
  /** not what lies over the base, but the base; default false */
  readonly base?: boolean | undefined;
  /** nothing of the disk, but all of that directory, as programs see it; absolute */
  readonly path?: string | undefined;
  /** of the directory of the host that is an overlay at that path, and not of the root */
  readonly overlay?: string | undefined;
}

const MAX_ENTRIES = 2_000_000;
/** Names and attributes are kept until the end by who makes a layer of them. */
const MAX_TEXT_BYTES = 256 * 1024 * 1024;
const MAX_CONTENT_BYTES = 256 * 1024 ** 3;
const MAX_ID = 0xffff_fffe;

const KINDS: Readonly<Record<number, DiskEntry["kind"]>> = {
  [FileType.file]: "file",
  [FileType.directory]: "directory",
  [FileType.symlink]: "symlink",
  [FileType.hardLink]: "link",
  [FileType.fifo]: "fifo",
  [FileType.characterDevice]: "character",
  [FileType.blockDevice]: "block",
};

/**
 * Reads what a sandbox's disk holds over its image, or the image itself (PROTOCOL.md, `difference`). Everything that the guest says is checked: names, kinds,
 * order, amounts.
 * @throws SmolVMError FILE_UNSAFE for what no honest guest sends, NOT_SUPPORTED by an older agent or of a machine without such a disk, FILE_FAILED, TIMEOUT, ABORTED, AGENT_LOST
 */
export async function* readDifference(
  session: AgentSession,
  { since, base, path, overlay }: DifferenceRequest,
  deadline: Deadline,
): AsyncGenerator<DifferenceStep, void, undefined> {
  const open = {
    difference: {
      sinceS: since?.s,
      sinceNs: since?.ns,
      base,
      path: path === undefined ? undefined : guestPath(path),
      overlay: overlay === undefined ? undefined : guestPath(overlay),
    },
  };
  const request = { open, what: "reading the sandbox's disk", effects: false, context: "file" } as const;
  const inflow = new Inflow(session, request, deadline, true);
  inflow.result.catch(() => {}); // taking throws it
  const policy = new DifferencePolicy();
  let steps: DifferenceStep[] = [];
  const records = new RecordDecoder((record) =>
    steps.push(policy.step(decode(DifferenceRecord, Buffer.from(record)))),
  );
  try {
    await inflow.opened;
    for (let pieces = await inflow.takeAll(); pieces !== undefined; pieces = await inflow.takeAll()) {
      for (const piece of pieces) records.push(piece);
      yield* steps;
      steps = [];
    }
    records.finish();
    policy.finish();
  } catch (error) {
    inflow.cancel(error);
    throw error;
  } finally {
    inflow.cancel(new Error("it was given up")); // nothing, if it is over
  }
}

/** Checks what comes. Pure. */
export class DifferencePolicy {
  #file: string | undefined;
  #begun = false;
  #entries = 0;
  #textBytes = 0;
  #bytes = 0;
  /** paths from the root down to where the last entry was, and the last name in each */
  readonly #way: { readonly path: string; last: string }[] = [];

  /** @throws SmolVMError FILE_UNSAFE */
  step(record: DifferenceRecord): DifferenceStep {
    const parts =
      (record.entry ? 1 : 0) +
      (record.data.length > 0 ? 1 : 0) +
      (record.end ? 1 : 0) +
      (record.removed.length > 0 ? 1 : 0);
    if (parts !== 1) throw unsafe(this.#file ?? "", "came in a record that is not exactly one thing");
    if (record.data.length > 0 || record.end) {
      if (this.#file === undefined) throw unsafe("", "is content without a file");
      if (record.end) {
        this.#file = undefined;
        return { step: "end" };
      }
      if (record.data.length > MAX_TREE_DATA)
        throw unsafe(this.#file, `has a piece of ${record.data.length} bytes`);
      this.#bytes += record.data.length;
      if (this.#bytes > MAX_CONTENT_BYTES) throw unsafe(this.#file, "makes it more than 256 GiB");
      return { step: "data", data: record.data };
    }
    if (this.#file !== undefined) throw unsafe(this.#file, "has no end");
    if (record.removed.length > 0) {
      this.#enter(record.removed);
      return { step: "removed", path: text(record.removed) };
    }
    return { step: "entry", entry: this.#entry(record) };
  }

  /** @throws SmolVMError FILE_UNSAFE if it is not over */
  finish(): void {
    if (this.#file !== undefined) throw unsafe(this.#file, "ends in the middle");
    if (!this.#begun) throw unsafe("", "is nothing");
  }

  #entry(record: DifferenceRecord): DiskEntry {
    const info = record.entry!;
    const kind = KINDS[info.type];
    if (kind === undefined) throw unsafe(info.path, "is of a kind that no image holds");
    if (info.mode > 0o7777 || info.uid > MAX_ID || info.gid > MAX_ID)
      throw unsafe(info.path, "has a mode or owner that cannot be");
    if (record.major > 0xfff || record.minor > 0xf_ffff)
      throw unsafe(info.path, "is a device that cannot be");
    if (!this.#begun) {
      this.#begun = true;
      if (info.path.length > 0 || kind !== "directory") throw unsafe(info.path, "comes before the root");
      this.#way.push({ path: "", last: "" });
    } else this.#enter(info.path);
    const isLink = kind === "symlink" || kind === "link";
    if (isLink !== info.target.length > 0 || info.target.length > 4095 || info.target.includes(0))
      throw unsafe(info.path, "has a link target that cannot be");
    if (kind === "link") checkEntryPath(info.target, "linux");
    this.#count(info.target.length);
    const attributes = new Map<string, Uint8Array>();
    for (const { name, value } of record.attributes) {
      if (name.length === 0 || name.length > 255 || name.includes(0) || name.includes(0x3d))
        throw unsafe(info.path, "has an attribute without a name that can be");
      this.#count(name.length + value.length);
      attributes.set(text(name), value);
    }
    const path = text(info.path);
    const same = record.same && kind === "file";
    if (kind === "directory" && path !== "") this.#way.push({ path, last: "" });
    if (kind === "file" && !same) this.#file = path;
    const version = Buffer.from(info.version);
    return {
      kind,
      path,
      mode: info.mode,
      uid: info.uid,
      gid: info.gid,
      mtimeS: Math.min(info.mtimeS, 2 ** 34),
      size: kind === "file" ? info.size : 0,
      target: text(info.target),
      major: record.major,
      minor: record.minor,
      attributes,
      opaque: record.opaque && kind === "directory",
      same,
      version: kind === "link" ? "" : version.toString("hex"),
      ctime: ctimeOf(version),
    };
  }

  /** Names come in order, and nothing comes but into a directory that was sent: so no path comes twice. */
  #enter(path: Uint8Array): void {
    checkEntryPath(path, "linux");
    if (++this.#entries > MAX_ENTRIES) throw unsafe(path, `comes after ${MAX_ENTRIES} others`);
    this.#count(path.length);
    const whole = text(path);
    const slash = whole.lastIndexOf("/");
    const parent = whole.slice(0, Math.max(0, slash));
    const name = whole.slice(slash + 1);
    while (this.#way.length > 0 && this.#way.at(-1)!.path !== parent) this.#way.pop();
    const above = this.#way.at(-1);
    if (above === undefined) throw unsafe(path, "is in a directory that was not sent before it");
    if (above.last >= name) throw unsafe(path, "does not come in the order of names");
    above.last = name;
  }

  #count(bytes: number): void {
    this.#textBytes += bytes;
    if (this.#textBytes > MAX_TEXT_BYTES)
      throw unsafe("", "has names and attributes of more than 256 MiB together");
  }
}

/** The third of a version's four numbers (files/info.rs), in ns since 1970. */
function ctimeOf(version: Buffer): GuestTime {
  if (version.length !== 32) return { s: 0, ns: 0 };
  const ns = version.readBigUInt64LE(16);
  const s = ns / 1_000_000_000n;
  // A clock that was set beyond all bounds makes everything new.
  return s > 2n ** 40n ? { s: 0, ns: 0 } : { s: Number(s), ns: Number(ns % 1_000_000_000n) };
}

function text(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("latin1");
}
