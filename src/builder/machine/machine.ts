import { randomBytes } from "node:crypto";
import type { DiskEntry } from "../../agent/files/difference.ts";
import type { GuestFileInfo } from "../../agent/files/types.ts";
import type { AgentSession } from "../../agent/session/session.ts";
import { BUILD_BOOT_TIMEOUT_MS } from "../../config/defaults.ts";
import type { OnProgress } from "../../config/progress.ts";
import type { Arch } from "../../config/spec.ts";
import type { MadeLayer } from "../../images/layer/layer-file.ts";
import { SmolVM } from "../../smolvm.ts";
import type { Deadline } from "../../util/deadline.ts";
import { encodeEntry } from "../../util/tar/header.ts";
import type { Listing } from "../../vm/commit/changes.ts";
import { overControl } from "../../vm/commit/commit.ts";
import { sourceDate } from "../../vm/commit/dates.ts";
import { directoryTar, listDisk, makeLayer, type TarOptions } from "../../vm/commit/layer.ts";
import type { Home } from "../../vm/home.ts";
import { controlSession } from "../../vm/machine/go-on.ts";
import { type Chmod, changed } from "../plan/chmod.ts";
import { directoriesTar, putTar } from "./put.ts";

export interface MachineOptions {
  readonly arch: Arch;
  readonly network: "open" | "off";
  readonly memSizeMib: number;
  readonly vcpuCount: number | undefined;
  readonly diskSizeMib: number | undefined;
  /** as of a sandbox; default as there */
  readonly template: "auto" | "off" | undefined;
  readonly onProgress?: OnProgress | undefined;
}

/** Longer than a tick of any guest's clock: what a step changes then has another time than what the one before has. */
const TICK_MS = 50;

/** The sandbox that a stage's instructions are carried out in, and how its disk was after the last one. */
export class BuildMachine {
  readonly #home: Home;
  readonly vm: SmolVM;
  #listing: Listing;
  /** when the last layer was made, by performance.now() */
  #madeAt = Number.NEGATIVE_INFINITY;
  readonly #caches = new Map<string, string>();

  private constructor(home: Home, vm: SmolVM, listing: Listing) {
    this.#home = home;
    this.vm = vm;
    this.#listing = listing;
  }

  /**
   * @param image by its name in the store
   * @throws SmolVMError as SmolVM.create
   */
  static async start(
    home: Home,
    image: string,
    options: MachineOptions,
    deadline: Deadline,
  ): Promise<BuildMachine> {
    const { vcpuCount, diskSizeMib, template, onProgress, ...rest } = options;
    const vm = await SmolVM.create({
      ...rest,
      ...(vcpuCount === undefined ? {} : { vcpuCount }),
      ...(diskSizeMib === undefined ? {} : { diskSizeMib }),
      ...(template === undefined ? {} : { template }),
      ...(onProgress === undefined ? {} : { onProgress }),
      name: `build-${randomBytes(4).toString("hex")}`,
      image,
      pull: "never",
      lifetime: "owner",
      timeoutMs: BUILD_BOOT_TIMEOUT_MS,
      signal: deadline.signal,
    });
    try {
      const record = home.store.vms.get(vm.id);
      const listing = await overControl(home, record, (session) => listDisk(session, deadline), deadline);
      return new BuildMachine(home, vm, listing);
    } catch (error) {
      await vm.delete({ force: true }).catch(() => {}); // the first failure is the one to tell
      throw error;
    }
  }

  /** Gives a session of its own to who reads its disk. */
  async overControl<T>(act: (session: AgentSession) => Promise<T>, deadline: Deadline): Promise<T> {
    return await overControl(this.#home, this.#home.store.vms.get(this.vm.id), act, deadline);
  }

  /** The layer of what has changed since the last one; undefined: nothing has. What still runs is ended first. */
  async layer(deadline: Deadline): Promise<MadeLayer | undefined> {
    for (const { id, running, processes } of await this.vm.processes.list())
      if (running || (processes ?? 0) > 0)
        await this.vm.processes.kill(id, "SIGKILL", { tree: true }).catch(() => {}); // it has ended
    const before = this.#listing;
    const { layer, listing } = await this.overControl(
      (session) => makeLayer(this.#home.paths, session, { before, latest: sourceDate() }, deadline),
      deadline,
    );
    this.#listing = listing;
    this.#madeAt = performance.now();
    return layer;
  }

  /** Waits until what is changed now has another time than what the last layer holds. */
  async nextTick(deadline: Deadline): Promise<void> {
    const left = this.#madeAt + TICK_MS - performance.now();
    if (left > 0) await deadline.sleep(left);
  }

  /**
   * All of a directory, as a tar.
   * @param placed whose it is to be, and with which mode, if not as it is
   * @param below the directory that names in the tar begin with
   */
  async *tar(
    path: string,
    placed: Replaced,
    deadline: Deadline,
    { below = "", ...options }: TarOptions & { readonly below?: string } = {},
  ): AsyncGenerator<Buffer, void, undefined> {
    const start = below === "" ? "" : Buffer.from(`${below}/`).toString("latin1");
    yield* this.#tar(path, placed, (name) => `${start}${name}`, deadline, options);
  }

  /** @param rename names and targets of hard links, bytes, each as one character */
  async *#tar(
    path: string,
    placed: Replaced,
    rename: (name: string) => string,
    deadline: Deadline,
    options: TarOptions,
  ): AsyncGenerator<Buffer, void, undefined> {
    const change = (entry: DiskEntry): DiskEntry => ({
      ...entry,
      path: rename(entry.path),
      target: entry.kind === "link" ? rename(entry.target) : entry.target,
      ...given(placed, entry.mode, entry.kind === "directory"),
    });
    const session = await controlSession(this.#home, this.#home.store.vms.get(this.vm.id), deadline);
    try {
      yield* directoryTar(session, path, change, deadline, options);
    } finally {
      await session.close();
    }
  }

  /** A file, or a symlink if that is what `info` is of, as a tar. @param name what it is called there */
  async *fileTar(
    info: GuestFileInfo,
    name: string,
    placed: Replaced,
    deadline: Deadline,
  ): AsyncGenerator<Buffer, void, undefined> {
    const { mode, uid, gid, mtime, path, target } = info;
    if (info.type !== "symlink") {
      yield* this.#tar(path, placed, () => Buffer.from(name).toString("latin1"), deadline, {});
      return;
    }
    const header = {
      name: Buffer.from(name),
      uid,
      gid,
      size: 0,
      mtime: Math.floor(mtime.getTime() / 1000),
      type: "2",
      linkName: Buffer.from(target!),
      ...given(placed, mode, false),
    };
    yield Buffer.concat([encodeEntry(header), Buffer.alloc(1024)]);
  }

  /** Directories of caches, by their ids. */
  get caches(): ReadonlyMap<string, string> {
    return this.#caches;
  }

  /** The directory of a cache: it stays as long as the sandbox does. @param kept what it held before, the first time */
  async cache(
    id: string,
    kept: () => Promise<AsyncIterable<Buffer> | undefined>,
    { at, mode, uid, gid }: { at: string; mode: number; uid: number; gid: number },
  ): Promise<string> {
    const known = this.#caches.get(id);
    if (known !== undefined) return known;
    const name = String(this.#caches.size);
    const directory = `${at}/${name}`;
    await this.vm.files.mkdir(at, { parents: true, user: "0" });
    await putTar(this.vm, directoriesTar([{ name, mode, uid, gid, mtime: 0 }]), at);
    const content = await kept();
    if (content !== undefined) await putTar(this.vm, content, directory);
    this.#caches.set(id, directory);
    return directory;
  }

  async stop(): Promise<void> {
    await this.vm.delete({ force: true });
  }
}

/** Whose something is to be, and with which mode; absent: as it is. */
export interface Replaced {
  readonly uid?: number | undefined;
  readonly gid?: number | undefined;
  readonly mode?: Chmod | undefined;
}

function given(
  { uid, gid, mode }: Replaced,
  before: number,
  isDirectory: boolean,
): { uid?: number; gid?: number; mode: number } {
  return {
    mode: changed(mode, before, isDirectory),
    ...(uid === undefined ? {} : { uid }),
    ...(gid === undefined ? {} : { gid }),
  };
}
