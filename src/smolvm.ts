import type { Duplex } from "node:stream";
import { GuestFiles } from "./agent/files/guest-files.ts";
import type { ExposedPort, ExposeOptions } from "./agent/forward/expose.ts";
import {
  abortedEarly,
  attachProcess,
  checkAttachOptions,
  checkCommand,
  checkKillOptions,
  checkProcessId,
  checkRunOptions,
  checkSpawnOptions,
  listProcesses,
  runCommand,
  signalProcess,
  spawnProcess,
} from "./agent/process/exec.ts";
import type { AgentSession } from "./agent/session/session.ts";
import type { Command, GuestProcess, RunOptions, RunResult, SpawnOptions } from "./agent/types.ts";
import { parseBackend } from "./backends/names.ts";
import { requireOption, text, wholeNumber } from "./config/checks.ts";
import { BOOT_TIMEOUT_MS, FORK_EACH_MS, HELLO_TIMEOUT_MS } from "./config/defaults.ts";
import type { NetworkPolicy } from "./config/network-rules.ts";
import type { Limits, VMConfig } from "./config/options.ts";
import { parseConfig, requireGdbPort } from "./config/schema.ts";
import type { NetworkMode, VmSpec } from "./config/spec.ts";
import type { NetworkEvent } from "./egress/event.ts";
import { SmolVMError } from "./errors.ts";
import { readEnvironment } from "./host/environment.ts";
import { pools, snapshots } from "./saved.ts";
import { HAS_NO_MACHINE, MAY_RUN, STEADY } from "./store/states.ts";
import type { ListFilter, VmRecord } from "./store/vms.ts";
import type {
  CommitOptions,
  CommittedImage,
  FollowLogsOptions,
  ForkOptions,
  Pools,
  Ports,
  Processes,
  RestoreOptions,
  ShellOptions,
  SnapshotOptions,
  Snapshots,
  StartOptions,
  TakeOptions,
} from "./types.ts";
import { checkNames, requireObject } from "./util/check-names.ts";
import { Deadline, limited } from "./util/deadline.ts";
import { requireNode } from "./util/require-node.ts";
import { SharedWork } from "./util/shared-work.ts";
import { shown } from "./util/shown.ts";
import { tailLines } from "./util/tail-lines.ts";
import { Channel } from "./vm/channel/channel.ts";
import type { DiagnosisFile } from "./vm/diagnosis/diagnose.ts";
import { type NetworkEventsOptions, type SandboxNetwork, sandboxNetwork } from "./vm/egress/network.ts";
import { changeRules, notRestricted } from "./vm/egress/rules.ts";
import { filesOf, type Home, openHome } from "./vm/home.ts";
import { hostState } from "./vm/info/host-state.ts";
import { describe, type VMInfo } from "./vm/info/info.ts";
import { listSandboxes } from "./vm/info/list.ts";
import type { VMStats } from "./vm/info/stats.ts";
import { type SandboxEnv, sandboxEnv } from "./vm/lifecycle/env.ts";
import { expireLater } from "./vm/lifecycle/expire.ts";
import { tooLateForGdb } from "./vm/lifecycle/gdb-port.ts";
import { generatedName, newId } from "./vm/lifecycle/names.ts";
import { disown, isOwned, own } from "./vm/lifecycle/owned.ts";
import type { StartExtras, Started } from "./vm/lifecycle/start.ts";
import { readLog } from "./vm/machine/console.ts";
import { type SandboxMounts, sandboxMounts } from "./vm/mounts/sandbox-mounts.ts";
import type { Keeper } from "./vm/network/keeper.ts";
import { PortForwards } from "./vm/network/port-forwards.ts";
import { deletedError, type VmRef } from "./vm/recovery/deleted.ts";
import type { Garbage } from "./vm/recovery/gc.ts";
import { recover } from "./vm/recovery/recover.ts";
import { pausedError } from "./vm/recovery/running.ts";
import type { SnapshotInfo } from "./vm/snapshots/describe.ts";

requireNode("npx -p node@24 node PROGRAM"); // here, and not in the package's entry, which bundlers skip

/** A boot, and what it is made ready with, also on a host that emulates and is busy. */
const WARM_TIMEOUT_MS = 600_000;

/**
 * A sandbox: a disposable microVM that runs untrusted code.
 *
 * `new SmolVM(options)` checks the options and nothing else; `start()`, or the first `run()`, brings the sandbox into
 * being. `SmolVM.create(options)` does both, and `await using` deletes it at the end of the scope.
 */
export class SmolVM implements AsyncDisposable {
  /** internal id; also the name of its directories */
  readonly id: string;
  readonly name: string;
  readonly files: GuestFiles;
  readonly ports: Ports;
  readonly processes: Processes;
  /** directories of the host that it has */
  readonly mounts: SandboxMounts;
  /** the environment of its commands */
  readonly env: SandboxEnv;
  /** what it may reach, if its network is restricted */
  readonly network: SandboxNetwork;

  readonly #home: Home;
  readonly #channel: Channel;
  /** what to create the sandbox from, until it exists */
  #config: VMConfig | undefined;
  /** one bring-up at a time: concurrent first runs share it, and go on when one of them gives up */
  #bringUp: SharedWork<void> | undefined;
  readonly #forwards: PortForwards;
  /** serve the connections of a restricted network, and ports that lead to this machine's services, if it is this process's */
  readonly #keepers: Keeper[] = [];
  /** what it is to be found by, once it exists */
  #key: string | undefined;
  /** it is made and started in one: nobody has it before it runs */
  #wholeOrNothing = false;

  /**
   * @param options see {@link VMConfig}
   * @throws SmolVMError CONFIG_INVALID, NOT_SUPPORTED, BACKEND_UNSUPPORTED
   */
  constructor(options?: VMConfig);
  /** @internal */
  constructor(options: VMConfig | undefined, existing: VmRef);
  constructor(options: VMConfig = {}, existing?: VmRef) {
    if (!existing) {
      this.#config = parseConfig(options);
      parseBackend(this.#config.backend, readEnvironment(process.env).backend);
    }
    this.id = existing?.id ?? newId();
    this.name = existing?.name ?? options.name ?? generatedName();
    this.#home = openHome();
    this.#channel = new Channel(this.#home, this);
    this.#forwards = new PortForwards(this.#home, this.id);
    this.files = new GuestFiles(
      (deadline) => this.#session(deadline),
      () => this.#record().spec,
    );
    this.ports = {
      expose: (guestPort, exposeOptions) => this.#expose(guestPort, exposeOptions),
      list: () => this.#forwards.list(),
      bring: async (guestPort, target) => {
        const { bring, checkBrought } = await import("./agent/door/bring.ts"); // few need it
        checkBrought(guestPort, target);
        return bring(
          await this.#limited(`bringing a port into sandbox '${this.name}'`, {}),
          guestPort,
          target,
        );
      },
      publish: async (guestPort, publishOptions = {}) => {
        const { publishPort } = await import("./vm/network/publish.ts");
        const record = await recover(this.#home, this.#record());
        return await this.#unlessDeleted(publishPort(this.#home, record, guestPort, publishOptions));
      },
      unpublish: async (filter = {}) =>
        (await import("./vm/network/publish.ts")).unpublishPorts(this.#home, this.#record().id, filter),
      published: async () =>
        (await import("./vm/network/publish.ts")).publishedPorts(this.#home, this.#record().id),
    };
    this.processes = {
      list: async (limits = {}) => {
        const deadline = Deadline.of("listing processes", limited(limits));
        return listProcesses(await this.#session(deadline), deadline.limits);
      },
      attach: (id, limits = {}) => {
        const session = (): Promise<AgentSession> => {
          checkProcessId(id);
          checkAttachOptions(limits);
          return this.#limited(`attaching to process ${shown(id)}`, { signal: limits.signal });
        };
        return attachProcess(session(), id, limits);
      },
      kill: async (id, signal, options = {}) => {
        checkProcessId(id);
        checkKillOptions(options);
        const { tree, ...limits } = options;
        const deadline = Deadline.of(`signalling process ${shown(id)}`, limits);
        return signalProcess(await this.#session(deadline), id, signal, { tree, ...deadline.limits });
      },
    };
    this.env = sandboxEnv({
      read: () => (this.#config ? (this.#config.env ?? {}) : this.#record().spec.env),
      change: (change) => this.#changeEnv(change),
    });
    this.mounts = sandboxMounts(
      this.#home,
      () => recover(this.#home, this.#record()),
      (deadline) => this.#session(deadline),
    );
    this.network = sandboxNetwork({
      read: () => (this.#config ? policyOf(this, this.#config.network) : recordedPolicy(this.#record())),
      change: (policy) => this.#changeRules(policy),
      events: (options) => this.#networkEvents(options),
    });
  }

  /**
   * Creates and starts a sandbox.
   * @param options see {@link VMConfig}; `timeoutMs` (default 60,000 ms) and `signal` limit the whole call
   * @throws SmolVMError CONFIG_INVALID, IMAGE_NOT_FOUND, BACKEND_UNAVAILABLE, BOOT_FAILED, BOOT_TIMEOUT, NO_SPACE, VM_NAME_TAKEN
   */
  static async create(options: VMConfig & Limits = {}): Promise<SmolVM> {
    const { timeoutMs, signal, ...config } = requireObject(options);
    const vm = new SmolVM(config);
    vm.#wholeOrNothing = true;
    return await vm.#startNew({ timeoutMs, signal }, { force: true });
  }

  /**
   * Creates and starts several sandboxes of the same kind: all of them, or (when one fails) none.
   * @param count how many, 1-1000
   * @param options as for {@link SmolVM.create}; a `name` gets -1, -2, ... behind it; the limits are for each sandbox;
   *   `concurrency`: how many boot at a time, default one for each of this machine's CPUs
   * @throws SmolVMError as {@link SmolVM.create}, the first failure
   */
  static async createMany(
    count: number,
    options: VMConfig & Limits & { concurrency?: number } = {},
  ): Promise<SmolVM[]> {
    const { createAll } = await import("./vm/lifecycle/create-all.ts");
    return createAll(count, options, SmolVM.create);
  }

  /**
   * Creates a sandbox without starting it; `start()` or the first `run()` does. Its lifetime is "detached" unless told otherwise.
   * @throws SmolVMError as {@link SmolVM.create}, but for the boot
   */
  static async define(options: VMConfig & Limits = {}): Promise<SmolVM> {
    const { timeoutMs, signal, ...config } = requireObject(options);
    const vm = new SmolVM({ lifetime: "detached", ...config });
    await vm.#make(Deadline.of(`creating sandbox '${vm.name}'`, { timeoutMs, signal }));
    return vm;
  }

  /**
   * Makes the template that sandboxes with these options start from, unless it is there. Otherwise the first of them boots, and
   * it is made in the background.
   * @param options as for {@link SmolVM.create}; the limits are for the whole call, default 600,000 ms
   *   With `forAll` and `warm`, those that do not give `warm` start from this one, too, from now on
   * @returns whether it was made now
   * @throws SmolVMError NOT_SUPPORTED where such sandboxes have none (with the reason); RUN_FAILED if one of `warm` fails; else as
   *   {@link SmolVM.create}
   */
  static async warm(
    options: VMConfig & { forAll?: boolean | undefined } & Limits = {},
  ): Promise<{ made: boolean }> {
    const { timeoutMs = WARM_TIMEOUT_MS, signal, forAll, ...config } = requireObject(options);
    const deadline = Deadline.of("making a template", { timeoutMs, signal });
    const { warm } = await import("./vm/template-maker/warm.ts");
    return warm(openHome(), { ...parseConfig(config), forAll }, deadline);
  }

  /** A sandbox that exists, by name or id. @throws SmolVMError VM_NOT_FOUND, CONFIG_INVALID for what is no string */
  static async get(idOrName: string): Promise<SmolVM> {
    requireOption("idOrName", idOrName, text);
    return new SmolVM(undefined, openHome().store.vms.get(idOrName));
  }

  /**
   * The sandbox of a key, running: the one that there is (started again, if it is down), or else a new one. However many ask at the same
   * moment, in whatever processes, there is one. It is "detached" unless told otherwise: give it a `ttlMs`, or delete it some day.
   * @param key any text of 1 to 1,024 characters: a user's id, a conversation's, an address
   * @param options as for {@link SmolVM.create}: what a new one is like. One that there is stays as it is
   * @throws SmolVMError as {@link SmolVM.create}
   */
  static async getOrCreate(key: string, options: VMConfig & Limits = {}): Promise<SmolVM> {
    const { timeoutMs, signal, ...given } = requireObject(options);
    const config: VMConfig = { lifetime: "detached", ...parseConfig(given) };
    const { findOrMake } = await import("./vm/lifecycle/get-or-create.ts");
    const deadline = Deadline.of("getting or creating a sandbox", { timeoutMs, signal });
    return findOrMake(openHome(), key, deadline, {
      open: async (found, limits) => {
        const vm = SmolVM.from(found);
        await vm.start({ ...limits, onProgress: config.onProgress });
        return vm;
      },
      make: async (limits) => {
        const vm = new SmolVM(config);
        vm.#key = key;
        return await vm.#startNew(limits, { force: false }); // others may have started it where we could not
      },
    });
  }

  /**
   * The handle of a sandbox that is known: of what {@link SmolVM.list} gives, or another handle said elsewhere. Looks at nothing: if it is gone, the
   * handle's calls say so.
   * @throws SmolVMError CONFIG_INVALID for what has no id and name
   */
  static from(vm: { readonly id: string; readonly name: string }): SmolVM {
    requireOption("id", vm?.id, text);
    requireOption("name", vm?.name, text);
    return new SmolVM(undefined, { id: vm.id, name: vm.name });
  }

  /** The snapshots of this user. */
  static readonly snapshots: Snapshots = snapshots;

  /** The pools of this user that smolvm's supervisor keeps full. */
  static readonly pools: Pools = pools;

  /**
   * Takes a sandbox that waits in a pool: it has run a command already, and gets an identity of its own now. Where none waits, the next one.
   * @param pool its name
   * @param options `timeoutMs` (default 60,000 ms) and `signal` limit the whole call
   * @throws SmolVMError POOL_NOT_FOUND, VM_NAME_TAKEN, CONFIG_INVALID, TIMEOUT, ABORTED
   */
  static async take(pool: string, options: TakeOptions = {}): Promise<SmolVM> {
    const { checkOwnOptions } = await import("./vm/lifecycle/own-options.ts");
    const { takeFromPool } = await import("./vm/pool/take.ts");
    const { timeoutMs = BOOT_TIMEOUT_MS, signal, name = generatedName(), ...rest } = requireObject(options);
    requireOption("pool", pool, text);
    const own = checkOwnOptions({ name, ...rest });
    const deadline = Deadline.of(`taking a sandbox from pool '${pool}'`, { timeoutMs, signal });
    const home = openHome();
    const started = await takeFromPool(home, pool, { name, ...own }, deadline);
    const vm = new SmolVM(undefined, started.record);
    await vm.#adopt(started, deadline);
    try {
      for (const mount of own.mounts ?? []) await vm.mounts.add(mount, deadline.limits);
    } catch (error) {
      await vm.delete({ force: true }).catch(() => {}); // the first failure is the one to tell
      throw error;
    }
    return vm;
  }

  /**
   * A new sandbox that goes on where a snapshot was taken: memory, processes, disk. Any number can, at the same time too, with or without the
   * sandbox that it was taken of. Of a snapshot of a disk alone: one that boots with it.
   * @param snapshot its name
   * @param options `timeoutMs` (default 60,000 ms) and `signal` limit the whole call
   * @throws SmolVMError SNAPSHOT_NOT_FOUND, SNAPSHOT_INVALID, SNAPSHOT_INCOMPATIBLE (`details.reasons`), VM_NAME_TAKEN, CONFIG_INVALID, and as {@link SmolVM.create}
   */
  static async restore(snapshot: string, options: RestoreOptions = {}): Promise<SmolVM> {
    const { checkOwnOptions } = await import("./vm/lifecycle/own-options.ts");
    const {
      timeoutMs = BOOT_TIMEOUT_MS,
      signal,
      name = generatedName(),
      diskOnly,
      ...rest
    } = requireObject(options);
    requireOption("snapshot", snapshot, text);
    const own = checkOwnOptions({ name, ...rest });
    const vm = new SmolVM(undefined, { id: newId(), name });
    const deadline = Deadline.of(`restoring snapshot '${snapshot}'`, { timeoutMs, signal });
    try {
      const { restoreSnapshot } = await import("./vm/snapshots/restore.ts");
      await vm.#prepareToLive(own, deadline);
      await vm.#take(await restoreSnapshot(vm.#home, snapshot, vm, { ...own, diskOnly }, deadline), deadline);
      return vm;
    } catch (error) {
      await vm.delete({ force: true }).catch(() => {}); // the first failure is the one to tell
      throw error;
    }
  }

  /**
   * All sandboxes of this user, oldest first, in the state that they really are in. {@link SmolVM.from} makes handles of them.
   * @throws SmolVMError CONFIG_INVALID for a filter that is none
   */
  static async list(filter: ListFilter = {}): Promise<VMInfo[]> {
    return listSandboxes(openHome(), filter);
  }

  /**
   * Clears up what processes that died have left on this machine: half made sandboxes, machines, directories, cgroups,
   * taps, leases, sockets, unfinished images. Every call does this for what it touches; this looks everywhere.
   * @returns what was cleared up
   * @throws SmolVMError HOST_FAILED, NO_SPACE
   */
  static async gc(): Promise<Garbage[]> {
    const { collectGarbage } = await import("./vm/recovery/gc.ts");
    return collectGarbage(openHome());
  }

  /**
   * Boots the sandbox, creating it first if this object has not yet. Starting what runs, or what others are starting, is
   * fine, unless for `gdbPort`.
   * @param limits `timeoutMs` limits all of that; default 60,000 ms, for the start alone: what its image takes to be pulled or built is not in them
   * @throws SmolVMError as {@link SmolVM.create}
   */
  async start(limits: StartOptions = {}): Promise<void> {
    const { timeoutMs, signal } = limited(limits, "onProgress", "gdbPort");
    if (limits.gdbPort !== undefined) requireGdbPort(limits.gdbPort);
    const deadline = Deadline.of(`starting sandbox '${this.name}'`, { timeoutMs, signal });
    if (!this.#bringUp) {
      const record = this.#home.store.vms.find(this.id);
      if (record && (await recover(this.#home, record)).state === "running") {
        if (limits.gdbPort !== undefined) throw tooLateForGdb(record.name, limits.gdbPort);
        return;
      }
    }
    const { onProgress, gdbPort } = limits;
    const bootMs = timeoutMs === undefined ? BOOT_TIMEOUT_MS : undefined;
    await this.#start(deadline, { onProgress, gdbPort, bootMs });
  }

  /**
   * Stops it in order: its processes are ended, its disk is synced and kept. Stopping what is stopped, or was never
   * started, is fine.
   * @throws SmolVMError VM_BUSY, VM_NOT_FOUND
   */
  async stop(limits: Limits = {}): Promise<void> {
    const deadline = Deadline.of(`stopping sandbox '${this.name}'`, limited(limits));
    if (this.#config && !this.#bringUp) return;
    await this.#forwards.closeAll();
    await this.#stop(deadline);
    await this.#tellSupervisor();
  }

  /**
   * Stops it and starts it again, with its disk; what does not run is only started. Ports that this process exposes
   * stay open, connections through them end.
   * @param limits `timeoutMs` is for both together; default: 60,000 ms for the start alone
   * @throws SmolVMError as {@link stop} and {@link start}
   */
  async restart(limits: StartOptions = {}): Promise<void> {
    limited(limits, "onProgress", "gdbPort");
    const deadline = Deadline.of(`restarting sandbox '${this.name}'`, limits);
    await this.#bringUp?.settled; // whoever began it is told
    if (this.#home.store.vms.find(this.id)) {
      limits.onProgress?.({ stage: "stop", message: `stopping ${this.name}` });
      await this.#stop(deadline);
      deadline.check();
    }
    await this.start({ ...limits, ...deadline.limits });
  }

  /**
   * Lets its processors stand still: it keeps its memory, and uses no processor time, until {@link resume} or {@link start}. What needs its guest meanwhile fails
   * with VM_STATE; what was begun before waits. Pausing what is paused is fine.
   * @throws SmolVMError VM_STATE if it does not run, VM_NOT_FOUND, VM_BUSY, NOT_SUPPORTED, VMM_FAILED
   */
  async pause(limits: Limits = {}): Promise<void> {
    const { pauseVm } = await import("./vm/lifecycle/pause.ts");
    const deadline = Deadline.of(`pausing sandbox '${this.name}'`, limited(limits));
    await this.#bringUp?.settled; // whoever began it is told
    this.#record();
    await pauseVm(this.#home, this, deadline);
  }

  /**
   * Lets a paused sandbox go on; its clock is put right by the next call. Fine for one that runs.
   * @throws SmolVMError VM_STATE if it is down, VM_NOT_FOUND, VM_BUSY, VMM_FAILED
   */
  async resume(limits: Limits = {}): Promise<void> {
    const { resumeVm } = await import("./vm/lifecycle/pause.ts");
    const deadline = Deadline.of(`resuming sandbox '${this.name}'`, limited(limits));
    this.#record();
    await resumeVm(this.#home, this, deadline);
  }

  /**
   * Saves it under a name, to go on from with {@link SmolVM.restore}: by default all of it, of one moment. It goes on as before; for a full one it stands
   * still for some milliseconds. Of one that went on from a snapshot the difference to that is kept, where it saves half. Its files are readable for this user alone, and hold what the sandbox holds, secrets too.
   * @param name 1 to 63 letters, digits, dots, dashes and underscores
   * @throws SmolVMError SNAPSHOT_EXISTS, CONFIG_INVALID, VM_STATE (a full one of what is down), VM_NOT_FOUND, VM_BUSY, NOT_SUPPORTED, VMM_FAILED, NO_SPACE
   */
  async snapshot(name: string, options: SnapshotOptions = {}): Promise<SnapshotInfo> {
    const { takeSnapshot, checkSnapshotOptions } = await import("./vm/snapshots/take.ts");
    const { oneSnapshot } = await import("./vm/snapshots/manage.ts");
    requireOption("name", name, text);
    checkSnapshotOptions(options);
    const { kind = "full", ...limits } = options;
    const deadline = Deadline.of(`taking snapshot '${name}'`, limits);
    await this.#bringUp?.settled; // whoever began it is told
    this.#record();
    await takeSnapshot(this.#home, this, { name, kind }, deadline);
    return oneSnapshot(this.#home, name);
  }

  /**
   * Makes an image of it: of its image, and what its disk holds besides, as a layer over that. It goes on as before; one that runs stands still while its disk is read, one that is
   * down is read by a machine that is for nothing else. What smolvm writes into each sandbox (host name, machine id, name servers, SSH host keys) is not in the image, nor are its own
   * variables; what else it holds is, secrets too. The image is run as the one below, but for `config`.
   * @param image what it is to be called: a plain name ("mine"), or as for a registry ("ghcr.io/me/mine:1")
   * @param options `config`: what the image says otherwise than the one below
   * @throws SmolVMError CONFIG_INVALID, NOT_SUPPORTED (its disk lies over no image), IMAGE_INVALID (the layers of the image below were pruned), VM_NOT_FOUND, VM_BUSY,
   *   NO_SPACE, TIMEOUT, ABORTED
   */
  async commit(image: string, options: CommitOptions = {}): Promise<CommittedImage> {
    const { checkCommitOptions } = await import("./vm/commit/options.ts");
    const { commitVm } = await import("./vm/commit/commit.ts");
    requireOption("image", image, text);
    checkCommitOptions(options);
    const { timeoutMs, signal, ...request } = options;
    const deadline = Deadline.of(`making image '${image}' of sandbox '${this.name}'`, { timeoutMs, signal });
    await this.#bringUp?.settled; // whoever began it is told
    this.#record();
    const made = await commitVm(this.#home, this, { name: image, ...request }, deadline);
    return { name: made.name, digest: made.origin!.manifest, arch: made.arch, sizeBytes: made.sizeBytes };
  }

  /**
   * New sandboxes that go on from where this one is now, memory and processes included, each on its own. This one is not stopped: it stands still for some
   * milliseconds. Commands that run in it go on in each child, detached (`processes.list()`, `processes.attach()`); connections of this one end in them.
   * @param options `timeoutMs` (default 60,000 ms, and 5,000 more for each child after the first) and `signal` limit the whole call
   * @returns all of them; when one fails, none is left
   * @throws SmolVMError VM_STATE if it does not run, CONFIG_INVALID, and as {@link snapshot} and {@link SmolVM.restore}
   */
  async fork(options: ForkOptions = {}): Promise<SmolVM[]> {
    const { checkOwnOptions, childNames } = await import("./vm/lifecycle/own-options.ts");
    const { signal, count = 1, name, timeoutMs: limitMs, ...rest } = requireObject(options);
    const own = checkOwnOptions({ name, ...rest });
    const names = childNames(count, name, generatedName);
    const timeoutMs = limitMs ?? BOOT_TIMEOUT_MS + (count - 1) * FORK_EACH_MS;
    const deadline = Deadline.of(`forking sandbox '${this.name}'`, { timeoutMs, signal });
    await this.#bringUp?.settled; // whoever began it is told
    this.#record();
    const children = names.map((child) => new SmolVM(undefined, { id: newId(), name: child }));
    try {
      const { forkVm } = await import("./vm/snapshots/fork.ts");
      await this.#prepareToLive(own, deadline);
      const started = await forkVm(this.#home, this, children, own, deadline);
      await Promise.all(children.map((child, index) => child.#take(started[index]!, deadline)));
      return children;
    } catch (error) {
      await Promise.all(children.map((child) => child.delete({ force: true }).catch(() => {})));
      throw error;
    }
  }

  /**
   * Changes its time to live: it is removed so long from now, whatever it was to be, or never. Before it was started: so long from its creation.
   * @param ttlMs as {@link VMConfig}'s; "off": it has no end
   * @throws SmolVMError CONFIG_INVALID, VM_NOT_FOUND, VM_STATE if it dies with another process; for a detached one NOT_SUPPORTED (with
   *   SMOLVM_SUPERVISOR=off), HOST_FAILED, TIMEOUT, ABORTED
   */
  async setTtl(ttlMs: number | "off", limits: Limits = {}): Promise<void> {
    const { changeTtl, requireTtl } = await import("./vm/lifecycle/ttl.ts");
    requireTtl(ttlMs);
    const deadline = Deadline.of(`setting the time to live of sandbox '${this.name}'`, limited(limits));
    await this.#bringUp?.settled; // whoever began it is told
    if (!this.#config) return await changeTtl(this.#home, this, ttlMs, deadline);
    const { ttlMs: _, ...rest } = this.#config;
    this.#config = ttlMs === "off" ? rest : { ...rest, ttlMs };
  }

  /**
   * Removes it with its disk. Deleting what was never started, is deleted already or is being deleted is fine.
   * @param options `force` (default true for a sandbox that dies with this process, else false): kill it if it runs. With it `behind` (default
   *   false): where smolvm's supervisor runs, that removes what is left when the machine has been killed, and this does not wait for it
   * @throws SmolVMError VM_STATE, VM_BUSY
   */
  async delete(options: { force?: boolean; behind?: boolean } & Limits = {}): Promise<void> {
    const { behind = false, force: asked, ...limits } = limited(options, "force", "behind");
    await this.#bringUp?.settled;
    const record = this.#home.store.vms.find(this.id);
    if (record) {
      const force = asked ?? record.spec.lifetime === "owner";
      const { removeBehind, removeVm } = await import("./vm/lifecycle/remove.ts");
      const deadline = Deadline.of(`deleting sandbox '${this.name}'`, limits);
      if (force) await this.#letGo(); // else it may be refused, and goes on as it is
      if (force && behind) await removeBehind(this.#home, this.id, deadline);
      else {
        await removeVm(this.#home, this.id, { force }, deadline);
        await this.#tellSupervisor();
      }
    }
    await this.#letGo();
    disown(this.id);
  }

  /** At the end of an `await using` scope: deletes a sandbox that this process owns, lets go of any other. */
  async [Symbol.asyncDispose](): Promise<void> {
    if (isOwned(this.id)) await this.delete({ force: true });
    else await this.#letGo();
  }

  /** What is known about it now. @throws SmolVMError VM_NOT_FOUND before it was created and after it was deleted */
  async info(): Promise<VMInfo> {
    const record = await recover(this.#home, this.#record());
    return describe(record, { ...hostState(this.#home), ports: this.#home.store.ports.of(record.id) });
  }

  /** What it uses of the host now: CPU time, memory, disk. @throws SmolVMError VM_NOT_FOUND as {@link info} */
  async stats(): Promise<VMStats> {
    const { readStats } = await import("./vm/info/stats.ts");
    return readStats(this.#home, await recover(this.#home, this.#record()));
  }

  /**
   * Everything about it that helps to find out what is wrong, in whatever state it is: record, processes, the VMM's and
   * the agent's answers, console, logs, the host. Values of its environment and kernel arguments are left out, wherever
   * they appear; what the guest printed is not. Changes nothing.
   * @param limits `timeoutMs` default 30,000 ms; a VMM or agent that does not answer is given 5,000 ms each
   * @throws SmolVMError VM_NOT_FOUND, TIMEOUT, ABORTED
   */
  async diagnose(limits: Limits = {}): Promise<DiagnosisFile[]> {
    const { diagnose } = await import("./vm/diagnosis/diagnose.ts");
    const deadline = Deadline.of(`diagnosing sandbox '${this.name}'`, {
      timeoutMs: 30_000,
      ...given(limited(limits)),
    });
    return diagnose(this.#home, this.#record(), deadline);
  }

  /**
   * The guest's console, as far as it is kept (about 1 MiB), as text.
   * @param options `tailLines`: only that many last lines
   * @throws SmolVMError VM_NOT_FOUND, CONFIG_INVALID
   */
  async logs(options: { tailLines?: number } = {}): Promise<string> {
    checkNames(options, ["tailLines"]);
    checkTail(options.tailLines);
    this.#record();
    const text = readLog(filesOf(this.#home, this.id).console);
    return options.tailLines === undefined ? text : tailLines(text, options.tailLines);
  }

  /**
   * The guest's console as it comes: first what is kept of it, then what follows, until the sandbox stops or is deleted.
   * @throws SmolVMError VM_NOT_FOUND; ABORTED or TIMEOUT by `signal` and `timeoutMs` (default: no limit)
   */
  async *followLogs(options: FollowLogsOptions = {}): AsyncGenerator<string, void, undefined> {
    limited(options, "tailLines");
    checkTail(options.tailLines);
    const deadline = Deadline.of(`following the console of sandbox '${this.name}'`, options);
    const { console } = filesOf(this.#home, this.#record().id);
    const { followLog } = await import("./host/logs/follow-log.ts");
    yield* followLog(console, {
      deadline,
      tailLines: options.tailLines,
      isOver: () => this.#isDown(),
    });
  }

  /**
   * Runs a command to its end. A string goes to the guest's `/bin/sh -c`, an array is executed as it is.
   * A sandbox that has not run yet is started first. A non-zero exit is a result, not an error; with `ifStopped: "result"` so are
   * a time that is over, an abort and too much output.
   * @throws SmolVMError COMMAND_NOT_FOUND, COMMAND_NOT_EXECUTABLE, CONFIG_INVALID, VM_STATE; as a {@link RunError}, with what
   *   it had printed: RUN_TIMEOUT, RUN_ABORTED, OUTPUT_LIMIT, RUN_FAILED (with `check`), HOST_FAILED (its stdin could not be read),
   *   AGENT_LOST, OUTCOME_UNKNOWN
   */
  async run(command: string | readonly string[], options: RunOptions = {}): Promise<RunResult> {
    checkRunOptions(options);
    const { session, record } = await this.#readyFor(command, options);
    return runCommand(session, command, withDefaults(record, options));
  }

  /**
   * Starts a command and gives its process at once, with its input, its output as it comes, signals and its end.
   * See {@link run} for the command, {@link GuestProcess} for the rest.
   */
  spawn(command: string | readonly string[], options: SpawnOptions = {}): GuestProcess {
    let ready: Ready;
    const session = async (): Promise<AgentSession> => {
      checkSpawnOptions(options);
      ready = await this.#readyFor(command, options);
      return ready.session;
    };
    return spawnProcess(session(), command, () => withDefaults(ready.record, options));
  }

  /** An interactive login shell on a terminal in the guest: bash where there is one, else sh. */
  shell(options: ShellOptions = {}): GuestProcess {
    const { cols = 80, rows = 24, ...rest } = requireObject(options);
    const login = "if [ -x /bin/bash ]; then exec /bin/bash -l; else exec /bin/sh -l; fi";
    return this.spawn(["/bin/sh", "-c", login], { ...rest, pty: { cols, rows } });
  }

  /**
   * A TCP connection to a port in the guest, over the agent's channel (the guest needs no network for it).
   * @throws SmolVMError CONNECTION_REFUSED, VM_STATE
   */
  async connect(guestPort: number, limits: Limits = {}): Promise<Duplex> {
    const { checkPort, forward } = await import("./agent/forward/forward.ts");
    checkPort(guestPort, "the guest port");
    const deadline = Deadline.of(`connecting to guest port ${guestPort}`, limited(limits));
    return forward(await this.#session(deadline), { port: guestPort }, { deadline });
  }

  /** {@link #record}, of which reading all takes as long as all else that this side does for a small request. */
  #brief(): CommandRecord {
    return this.#home.store.vms.findForCommand(this.id) ?? this.#record();
  }

  #record(): VmRecord {
    const record = this.#home.store.vms.find(this.id);
    if (record) return record;
    throw this.#config
      ? new SmolVMError("VM_NOT_FOUND", `sandbox '${this.name}' was not started yet`, {
          hint: "Start it first: await vm.start()",
        })
      : deletedError(this);
  }

  /** The session for a command, and what is known of the sandbox then: any process may have changed it since the last one. */
  async #readyFor(command: Command, options: RunOptions | SpawnOptions): Promise<Ready> {
    const known = await this.#ofOpenChannel();
    if (!known) checkCommand(command, options); // else it is on its way, without more ado
    const { signal } = options;
    try {
      const session = await this.#anySession(
        Deadline.of(`running a command in sandbox '${this.name}'`, { signal }),
      );
      const record = known ?? this.#brief();
      requireUnpaused(record);
      return { session, record };
    } catch (error) {
      throw abortedEarly(error, command);
    }
  }

  #limited(what: string, limits: Limits): Promise<AgentSession> {
    return this.#session(Deadline.of(what, limits));
  }

  /** Starts one that this call made; if that fails, it is removed again. */
  async #startNew(limits: Limits, remove: { force: boolean }): Promise<this> {
    try {
      await this.start(limits);
    } catch (error) {
      await this.delete(remove).catch(() => {}); // the first failure is the one to tell
      throw error;
    }
    return this;
  }

  /** The session to the agent; a sandbox that has not run yet is started for it. @throws SmolVMError VM_STATE: it is paused */
  async #session(deadline: Deadline): Promise<AgentSession> {
    await this.#ofOpenChannel();
    return await this.#anySession(deadline);
  }

  /**
   * What is known of the sandbox, if there is a channel into it to be used; else undefined. One into a machine that is known to be gone is none: that its
   * socket has ended comes later than the record, for who looks at that first, and what is asked over it may or may not have happened.
   * @throws SmolVMError VM_STATE: it is paused, and would let a request wait without a word
   */
  async #ofOpenChannel(): Promise<CommandRecord | undefined> {
    if (this.#bringUp || !this.#channel.isOpen) return undefined;
    const record = this.#brief();
    requireUnpaused(record);
    if (!HAS_NO_MACHINE.has(record.state) && record.state !== "starting") return record; // the next machine's, if it is starting
    await this.#channel.close();
    return undefined;
  }

  /** {@link #session}, for who has looked at the record. */
  async #anySession(deadline: Deadline): Promise<AgentSession> {
    if (this.#bringUp) await this.#bringUp.join(deadline);
    else if (!this.#channel.isOpen && (await this.#isToStart())) {
      await this.#start(deadline, { bootMs: BOOT_TIMEOUT_MS });
    }
    return this.#channel.session(deadline);
  }

  /** Whether what needs the guest starts the sandbox first. */
  async #isToStart(): Promise<boolean> {
    return this.#config !== undefined || startsWhenAsked(await recover(this.#home, this.#record()));
  }

  /** The outcome of a change in the store; that others removed the sandbox in the meantime is told as ever. */
  async #unlessDeleted<T>(change: Promise<T>): Promise<T> {
    try {
      return await change;
    } catch (error) {
      throw this.#home.store.vms.find(this.id) ? error : deletedError(this);
    }
  }

  /**
   * @param deadline of the caller, who may wait for a start that another has begun
   * @param options `bootMs`: limit of the start itself, if it is begun now, from when the sandbox is made; default the caller's, for all of it, and
   *   it tells when it is over
   */
  async #start(
    deadline: Deadline,
    options: { bootMs?: number | undefined } & StartExtras = {},
  ): Promise<void> {
    if (this.#bringUp) return await this.#bringUp.join(deadline);
    if (!this.#config) this.#record();
    const { bootMs, onProgress = this.#config?.onProgress, gdbPort } = options;
    const what = `starting sandbox '${this.name}'`;
    const bringUp = new SharedWork((signal) => {
      const within = (timeoutMs: number | undefined): Deadline => Deadline.of(what, { timeoutMs, signal });
      const all = within(bootMs === undefined ? deadline.timeoutMs : undefined);
      const boot = (): Deadline => (bootMs === undefined ? all : within(bootMs));
      return this.#bringUpNow(all, boot, { onProgress, gdbPort }).finally(() => {
        this.#bringUp = undefined;
      });
    });
    this.#bringUp = bringUp;
    await bringUp.join(
      bootMs === undefined ? Deadline.of(what, { signal: deadline.limits.signal }) : deadline,
    );
  }

  /** @param boot the limit of its start, which begins when it is asked for */
  async #bringUpNow(all: Deadline, boot: () => Deadline, extras: StartExtras): Promise<void> {
    const config = this.#config ?? {};
    const { lifetime, ports } = config;
    // A detached one must be there for the supervisor, which opens its ports.
    const unfinished = this.#wholeOrNothing && this.#config !== undefined && lifetime !== "detached";
    try {
      // First, so that a port which is taken is told at once. Who connects early waits for the guest.
      if (lifetime !== "detached")
        for (const { guestPort, ...where } of ports ?? []) await this.#listen(guestPort, where);
      await this.#make(all, unfinished);
      const deadline = boot();
      try {
        await this.#openPorts(config, deadline);
      } catch (error) {
        if (unfinished) this.#home.store.vms.unlock(this.id); // whoever looks at it next removes what there is
        throw error;
      }
      const { startVm } = await import("./vm/lifecycle/start.ts");
      const started = await startVm(this.#home, this, deadline, { ...extras, unfinished });
      if (started) {
        this.#channel.adopt(started.session, started.lease);
        await this.#openDoor(started.record, deadline);
      }
    } catch (error) {
      await this.#forwards.closeAll();
      await this.#tellSupervisor();
      throw error;
    }
  }

  /** Opens ports that are known once it is made, those of a detached one by the supervisor. */
  async #openPorts(config: VMConfig, deadline: Deadline): Promise<void> {
    if (config.publishAll && config.lifetime !== "detached") {
      const { exposedForwards } = await import("./vm/network/exposed.ts");
      for (const { guestPort } of exposedForwards(this.#record().spec, config))
        await this.#listen(guestPort, {});
    }
    this.#forwards.note();
    if (this.#home.store.forwards.of(this.id).length === 0) return;
    const { openForwards } = await import("./vm/supervisor/duties.ts");
    await openForwards(this.#home, this.id, deadline);
  }

  /** Ends what this process has open of it. */
  async #letGo(): Promise<void> {
    this.#closeDoor();
    await this.#forwards.closeAll();
    await this.#channel.close();
  }

  async #stop(deadline: Deadline): Promise<void> {
    const { stopVm } = await import("./vm/lifecycle/stop.ts");
    this.#closeDoor();
    await this.#channel.close();
    await stopVm(this.#home, this, deadline);
  }

  /** What must be there before a sandbox of that kind is. */
  async #prepareToLive(
    options: Pick<VMConfig, "lifetime" | "network" | "bring"> & { ttlMs?: number | undefined },
    deadline: Deadline,
  ): Promise<void> {
    const { ttlMs, network, bring = [] } = options;
    const needsIt = ttlMs !== undefined || modeOf(network) === "restricted" || bring.length > 0;
    if (options.lifetime !== "detached" || !needsIt) return;
    const { ensureSupervisor } = await import("./vm/supervisor/ensure.ts");
    await ensureSupervisor(this.#home, deadline);
  }

  /** This object's sandbox was taken from those that wait. */
  async #adopt({ record, session, lease }: Started, deadline: Deadline): Promise<void> {
    this.#channel.adopt(session, lease);
    if (record.owner !== undefined) {
      own(this.id, this.#home);
      expireLater(this.#home, this.id, record.expiresAt);
    }
    await this.#openDoor(record, deadline);
  }

  /** This object's sandbox was made and started by others' means. */
  async #take({ record, session, lease }: Started, deadline: Deadline): Promise<void> {
    await this.#live(record);
    this.#channel.adopt(session, lease);
    await this.#openDoor(record, deadline);
  }

  /**
   * Ports that were brought, and what leaves a restricted network, are served from now on, before its guest is asked for anything: by the supervisor
   * those of a detached sandbox, by this process those of any other.
   */
  async #openDoor({ id, spec }: VmRecord, deadline: Deadline): Promise<void> {
    const { machine, lifetime, bring = [] } = spec;
    const isRestricted = machine.network === "restricted";
    if (!isRestricted && bring.length === 0) return;
    this.#closeDoor();
    if (lifetime === "detached") {
      const { askToLook } = await import("./vm/supervisor/duties.ts");
      return await askToLook(this.#home, deadline);
    }
    const what = `serving the network of sandbox '${this.name}'`;
    const session = (): Promise<AgentSession> =>
      this.#channel.session(Deadline.within(HELLO_TIMEOUT_MS, what));
    const open = async (keeper: Keeper): Promise<void> => {
      await deadline.race(keeper.open());
      this.#keepers.push(keeper);
    };
    if (isRestricted) {
      const { DoorKeeper } = await import("./vm/egress/keeper.ts");
      await open(new DoorKeeper(this.#home, id, session));
    }
    if (bring.length > 0) {
      const { BringKeeper } = await import("./vm/network/bring-keeper.ts");
      await open(new BringKeeper(this.#home, id, bring, session));
    }
  }

  #closeDoor(): void {
    for (const keeper of this.#keepers.splice(0)) keeper.close();
  }

  /** A sandbox that was just made has who sees to its end. */
  async #live(record: VmRecord): Promise<void> {
    if (record.spec.lifetime === "owner") {
      own(this.id, this.#home);
      expireLater(this.#home, this.id, record.expiresAt);
    } else await this.#tellSupervisor();
  }

  /** Creates the sandbox, if this object has not yet; `unfinished`: but for its disk, and locked until it runs. */
  async #make(deadline: Deadline, unfinished = false): Promise<void> {
    if (!this.#config) return;
    await this.#prepareToLive(this.#config, deadline);
    const { createVm } = await import("./vm/lifecycle/create.ts");
    const vm = { id: this.id, name: this.name, key: this.#key, unfinished };
    const record = await createVm(this.#home, this.#config, vm, deadline);
    this.#config = undefined;
    await this.#live(record);
  }

  async #changeEnv(change: (env: VmSpec["env"]) => VmSpec["env"]): Promise<void> {
    await this.#bringUp?.settled; // whoever began it is told
    if (this.#config) {
      this.#config = { ...this.#config, env: change(this.#config.env ?? {}) };
      return;
    }
    await recover(this.#home, this.#record());
    await this.#unlessDeleted(
      (async () =>
        this.#home.store.vms.changeSpec(this.id, (spec) => ({ ...spec, env: change(spec.env) })))(),
    );
  }

  async #changeRules(policy: NetworkPolicy): Promise<void> {
    await this.#bringUp?.settled; // whoever began it is told
    if (this.#config) {
      policyOf(this, this.#config.network);
      this.#config = { ...this.#config, network: { mode: "restricted", ...policy } };
      return;
    }
    await recover(this.#home, this.#record());
    await this.#unlessDeleted((async () => changeRules(this.#home, this, policy))());
  }

  async *#networkEvents(options: NetworkEventsOptions): AsyncGenerator<NetworkEvent> {
    const { follow = false, ...limits } = limited(options, "follow");
    const { keptEvents, followEvents } = await import("./vm/egress/events.ts");
    const deadline = Deadline.of(`following the network of sandbox '${this.name}'`, limits);
    const { id, spec } = this.#record();
    if (spec.machine.network !== "restricted") throw notRestricted(this, spec.machine.network, "log");
    const { networkLog } = filesOf(this.#home, id);
    if (follow) yield* followEvents(networkLog, { deadline, isOver: () => this.#isDown() });
    else yield* keptEvents(networkLog);
  }

  /** Nothing runs of it. */
  async #isDown(): Promise<boolean> {
    const record = this.#home.store.vms.find(this.id);
    return !record || !MAY_RUN.has((await recover(this.#home, record)).state);
  }

  /** Something has changed that a supervisor, if there is one, should know. */
  async #tellSupervisor(): Promise<void> {
    if (!this.#home.store.supervisor.current()) return;
    const { tellSupervisor } = await import("./vm/supervisor/duties.ts");
    await tellSupervisor(this.#home);
  }

  async #expose(guestPort: number, options: ExposeOptions = {}): Promise<ExposedPort> {
    const { checkExposed } = await import("./agent/forward/expose.ts");
    checkNames(options, ["hostPort", "hostAddress"]);
    checkExposed(guestPort, options);
    await this.#limited(`exposing guest port ${guestPort}`, {}); // fails now if it does not run
    return await this.#listen(guestPort, options);
  }

  #listen(guestPort: number, options: ExposeOptions): Promise<ExposedPort> {
    const session = (): Promise<AgentSession> => this.#limited(`forwarding to guest port ${guestPort}`, {});
    return this.#forwards.openOnce(session, guestPort, options);
  }
}

/**
 * A sandbox that starts when its guest is needed: one that was never started, or each start was given up or failed; one that is meant to; one
 * that somebody is starting, which is waited for.
 */
function startsWhenAsked({ state, startedAt, spec }: VmRecord): boolean {
  if (state === "starting") return true;
  if (spec.autoStart) return !STEADY.has(state) && state !== "deleting";
  return startedAt === undefined && HAS_NO_MACHINE.has(state);
}

function modeOf(network: VMConfig["network"]): NetworkMode | undefined {
  return typeof network === "object" ? network.mode : network;
}

/** The rules that a sandbox is to have. @throws SmolVMError NOT_SUPPORTED */
function policyOf(vm: VmRef, network: VMConfig["network"]): NetworkPolicy {
  const mode = modeOf(network);
  if (mode !== "restricted") throw notRestricted(vm, mode ?? "open");
  const { allow = [], deny = [] } = typeof network === "object" ? network : {};
  return { allow, deny };
}

/** The rules that a sandbox has. @throws SmolVMError NOT_SUPPORTED */
function recordedPolicy(record: VmRecord): NetworkPolicy {
  const { machine, networkPolicy, openByDoor } = record.spec;
  if (openByDoor !== undefined) throw notRestricted(record, "open");
  if (networkPolicy === undefined) throw notRestricted(record, machine.network);
  return networkPolicy;
}

/** The sandbox's own env, workdir and user, under what a command asks for. */
function withDefaults<T extends CommandDefaults>({ spec }: CommandRecord, options: T): T {
  const { env, workdir, user } = spec;
  return {
    ...options,
    cwd: options.cwd ?? workdir,
    user: options.user ?? user,
    env: { ...env, ...options.env },
  };
}

/** @throws SmolVMError VM_STATE */
function requireUnpaused({ name, state }: Pick<VmRecord, "name" | "state">): void {
  if (state === "paused") throw pausedError(name);
}

type CommandRecord = Pick<VmRecord, "name" | "state" | "spec">;

/** All that a command needs of this side. */
interface Ready {
  readonly session: AgentSession;
  readonly record: CommandRecord;
}

interface CommandDefaults {
  env?: Readonly<Record<string, string | undefined>> | undefined;
  cwd?: string | undefined;
  user?: string | undefined;
}

function checkTail(lines: number | undefined): void {
  if (lines !== undefined) requireOption("tailLines", lines, wholeNumber(0, Number.MAX_SAFE_INTEGER));
}

/** Options that were given: an explicit undefined does not hide a default. */
function given(limits: Limits): Limits {
  return Object.fromEntries(Object.entries(limits).filter(([, value]) => value !== undefined));
}
