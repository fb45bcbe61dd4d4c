import { chmodSync, lstatSync, mkdirSync, readdirSync, type Stats, symlinkSync } from "node:fs";
import { join } from "node:path";
import { type DiskEntry, readDifference } from "../../agent/files/difference.ts";
import { download } from "../../agent/files/download.ts";
import type { AgentSession } from "../../agent/session/session.ts";
import { guestPlace, type MountSpec } from "../../config/mounts.ts";
import { SmolVMError } from "../../errors.ts";
import type { VmRecord } from "../../store/vms.ts";
import type { Deadline } from "../../util/deadline.ts";
import { rmSync } from "../../util/files-go.ts";

/** What a sandbox has changed in an overlay. */
export interface OverlayChange {
  /** below the directory; a directory's without a slash at its end */
  readonly path: string;
  /** beside the host's directory as it is now */
  readonly kind: "created" | "changed" | "removed";
  readonly type: "file" | "directory" | "symlink" | "other";
  /** bytes, of a file that is there */
  readonly size: number;
}

/** A time that no file has been changed after: the names are wanted, and no content. */
const NEVER = { s: Number.MAX_SAFE_INTEGER, ns: 0 };
/** A directory of the host below an opaque one is read to this many entries. */
const MAX_HIDDEN = 100_000;

/**
 * What a sandbox has changed in an overlay, by path.
 * @throws SmolVMError MOUNT_NOT_FOUND, FILE_UNSAFE, NOT_SUPPORTED by an older agent
 */
export async function diffOverlay(
  record: VmRecord,
  guest: string,
  session: AgentSession,
  deadline: Deadline,
): Promise<OverlayChange[]> {
  return (await compare(overlayAt(record, guest), session, deadline)).changes;
}

/** The changes of an overlay, and where its symlinks lead. */
async function compare(
  mount: MountSpec,
  session: AgentSession,
  deadline: Deadline,
): Promise<{ readonly changes: OverlayChange[]; readonly targets: ReadonlyMap<string, string> }> {
  const entries: DiskEntry[] = [];
  const removed: string[] = [];
  for await (const step of readDifference(session, { since: NEVER, overlay: mount.guest }, deadline)) {
    if (step.step === "entry" && step.entry.path !== "") entries.push(step.entry);
    else if (step.step === "removed") removed.push(step.path);
  }
  const there = new Set(entries.map(({ path }) => path));
  const hidden = entries
    .filter(({ kind, opaque }) => kind === "directory" && opaque)
    .flatMap(({ path }) => hiddenBelow(mount.host, path, there));
  const changes = entries.flatMap((entry) => changeOf(mount.host, entry));
  const gone = [...removed, ...hidden].flatMap((path): OverlayChange[] => {
    const stat = onHost(mount.host, path);
    return stat === undefined ? [] : [{ path: shown(path), kind: "removed", type: typeOf(stat), size: 0 }];
  });
  const links = entries.filter(({ kind }) => kind === "symlink");
  return {
    changes: [...changes, ...gone].sort((a, b) => (a.path < b.path ? -1 : a.path > b.path ? 1 : 0)),
    targets: new Map(links.map(({ path, target }) => [shown(path), shown(target)])),
  };
}

/**
 * Does to the host's directory what the sandbox has done to its overlay of it.
 * @param paths which: each with all that is below it; undefined: all
 * @returns what was done
 * @throws SmolVMError as {@link diffOverlay}; FILE_NOT_FOUND: of a path nothing was changed; FILE_UNSAFE: the host has a symlink on the way, or a name cannot be written; what writing
 *   files means. What was done before it stays done
 */
export async function applyOverlay(
  record: VmRecord,
  guest: string,
  paths: readonly string[] | undefined,
  session: AgentSession,
  deadline: Deadline,
): Promise<OverlayChange[]> {
  const mount = overlayAt(record, guest);
  const { changes: all, targets } = await compare(mount, session, deadline);
  const wanted = paths?.map((path) => guestPlace(`/${path}`).slice(1));
  const isWanted = ({ path }: OverlayChange): boolean =>
    wanted === undefined || wanted.some((one) => path === one || one === "" || path.startsWith(`${one}/`));
  for (const one of wanted ?? []) {
    if (one === "" || all.some(({ path }) => path === one || path.startsWith(`${one}/`))) continue;
    throw new SmolVMError(
      "FILE_NOT_FOUND",
      `the sandbox has changed nothing at '${one}' of '${mount.guest}'`,
      {
        hint: `See what it has changed: smolvm diff ${record.name} ${mount.guest}`,
      },
    );
  }
  const chosen = all.filter(isWanted);
  for (const { path } of chosen) requireName(path);
  // What is in the way goes first: a file that became a directory, and the other way round.
  for (const change of chosen.filter(({ kind }) => kind === "removed")) {
    rmSync(beneath(mount.host, change.path), { recursive: true, force: true });
  }
  for (const change of chosen)
    if (change.kind !== "removed") await write(mount, change, targets.get(change.path), session, deadline);
  return chosen;
}

async function write(
  mount: MountSpec,
  change: OverlayChange,
  target: string | undefined,
  session: AgentSession,
  deadline: Deadline,
): Promise<void> {
  const { path, type } = change;
  const parts = path.split("/");
  for (let depth = 1; depth < parts.length; depth++)
    makeParent(beneath(mount.host, parts.slice(0, depth).join("/")));
  const to = beneath(mount.host, path);
  const from = `${mount.guest}/${path}`;
  if (type === "directory") return makeDirectory(to);
  if (type === "other") {
    throw new SmolVMError(
      "FILE_UNSAFE",
      `'${path}' is a device, fifo or socket, which is not made on this machine`,
      {
        hint: "Leave it out: name the paths that are to be applied.",
      },
    );
  }
  const there = onHost(mount.host, path);
  if (there !== undefined && (there.isDirectory() || type === "symlink"))
    rmSync(to, { recursive: true, force: true });
  if (type === "file") {
    await download(session, from, to, {}, deadline);
    return;
  }
  symlinkSync(target ?? "", to);
}

/** @throws SmolVMError FILE_UNSAFE */
function requireName(path: string): void {
  if (!path.includes("\ufffd")) return;
  throw new SmolVMError("FILE_UNSAFE", `'${path}' has a name that is no UTF-8, which is not written`, {
    hint: "Leave it out: name the paths that are to be applied.",
  });
}

/** A directory above what was chosen, which may not have been: nothing is replaced for it. @throws SmolVMError FILE_UNSAFE */
function makeParent(path: string): void {
  const stat = lstatSync(path, { throwIfNoEntry: false });
  if (stat === undefined) makeDirectory(path);
  if (stat === undefined || stat.isDirectory()) return;
  throw new SmolVMError("FILE_UNSAFE", `'${path}' is no directory on this machine, and is not replaced`, {
    hint: "Remove it first, or name it among the paths that are to be applied.",
    details: { path },
  });
}

function makeDirectory(path: string): void {
  const stat = lstatSync(path, { throwIfNoEntry: false });
  if (stat?.isDirectory()) return;
  if (stat !== undefined) rmSync(path, { force: true });
  mkdirSync(path);
  chmodSync(path, 0o755);
}

/** @throws SmolVMError MOUNT_NOT_FOUND */
function overlayAt({ name, spec }: VmRecord, guest: string): MountSpec {
  const place = guestPlace(guest);
  const mount = (spec.mounts ?? []).find((one) => one.guest === place);
  if (mount?.mode === "overlay") return mount;
  throw new SmolVMError(
    "MOUNT_NOT_FOUND",
    mount === undefined
      ? `no directory of the host is mounted at '${place}' in sandbox '${name}'`
      : `what is mounted at '${place}' in sandbox '${name}' is no overlay: its mode is ${mount.mode}`,
    { hint: `See what is mounted: smolvm mount ${name}`, details: { guest: place } },
  );
}

/** A directory that was there before tells nothing by itself: what is in it does. */
function changeOf(host: string, entry: DiskEntry): OverlayChange[] {
  const stat = onHost(host, entry.path);
  const type = TYPES[entry.kind] ?? "other";
  if (type === "directory" && stat?.isDirectory()) return [];
  return [
    { path: shown(entry.path), kind: stat === undefined ? "created" : "changed", type, size: entry.size },
  ];
}

const TYPES: Readonly<Partial<Record<DiskEntry["kind"], OverlayChange["type"]>>> = {
  file: "file",
  link: "file",
  directory: "directory",
  symlink: "symlink",
};

function typeOf(stat: Stats): OverlayChange["type"] {
  if (stat.isFile()) return "file";
  if (stat.isDirectory()) return "directory";
  return stat.isSymbolicLink() ? "symlink" : "other";
}

/** What of the host's nobody in the guest sees below an opaque directory: the topmost of it. */
function hiddenBelow(host: string, path: string, there: ReadonlySet<string>): string[] {
  const hidden: string[] = [];
  const look = (below: string): void => {
    if (onHost(host, below)?.isDirectory() !== true) return;
    for (const name of readdirSync(join(host, shown(below)))) {
      const entry = `${below}/${Buffer.from(name).toString("latin1")}`;
      if (!there.has(entry)) hidden.push(entry);
      else look(entry);
      if (hidden.length > MAX_HIDDEN) return;
    }
  };
  look(path);
  return hidden;
}

/** What the host has there, links not followed; undefined: nothing. */
function onHost(host: string, path: string): Stats | undefined {
  try {
    return lstatSync(beneath(host, shown(path)), { throwIfNoEntry: false });
  } catch {
    return undefined; // something on the way is no directory, or a link
  }
}

/**
 * A path of the host's below a directory. Its names are the guest's: that none of them leads out is checked when they come (checkEntryPath), and here that no symlink does.
 * @throws SmolVMError FILE_UNSAFE
 */
function beneath(host: string, path: string): string {
  const parts = path.split("/");
  let at = host;
  for (const part of parts.slice(0, -1)) {
    at = join(at, part);
    if (lstatSync(at, { throwIfNoEntry: false })?.isSymbolicLink()) {
      throw new SmolVMError("FILE_UNSAFE", `'${at}' is a symlink on this machine, and is not followed`, {
        hint: "Leave it out: name the paths that are to be applied.",
        details: { path: at },
      });
    }
  }
  return join(host, path);
}

/** Bytes, each as one character, as text. */
function shown(path: string): string {
  return Buffer.from(path, "latin1").toString();
}
