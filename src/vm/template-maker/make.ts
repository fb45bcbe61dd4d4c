import { randomUUID } from "node:crypto";
import { chownSync, existsSync, mkdirSync, rmdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { configure, hold, sync } from "../../agent/machine.ts";
import { runCommand } from "../../agent/process/exec.ts";
import { AgentSession } from "../../agent/session/session.ts";
import type { Backend, Ended } from "../../backends/backend.ts";
import { backendOf } from "../../backends/registry.ts";
import type { GuestNetwork, VmSpec } from "../../config/spec.ts";
import { isSmolVMError, SmolVMError } from "../../errors.ts";
import { failpoint } from "../../host/failpoint.ts";
import type { VmFiles } from "../../host/files/filenames.ts";
import { ensurePaths } from "../../host/files/paths.ts";
import { compactDisk } from "../../images/disk/compact.ts";
import { writeDiskFromSeed } from "../../images/disk/seed.ts";
import { acquireLock } from "../../images/store/build-lock.ts";
import { type TemplateFiles, templateFiles, templateLayout } from "../../snapshots/layout.ts";
import { hashOf, seenNow, stampOf, type TemplateManifest } from "../../snapshots/manifest.ts";
import { settleFiles } from "../../snapshots/saved.ts";
import { discardTemplate, listTemplates, surplus, TEMPLATES_MAX_BYTES } from "../../snapshots/store.ts";
import { openStore } from "../../store/store.ts";
import type { VmRecord } from "../../store/vms.ts";
import { Deadline } from "../../util/deadline.ts";
import { renameSync, rmSync } from "../../util/files-go.ts";
import { makeEmpty } from "../../util/make-empty.ts";
import { orNoSpace } from "../../util/no-space.ts";
import { endpointOf, filesOf, type Home, workshopPaths } from "../home.ts";
import { makeRecord } from "../lifecycle/create.ts";
import { giveIdentity } from "../lifecycle/identity.ts";
import { newId } from "../lifecycle/names.ts";
import { removeVm } from "../lifecycle/remove.ts";
import { type Started, startVm } from "../lifecycle/start.ts";
import { recoverAll } from "../recovery/recover.ts";
import { planTemplate, templateSpec } from "../templates/plan.ts";

/**
 * What is run in a template before it is kept, so that the kernel and the agent have done all that a first command needs, and that what
 * most first commands are is in memory. What an image does not have is left out.
 */
const WARM_UP: readonly (readonly string[])[] = [
  ["/bin/sh", "-c", "echo hi"],
  ["echo", "hi"],
  ["true"],
  ["cat", "/etc/hostname"],
  ["ls", "/"],
];

/** An address that nobody has (RFC 5737): what it is does not matter to who rehearses getting one. */
const SOME_NETWORK: GuestNetwork = {
  interface: "eth0",
  address: "192.0.2.2/24",
  gateway: "192.0.2.1",
  dns: ["192.0.2.1"],
};

const MIB = 2 ** 20;
/** How long removing the machine may take, whatever came before. */
const END_MS = 30_000;

/**
 * Makes the template that sandboxes like one can start from, unless it is there: boots such a machine, has it run a first command,
 * and keeps its memory, the state of its devices and its disk. It holds nothing of the sandbox that it is like: no variables,
 * no files, no names.
 * @returns its key, and whether it was made now
 * @throws SmolVMError NOT_SUPPORTED where such sandboxes can have none; what a boot throws; VMM_FAILED, NO_SPACE, TIMEOUT, ABORTED
 */
export async function makeTemplate(
  home: Home,
  like: VmSpec,
  deadline: Deadline,
): Promise<{ readonly key: string; readonly made: boolean }> {
  const plan = planTemplate(home.paths, like);
  if ("why" in plan) {
    throw new SmolVMError("NOT_SUPPORTED", `there is no template for such a sandbox: ${plan.why}`, {
      hint: "It boots instead; nothing has to be done.",
    });
  }
  const { key, warm } = plan;
  const layout = templateLayout(home.paths);
  const release = await acquireLock(layout.lock(key), deadline);
  try {
    if (existsSync(layout.template(key).manifest)) return { key, made: false };
    const work = join(layout.work, `${key}.${process.pid}`);
    try {
      mkdirSync(work, { recursive: true, mode: 0o700 });
      const shop = workshop(home);
      try {
        await record(shop, { ...like, warm }, key, work, deadline);
      } finally {
        leave(shop);
      }
      failpoint("before template");
      renameSync(work, layout.template(key).dir);
    } catch (error) {
      throw orNoSpace(error, `no space left for a template in '${layout.root}'`, layout.root);
    } finally {
      rmSync(work, { recursive: true, force: true });
    }
    evict(home, key);
    return { key, made: true };
  } finally {
    await release();
  }
}

/** Where machines for templates live, apart from the user's: nobody lists them, and their remains are found all the same. */
function workshop({ paths }: Home): Home {
  const own = workshopPaths(paths);
  const { dataDir } = own;
  ensurePaths(own);
  try {
    return { paths: own, store: openStore(dataDir) };
  } catch (error) {
    if (isSmolVMError(error, "NO_SPACE")) throw error;
    // Damaged, or of another version of this program: there is nothing in it that anybody would miss.
    rmSync(dataDir, { recursive: true, force: true });
    ensurePaths(own);
    return { paths: own, store: openStore(dataDir) };
  }
}

/** Nothing is left of it but its store; where another maker is at work, that one leaves last. */
function leave({ paths }: Home): void {
  try {
    rmdirSync(paths.runtimeDir);
  } catch {
    // it is not empty
  }
}

/** Boots the machine and captures it into the directory `work`. */
async function record(
  home: Home,
  like: VmSpec,
  key: string,
  work: string,
  deadline: Deadline,
): Promise<void> {
  await recoverAll(home); // what a maker that was killed has left
  const files = templateFiles(work);
  const id = newId();
  const name = `template-${id}`;
  const { upper } = filesOf(home, id);
  const spec = onDisk(templateSpec(like), upper);
  await makeRecord(home, { id, name, spec }, async () =>
    writeDiskFromSeed(like.seedPath!, upper, spec.diskSizeMib * MIB),
  );
  try {
    const backend = backendOf(spec.machine.backend);
    const records = backend.endWithState !== undefined;
    if (records) makeEmpty(files.memory, spec.machine.memSizeMib * MIB);
    const forTemplate = { recordTo: records ? files.memory : undefined };
    const started = await startVm(home, { id, name }, deadline, { forTemplate });
    if (started === undefined)
      throw new SmolVMError("INTERNAL", "a machine for a template was started by others");
    await warmUp(started.session, spec.warm, deadline);
    const ready = await rehearse(home, started, deadline);
    await sync(ready, deadline.limits);
    const { captureEndsSessions } = backend.features;
    await hold(ready, { ...deadline.limits, suspend: captureEndsSessions });
    if (!captureEndsSessions) await ready.close(); // else its end tells the guest that all connections have ended
    const { state, disk, untranslated } = await captureHeld(
      backend,
      started.record,
      filesOf(home, id),
      files,
      deadline,
    );
    await ready.close();
    writeFileSync(files.state, state, { mode: 0o600 });
    writeFileSync(files.disk, disk, { mode: 0o600 });
    settle(files.memory);
    if (untranslated === undefined) settle(files.code);
    const seen = seenNow(files);
    const manifest: TemplateManifest = {
      key,
      createdAt: Date.now(),
      image: like.image,
      vmm: backend.name,
      memory: stampOf(files.memory),
      code: untranslated === undefined ? stampOf(files.code) : { why: untranslated },
      stateSha256: hashOf(state),
      diskSha256: hashOf(disk),
      ...(seen && { seen }),
    };
    writeFileSync(files.manifest, JSON.stringify(manifest), { mode: 0o600 });
  } catch (error) {
    rmSync(work, { recursive: true, force: true }); // on a full disk its end takes room
    await removeMachine(home, id).catch(() => {}); // the first failure is the one to tell
    throw error;
  }
  await removeMachine(home, id);
}

async function removeMachine(home: Home, id: string): Promise<void> {
  await removeVm(home, id, { force: true }, Deadline.within(END_MS, "removing a machine"));
}

/** Takes a machine that is held, by what its backend can: as it ends, where its memory is recorded, or as it stands still. */
async function captureHeld(
  backend: Backend,
  { vmm, spec: { machine } }: VmRecord,
  files: VmFiles,
  to: TemplateFiles,
  deadline: Deadline,
): Promise<Ended & { readonly disk: Buffer }> {
  if (backend.endWithState !== undefined) {
    const ended = await backend.endWithState(files, to.code, deadline);
    return { ...ended, disk: await compactDisk(files.upper, deadline) };
  }
  let disk!: Buffer;
  const whileStopped = async (): Promise<void> => {
    disk = await compactDisk(files.upper, deadline);
  };
  const { arch, memSizeMib } = machine;
  const kept = { memory: to.memory, translations: to.code };
  const capture = { arch, pid: vmm!.pid, memSizeMib, ...kept, whileStopped };
  const { state, untranslated } = await backend.capture!(files, capture, deadline);
  return { state, disk, untranslated: await untranslated };
}

/** With the disk of its own for the one of the sandbox that it is like. */
function onDisk(spec: VmSpec, upper: string): VmSpec {
  const disks = spec.machine.disks.map((disk) => (disk.readOnly ? disk : { ...disk, path: upper }));
  return { ...spec, machine: { ...spec.machine, disks } };
}

/** @throws RunError if one of the user's command lines fails */
async function warmUp(
  session: AgentSession,
  lines: readonly string[] | undefined,
  deadline: Deadline,
): Promise<void> {
  for (const command of WARM_UP) {
    try {
      await runCommand(session, [...command], deadline.limits);
    } catch (error) {
      deadline.check();
      if (!(error instanceof SmolVMError) || error.code === "AGENT_LOST") throw error;
      // Not in this image, or not as here.
    }
  }
  for (const line of lines ?? []) await runCommand(session, line, { ...deadline.limits, check: true });
}

/**
 * Where translations are kept: has the machine go through all that a start from the template does, with nothing translated before, so
 * that just this is kept of it.
 * @returns the session to go on with
 */
async function rehearse(
  home: Home,
  { record, session, lease }: Started,
  deadline: Deadline,
): Promise<AgentSession> {
  const backend = backendOf(record.spec.machine.backend);
  const why = await backend.forgetTranslations?.(filesOf(home, record.id), deadline);
  if (backend.forgetTranslations === undefined || why !== undefined) return session;
  await sync(session, deadline.limits);
  await hold(session, deadline.limits);
  await session.close();
  const again = await AgentSession.connect(endpointOf(home, record, lease?.port ?? 0), { deadline });
  const hasCard = record.spec.machine.network === "open";
  // Another one than it has: what is the same, a guest does not write.
  const another = { ...record, id: randomUUID(), spec: { ...record.spec, hostname: "rehearsal" } };
  await giveIdentity(again, another, { network: hasCard ? SOME_NETWORK : undefined, mounts: [] }, deadline);
  await warmUp(again, record.spec.warm, deadline);
  // Who goes on from it has another address, and need not take the card down for that.
  if (hasCard) await configure(again, { network: { down: true } }, deadline.limits);
  return again;
}

/** The memory is written out, ours again, and nobody's to write. */
function settle(path: string): void {
  const uid = process.getuid?.();
  if (uid === 0) chownSync(path, 0, 0); // a VMM with a uid of its own wrote it
  settleFiles([path]);
}

/** Makes room: those that were not used for longest go. */
function evict({ paths, store }: Home, keep: string): void {
  const used = new Set([keep, ...store.vms.templatesInUse()]);
  for (const key of surplus(listTemplates(paths), TEMPLATES_MAX_BYTES, used)) discardTemplate(paths, key);
}
