import { randomBytes } from "node:crypto";
import type { AgentSession } from "../../agent/session/session.ts";
import { BUILD_BOOT_TIMEOUT_MS } from "../../config/defaults.ts";
import type { Arch } from "../../config/spec.ts";
import type { MadeLayer } from "../../images/layer/layer-file.ts";
import { SmolVM } from "../../smolvm.ts";
import type { Listing } from "../../vm/commit/changes.ts";
import { overControl } from "../../vm/commit/commit.ts";
import { sourceDate } from "../../vm/commit/dates.ts";
import { listDisk, makeLayer } from "../../vm/commit/layer.ts";
import { controlSession } from "../../vm/machine/go-on.ts";
import type { Build } from "../build.ts";

const DEFAULT_MEM_MIB = 1024;
/** Longer than a tick of any guest's clock: what a step changes then has another time than what the one before has. */
const TICK_MS = 50;

/** What a sandbox has of a cache that outlives it. */
export interface MachineCache {
  readonly directory: string;
  /** keeps what it holds now */
  readonly keep: () => Promise<void>;
}

/** The sandbox that a stage's instructions are carried out in, and how its disk was after the last one. */
export class BuildMachine {
  readonly build: Build;
  readonly arch: Arch;
  readonly vm: SmolVM;
  /** of cache mounts, by their ids (cache-mounts.ts) */
  readonly caches: Map<string, MachineCache> = new Map();
  #listing: Listing;
  /** when the last layer was made, by performance.now() */
  #madeAt = Number.NEGATIVE_INFINITY;

  private constructor(build: Build, arch: Arch, vm: SmolVM, listing: Listing) {
    this.build = build;
    this.arch = arch;
    this.vm = vm;
    this.#listing = listing;
  }

  /**
   * @param image by its name in the store
   * @param isNew nothing has booted from that image, and perhaps nothing will again: no template is made of it
   * @throws SmolVMError as SmolVM.create
   */
  static async start(build: Build, image: string, arch: Arch, isNew = false): Promise<BuildMachine> {
    const { home, deadline } = build;
    const { network = "open", memSizeMib = DEFAULT_MEM_MIB, vcpuCount, diskSizeMib } = build.options;
    const vm = await SmolVM.create({
      arch,
      network,
      memSizeMib,
      ...(vcpuCount === undefined ? {} : { vcpuCount }),
      ...(diskSizeMib === undefined ? {} : { diskSizeMib }),
      ...(isNew ? { template: "off" } : {}),
      onProgress: build.onProgress,
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
      const machine = new BuildMachine(build, arch, vm, listing);
      build.machines.add(machine);
      return machine;
    } catch (error) {
      await vm.delete({ force: true }).catch(() => {}); // the first failure is the one to tell
      throw error;
    }
  }

  /** Gives a session of its own to who reads its disk. */
  async overControl<T>(act: (session: AgentSession) => Promise<T>): Promise<T> {
    const { home, deadline } = this.build;
    return await overControl(home, home.store.vms.get(this.vm.id), act, deadline);
  }

  /** A session of its own, which is the caller's to close. */
  async session(): Promise<AgentSession> {
    const { home, deadline } = this.build;
    return await controlSession(home, home.store.vms.get(this.vm.id), deadline);
  }

  /** The layer of what has changed since the last one; undefined: nothing has. What still runs is ended first. */
  async layer(): Promise<MadeLayer | undefined> {
    const { home, deadline } = this.build;
    for (const { id, running, processes } of await this.vm.processes.list())
      if (running || (processes ?? 0) > 0)
        await this.vm.processes.kill(id, "SIGKILL", { tree: true }).catch(() => {}); // it has ended
    const before = this.#listing;
    const { layer, listing } = await this.overControl((session) =>
      makeLayer(home.paths, session, { before, latest: sourceDate() }, deadline),
    );
    this.#listing = listing;
    this.#madeAt = performance.now();
    return layer;
  }

  /** Waits until what is changed now has another time than what the last layer holds. */
  async nextTick(): Promise<void> {
    const left = this.#madeAt + TICK_MS - performance.now();
    if (left > 0) await this.build.deadline.sleep(left);
  }

  /** What it holds of a cache now is what the next one begins with. */
  async keepCache(id: string): Promise<void> {
    const cache = this.caches.get(id);
    await cache?.keep().catch(() => {}); // it may be lost
  }

  /** It goes, and what its caches hold stays for the next one. */
  async stop(): Promise<void> {
    for (const id of this.caches.keys()) await this.keepCache(id);
    await this.vm.delete({ force: true });
    this.build.machines.delete(this);
  }
}
