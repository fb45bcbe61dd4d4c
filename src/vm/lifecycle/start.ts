import { existsSync, mkdirSync, readdirSync } from "node:fs";
import { basename } from "node:path";
import { AgentSession } from "../../agent/session/session.ts";
import type { Backend, GuestMemory, LaunchedMachine, VmmExit } from "../../backends/backend.ts";
import { BACKEND_FEATURES } from "../../backends/features.ts";
import { backendOf } from "../../backends/registry.ts";
import type { OnProgress } from "../../config/progress.ts";
import type { DoorNetwork, VmSpec } from "../../config/spec.ts";
import { isSmolVMError, SmolVMError } from "../../errors.ts";
import { failpoint } from "../../host/failpoint.ts";
import type { VmFiles } from "../../host/files/filenames.ts";
import { DOOR_NETWORK } from "../../network/plan.ts";
import type { ComingMemory, RestOfSaved, SavedMemory } from "../../snapshots/saved.ts";
import type { Template } from "../../snapshots/store.ts";
import type { Lease } from "../../store/leases.ts";
import { STEADY } from "../../store/states.ts";
import { ORIGIN, type VmRecord } from "../../store/vms.ts";
import type { Deadline } from "../../util/deadline.ts";
import { rmSync } from "../../util/files-go.ts";
import { firstLease } from "../channel/way.ts";
import { requireFreeDisks, settleHolders } from "../disks/disk-claims.ts";
import { orDiskFull } from "../disks/disk-full.ts";
import { driveMounts } from "../disks/drive-mounts.ts";
import { writeEmptyDisk } from "../disks/own-disk.ts";
import { endpointOf, filesOf, type Home, noteEnd } from "../home.ts";
import { makeEnclosure } from "../isolation/make-enclosure.ts";
import { planIsolation } from "../isolation/plan-isolation.ts";
import { reachedIsolation } from "../isolation/reached.ts";
import { bootError } from "../machine/boot-report.ts";
import { readLog } from "../machine/console.ts";
import { firstRequest } from "../machine/first-request.ts";
import { mountAll } from "../mounts/mounts.ts";
import { type LeasedTap, leaseTap, lostTap } from "../network/tap.ts";
import { requireLoaded, userNetworkFor } from "../network/user-network.ts";
import { deletedError, type VmRef } from "../recovery/deleted.ts";
import { discard, endMachine } from "../recovery/recover.ts";
import { noteStep } from "../recovery/step.ts";
import { makeTemplateLater } from "../templates/later.ts";
import { giveUpTemplate, startSource, writeTemplateDisk } from "../templates/use.ts";
import { requireFeature } from "./features.ts";
import { tooLateForGdb } from "./gdb-port.ts";
import { giveIdentity, type OwnIdentity, ownIdentity } from "./identity.ts";
import { withLock, withOwnLock } from "./lock.ts";
import { resumeMachine } from "./pause.ts";

/** What is different for one start. */
export interface StartExtras {
  readonly onProgress?: OnProgress | undefined;
  /** over the sandbox's own */
  readonly gdbPort?: number | undefined;
  /** it is booted for a template; `recordTo`, where its backend records: the file, empty and as large, that its memory shall be */
  readonly forTemplate?: { readonly recordTo: string | undefined } | undefined;
  /** what it goes on from, or else fails: it has the disk that belongs to it, or gets that with what comes */
  readonly saved?: SavedMemory | ComingMemory | undefined;
  /** this process has just made it, and holds its lock; it is not complete before it runs (nor has its disk, without `saved`), and gone if it fails */
  readonly unfinished?: boolean | undefined;
  /** done in it before anybody else may have it; its failure is the start's */
  readonly prepare?: ((session: AgentSession) => Promise<void>) | undefined;
}

export interface Started {
  readonly record: VmRecord;
  readonly session: AgentSession;
  /** its session port, where they are leased */
  readonly lease: Lease | undefined;
}

/**
 * Boots a sandbox, or lets one that is paused go on: launches its machine, says hello to the agent and gives the guest its identity; only then it is running.
 * @returns undefined: it runs already, because others have started it
 * @throws SmolVMError VM_NOT_FOUND, VM_STATE for `gdbPort` of one that runs, DISK_IN_USE, ISOLATION_UNAVAILABLE, BOOT_FAILED, BOOT_TIMEOUT (with stage and last console lines), VMM_FAILED,
 *   NO_SPACE, VM_BUSY, NETWORK_SETUP_MISSING, TAP_UNAVAILABLE
 */
export async function startVm(
  home: Home,
  vm: VmRef,
  deadline: Deadline,
  extras: StartExtras = {},
): Promise<Started | undefined> {
  const { id } = vm;
  const { unfinished = false } = extras;
  return await (unfinished ? withOwnLock : withLock)(home, id, deadline, async (record) => {
    if (!record) throw deletedError(vm);
    if (record.state === "paused") await resumeMachine(home, record, deadline);
    if (STEADY.has(record.state)) {
      if (extras.gdbPort !== undefined) throw tooLateForGdb(vm.name, extras.gdbPort);
      return undefined;
    }
    await settleHolders(home, id, record.spec);
    home.store.vms.transition(id, "starting", { error: null, vmm: null }, () =>
      requireFreeDisks(home, id, record.spec),
    );
    try {
      const { session, lease, facts } = await startFrom(home, record, deadline, extras);
      // Before it counts as running: who dies in between must not leave one without its directories.
      if (extras.forTemplate === undefined && extras.saved === undefined)
        await mountAll(home, record, deadline);
      failpoint("before running");
      const running = home.store.vms.transition(id, "running", { startedAt: Date.now(), ...facts });
      await extras.prepare?.(session);
      return { record: running, session, lease };
    } catch (reason) {
      const error = orDiskFull(home.paths.dataDir, reason); // before its end makes room
      if (unfinished) {
        await discard(home, home.store.vms.get(id)).catch(() => {}); // whoever looks next does the rest
        throw error;
      }
      // Also a machine whose launch failed half way. What does not end now is found by gc: the error that counts is the first.
      await endMachine(home, home.store.vms.get(id)).catch(() => {});
      noteEnd(home, () => home.store.leases.clear(id));
      const { code, message } = isSmolVMError(error)
        ? error
        : new SmolVMError("INTERNAL", (error as Error).message);
      noteEnd(home, () => home.store.vms.transition(id, "error", { vmm: null, error: { code, message } }));
      throw error;
    }
  });
}

/**
 * Starts a sandbox that was just made, which nobody else has started.
 * @throws SmolVMError as {@link startVm}
 */
export async function startNewVm(
  home: Home,
  vm: VmRef,
  deadline: Deadline,
  extras?: StartExtras,
): Promise<Started> {
  const started = await startVm(home, vm, deadline, extras);
  if (started !== undefined) return started;
  throw new SmolVMError("INTERNAL", "a sandbox that was just made runs already");
}

/** A machine that answers, and what its record says of it once it counts as running. */
interface Launched extends Pick<Started, "session" | "lease"> {
  readonly facts: Parameters<Home["store"]["vms"]["transition"]>[2];
}

/** From a template, where there is one; where that fails, and where there is none, by booting. */
async function startFrom(
  home: Home,
  record: VmRecord,
  deadline: Deadline,
  extras: StartExtras,
): Promise<Launched> {
  const { forTemplate, gdbPort, saved } = extras;
  const isPlain = forTemplate === undefined && gdbPort === undefined && saved === undefined;
  const source = isPlain ? startSource(home, record) : undefined;
  const tell = (message: string): void => extras.onProgress?.({ stage: "template", message });
  if (source?.kind === "template") {
    try {
      return await boot(home, record, deadline, extras, source.template);
    } catch (error) {
      deadline.check();
      await undoLaunch(home, record.id);
      giveUpTemplate(home, record, source.template);
      tell(`not from its template, which is removed: ${(error as Error).message}`);
    }
  } else {
    if (extras.unfinished && saved === undefined) writeEmptyDisk(record.spec, filesOf(home, record.id));
    if (source !== undefined) tell(`not from a template: ${source.why}`);
  }
  const started = await boot(home, record, deadline, extras);
  const missing = source?.kind === "template" ? source.template.key : source?.key;
  if (missing !== undefined) await makeTemplateLater(home, record.spec, missing);
  return started;
}

/** Boots, or goes on from a template, with another tap where another home was faster: each is tried once, so there is an end to it. */
async function boot(
  home: Home,
  record: VmRecord,
  deadline: Deadline,
  extras: StartExtras,
  template?: Template,
): Promise<Launched> {
  const lost: string[] = [];
  let again = false;
  for (;;) {
    noteStep(home, record.id, "start:sockets");
    clearLastRun(filesOf(home, record.id));
    const tap = await leaseTap(home, record, lost, deadline);
    try {
      return await launch(tap, home, record, deadline, extras, template);
    } catch (error) {
      if (!again && isRacing(error, record)) {
        again = true;
        extras.onProgress?.({ stage: "boot", message: `once more: ${(error as Error).message}` });
        await undoLaunch(home, record.id);
        continue;
      }
      if (tap === undefined || !lostTap(error, tap, home.store.uids.of(record.id))) throw error;
      lost.push(tap.name);
      await undoLaunch(home, record.id);
    }
  }
}

/**
 * QEMU's emulation of several processors at once sometimes (in about one boot of a hundred, QEMU 7.2) has the kernel panic before its first program, or
 * ends before it says anything. Such a boot is begun once more.
 */
function isRacing(error: unknown, { spec: { machine } }: VmRecord): boolean {
  const stage = isSmolVMError(error, "BOOT_FAILED") ? error.details.stage : undefined;
  return (
    machine.accelerator === "tcg" && machine.vcpuCount > 1 && (stage === "firmware" || stage === "kernel")
  );
}

/** The machine that was launched is not the one: it ends, and another is launched in its place. */
async function undoLaunch(home: Home, id: string): Promise<void> {
  await endMachine(home, home.store.vms.get(id));
  home.store.vms.setVmm(id, undefined);
  home.store.leases.clear(id);
}

async function launch(
  tap: LeasedTap | undefined,
  home: Home,
  record: VmRecord,
  deadline: Deadline,
  { onProgress, gdbPort, forTemplate, saved }: StartExtras,
  template?: Template,
): Promise<Launched> {
  const files = filesOf(home, record.id);
  const machine = { ...record.spec.machine, ...(gdbPort === undefined ? {} : { gdbPort }) };
  const backend: Backend = backendOf(machine.backend);
  if (machine.gdbPort !== undefined) requireFeature(machine.backend, "gdb");
  const mounts = await driveMounts(machine.disks);
  const plan = await planIsolation(home, machine, files, record.spec.isolation);
  const rateLimitMbps = record.spec.networkRateLimitMbps;
  // A template's card is never up: its machine has nothing behind it, and goes on as one with whatever there is then.
  const userNetwork =
    forTemplate === undefined
      ? await userNetworkFor(machine, { rateLimitMbps, savedWithSlirp: saved?.withoutSlirp === false })
      : undefined;
  onProgress?.({ stage: "launch", message: `starting ${machine.backend}` });
  noteStep(home, record.id, "start:enclosure");
  if (template !== undefined) writeTemplateDisk(home, record, template);
  const made = await makeEnclosure(home, record, plan, {
    tap: tap?.name,
    writes: forTemplate?.recordTo,
    deadline,
  });
  noteStep(home, record.id, "start:launch");
  let lease: Lease | undefined;
  let own: OwnIdentity | undefined;
  // When the machine's monitor has been started, and nothing is heard of it yet: what is needed for this is loaded first, and takes ms.
  setImmediate(() => {
    own = ownIdentity(record);
  });
  const launched = await backend.launch(machine, files, {
    deadline,
    lifetime: record.spec.lifetime,
    tap: tap?.name,
    rateLimitMbps: forTemplate === undefined ? rateLimitMbps : undefined,
    userNetwork,
    enclosure: made.enclosure,
    memory: guestMemory(
      forTemplate?.recordTo,
      saved ?? (template && comingOf(template)),
      saved !== undefined,
    ),
    // While it starts, there is nothing else to do.
    onVmm: (vmm) => {
      failpoint("before vmm");
      home.store.vms.setVmm(record.id, vmm);
      lease = firstLease(home, record);
    },
  });
  if (launched.untranslated !== undefined)
    onProgress?.({ stage: "template", message: `without kept translations: ${launched.untranslated}` });
  onProgress?.({ stage: "boot", message: "waiting for the guest" });
  const { session, answer } = await firstRequest(
    (isFirst) =>
      reachAgent(home, record, lease, launched, files, {
        deadline,
        boots: saved === undefined && template === undefined,
        eager: template !== undefined && isFirst,
      }),
    async (reached) => {
      if (userNetwork !== undefined) requireLoaded(userNetwork, launched.vmm.pid);
      // What goes on from a memory has files open in its mounts, and things in its caches: it is to know what has become of them before anything in it runs.
      if (saved !== undefined) await mountAll(home, record, deadline);
      onProgress?.({ stage: "configure", message: "giving the guest its identity" });
      noteStep(home, record.id, "start:identity");
      // A template's card stays down: who goes on from it has another address, and need not take it down for that.
      const network =
        forTemplate === undefined ? (tap?.network ?? userNetwork?.guest ?? doorOf(record.spec)) : undefined;
      return await giveIdentity(
        reached,
        record,
        { network, mounts, init: forTemplate === undefined, own },
        deadline,
      );
    },
  );
  const facts = {
    vmm: launched.vmm,
    isolation: reachedIsolation(plan, made, launched, userNetwork),
    template: saved === undefined ? (template?.key ?? null) : ORIGIN,
    commands: answer.commands,
  };
  if (template !== undefined && ("why" in template.code || launched.untranslated === undefined))
    template.noteWhole();
  return { session, lease, facts };
}

/** The door of a sandbox with a restricted network. */
function doorOf({ machine }: VmSpec): DoorNetwork | undefined {
  return machine.network === "restricted" ? DOOR_NETWORK : undefined;
}

type Coming = Pick<ComingMemory, "memory" | "codePath" | "rest">;

/** A template's memory; its state is read and checked while the VMM starts. */
function comingOf({ files, code, readState }: Template): Coming {
  const rest = new Promise<RestOfSaved>((resolve, reject) => {
    setImmediate(() => {
      try {
        resolve({ state: readState(), code });
      } catch (error) {
        reject(error);
      }
    });
  });
  const codePath = "path" in code ? code.path : undefined;
  return { memory: files.memory, codePath, rest };
}

function guestMemory(
  recordTo: string | undefined,
  saved: Pick<SavedMemory, "memory" | "state" | "code"> | Coming | undefined,
  wasInUse: boolean,
): GuestMemory | undefined {
  if (recordTo !== undefined) return { kind: "recorded", path: recordTo };
  if (saved === undefined) return undefined;
  const { memory: path } = saved;
  if (!("rest" in saved)) {
    const { state, code } = saved;
    const rest = Promise.resolve({ state, translations: code });
    return { kind: "restored", path, wasInUse, code: "path" in code ? code.path : undefined, rest };
  }
  const rest = saved.rest.then(({ state, code, pages }) => ({ state, translations: code, pages }));
  rest.catch(() => {}); // it may fail before anybody waits for it
  return { kind: "restored", path, wasInUse, code: saved.codePath, rest };
}

/** What an earlier run left: sockets that nobody listens on, and the note of how it ended. */
function clearLastRun(files: VmFiles): void {
  rmSync(files.runtimeDir, { recursive: true, force: true });
  mkdirSync(files.runtimeDir, { recursive: true, mode: 0o700 });
  const logs = [files.console, files.vmmLog, files.filesLog].flatMap((log) => [log, `${log}.1`, `${log}.at`]);
  const left = new Set(existsSync(files.dir) ? readdirSync(files.dir) : []); // of one that is new there is none of them
  for (const path of [files.jail, files.exit, ...logs])
    if (left.has(basename(path))) rmSync(path, { recursive: true, force: true });
}

/** Connects to the agent as soon as it answers; a VMM that ends first is noticed at once. */
async function reachAgent(
  home: Home,
  record: VmRecord,
  lease: Lease | undefined,
  launched: LaunchedMachine,
  files: VmFiles,
  {
    deadline,
    boots,
    eager,
  }: { readonly deadline: Deadline; readonly boots: boolean; readonly eager: boolean },
): Promise<AgentSession> {
  const evidence = (exit: VmmExit | undefined): SmolVMError =>
    bootError({
      name: record.name,
      console: readLog(files.console),
      exit,
      timeoutMs: deadline.timeoutMs ?? 0,
      emulated: record.spec.machine.accelerator === "tcg",
    });
  const { captureEndsSessions } = BACKEND_FEATURES[record.spec.machine.backend];
  let waiting = true; // it ends some day; only while booting that is a failure
  const ended = launched.exited.then((exit) => {
    if (waiting) throw evidence(exit);
    return new Promise<never>(() => {});
  });
  try {
    return await Promise.race([
      AgentSession.connect(endpointOf(home, record, lease?.port ?? 0), {
        deadline,
        exited: launched.exited,
        fresh: boots,
        afterCapture: !boots && captureEndsSessions,
        eager: eager && !captureEndsSessions,
        progressFile: boots ? files.console : undefined,
      }),
      ended,
    ]);
  } catch (error) {
    if (isSmolVMError(error, "TIMEOUT")) throw evidence(undefined);
    throw error;
  } finally {
    waiting = false;
    ended.catch(() => {});
  }
}
