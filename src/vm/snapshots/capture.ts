import { writeFileSync } from "node:fs";
import { hold, release, sync } from "../../agent/machine.ts";
import type { AgentSession } from "../../agent/session/session.ts";
import type { Captured } from "../../backends/backend.ts";
import { backendOf } from "../../backends/registry.ts";
import { SmolVMError } from "../../errors.ts";
import { failpoint } from "../../host/failpoint.ts";
import { copySparse } from "../../host/monitor/memory.ts";
import type { SavedFiles } from "../../snapshots/saved.ts";
import type { VmRecord } from "../../store/vms.ts";
import { Deadline } from "../../util/deadline.ts";
import { filesOf, type Home } from "../home.ts";
import { requireFeature } from "../lifecycle/features.ts";
import { tellTime } from "../lifecycle/identity.ts";
import { pauseMachine, resumeMachine } from "../lifecycle/pause.ts";
import { firstRequest } from "../machine/first-request.ts";
import { controlSession } from "../machine/go-on.ts";
import { noteStep } from "../recovery/step.ts";

/** How long a guest may take to let its processes go on again, whatever came before. */
const RELEASE_MS = 10_000;

/** What was taken, besides the files. */
export interface CaptureResult extends Omit<Captured, "untranslated"> {
  /** why what it had translated was not kept; undefined: it was */
  readonly untranslated: string | undefined;
}

/** How it is taken. */
export interface CaptureHow {
  readonly ownPages?: boolean | undefined;
  /** it stands still, and its disk is being copied */
  readonly onStopped?: ((disk: Promise<void>) => void) | undefined;
  /** all of it is there, but what it had translated; what is frozen has not gone on yet */
  readonly onTaken?: ((result: Captured) => void) | undefined;
}

/** @throws SmolVMError NOT_SUPPORTED for a sandbox whose memory, or disks, nothing can go on with */
export function requireCapturable({ spec }: VmRecord): void {
  const { machine } = spec;
  requireFeature(machine.backend, "snapshots");
  const why = notCapturable(spec.diskMode === "shared", machine.gdbPort !== undefined, machine);
  if (why === undefined) return;
  throw new SmolVMError("NOT_SUPPORTED", `the memory of such a sandbox cannot be saved: ${why}`, {
    hint: 'Keep its disk alone: kind: "disk" (--disk-only).',
  });
}

function notCapturable(
  shared: boolean,
  gdb: boolean,
  { disks, transport }: VmRecord["spec"]["machine"],
): string | undefined {
  if (shared) return "its disk is the user's own";
  if (gdb) return "gdb is attached to it";
  if (transport === "tcp") return "it is reached through a relay";
  if (disks.some(({ serial, readOnly }) => serial.startsWith("extra-") && !readOnly))
    return "it writes to drives of the user's own";
  return undefined;
}

/**
 * Takes memory, devices and disk of a sandbox that runs or is paused, of one moment, for who holds its lock. It goes on as before, whatever
 * happens. What the guest was asked to run is frozen in what was taken, until a machine that goes on from it has an identity of its own.
 * @param to files that are not there yet, or hold nothing; what is written is not on the disk for sure before `settleFiles`
 * @param how whether its memory shall be its own pages alone, with the map of them; and who is told meanwhile
 * @throws SmolVMError NOT_SUPPORTED, VM_BUSY (some processes cannot be frozen), VMM_FAILED, HOST_FAILED, NO_SPACE, TIMEOUT, ABORTED, AGENT_LOST
 */
export async function captureMachine(
  home: Home,
  record: VmRecord,
  to: SavedFiles,
  deadline: Deadline,
  how: CaptureHow = {},
): Promise<CaptureResult> {
  requireCapturable(record);
  if (record.state !== "paused") return await captureHeld(home, record, to, deadline, how);
  await resumeMachine(home, record, deadline); // for as long as it takes to freeze what runs
  try {
    return await captureHeld(home, record, to, deadline, how);
  } finally {
    const now = home.store.vms.get(record.id);
    await pauseMachine(home, now, Deadline.within(RELEASE_MS, "pausing the sandbox again"));
  }
}

/**
 * Does something with a sandbox that runs or is paused while nothing that it was asked to run goes on, for who holds its lock. It goes on as before, whatever happens.
 * @param act gets a session over which the guest answers `difference` and `info`
 * @throws SmolVMError VM_BUSY (some processes cannot be frozen), TIMEOUT, ABORTED, AGENT_LOST; what `act` throws
 */
export async function whileHeld<T>(
  home: Home,
  record: VmRecord,
  act: (session: AgentSession) => Promise<T>,
  deadline: Deadline,
): Promise<T> {
  if (record.state === "paused") {
    await resumeMachine(home, record, deadline);
    try {
      return await whileHeld(home, home.store.vms.get(record.id), act, deadline);
    } finally {
      const now = home.store.vms.get(record.id);
      await pauseMachine(home, now, Deadline.within(RELEASE_MS, "pausing the sandbox again"));
    }
  }
  noteStep(home, record.id, "capture:machine");
  const session = await controlSession(home, record, deadline);
  let failure: unknown;
  try {
    await hold(session, deadline.limits);
    failpoint("after hold");
    return await act(session);
  } catch (error) {
    failure = error;
    throw error;
  } finally {
    await goOn(home, record, session.end === undefined ? session : undefined, failure);
    await session.close();
  }
}

async function captureHeld(
  home: Home,
  record: VmRecord,
  to: SavedFiles,
  deadline: Deadline,
  { ownPages = false, onStopped, onTaken }: CaptureHow,
): Promise<CaptureResult> {
  const files = filesOf(home, record.id);
  const { machine } = record.spec;
  const backend = backendOf(machine.backend);
  const { captureEndsSessions } = backend.features;
  noteStep(home, record.id, "capture:machine");
  const session = await controlSession(home, record, deadline);
  let failure: unknown;
  let captured: Captured;
  try {
    captured = await backend.capture!(
      files,
      {
        arch: machine.arch,
        pid: record.vmm!.pid,
        memSizeMib: machine.memSizeMib,
        memory: to.memory,
        map: ownPages ? to.memoryMap : undefined,
        translations: to.code,
        beforeStop: async () => {
          await hold(session, { ...deadline.limits, suspend: captureEndsSessions });
          failpoint("after hold");
        },
        whileStopped: () => {
          failpoint("while stopped");
          const copied = copySparse(files.upper, to.disk, deadline);
          onStopped?.(copied);
          return copied;
        },
      },
      deadline,
    );
    failpoint("after capture");
    writeFileSync(to.state, captured.state, { mode: 0o600 });
    onTaken?.(captured);
  } catch (error) {
    failure = error;
    throw error;
  } finally {
    if (captureEndsSessions) await session.close(); // the guest answers nobody before it has ended
    await goOn(home, record, captureEndsSessions ? undefined : session, failure);
    await session.close();
  }
  return { ...captured, untranslated: await captured.untranslated };
}

/**
 * What was frozen goes on.
 * @param session absent: that of before may be over
 * @throws SmolVMError if it does not, unless something else has failed before: that is the one to tell
 */
async function goOn(
  home: Home,
  record: VmRecord,
  session: AgentSession | undefined,
  failure: unknown,
): Promise<void> {
  const deadline = Deadline.within(RELEASE_MS, "letting the sandbox go on");
  const letGoOn = async (over: AgentSession): Promise<void> => {
    await release(over, deadline.limits);
    await tellTime(over, deadline);
  };
  try {
    if (session !== undefined) await letGoOn(session);
    else
      await (await firstRequest(() => controlSession(home, record, deadline, true), letGoOn)).session.close();
    const backend = backendOf(record.spec.machine.backend);
    // Where that does not work, who waits for such a port frees it.
    await backend.freeLostPorts?.(filesOf(home, record.id), deadline).catch(() => {});
    home.store.vms.settle(record.id);
  } catch (error) {
    if (failure === undefined) throw error; // and whoever looks next tries again: the step stays noted
  }
}

/**
 * Takes the disk of a sandbox alone, for who holds its lock: as it is when it is down; of one that runs, as after a power cut right after
 * its file systems were synced.
 * @throws SmolVMError HOST_FAILED, NO_SPACE, TIMEOUT, ABORTED, AGENT_LOST
 */
export async function captureDisk(
  home: Home,
  record: VmRecord,
  to: SavedFiles,
  deadline: Deadline,
): Promise<void> {
  const { upper } = filesOf(home, record.id);
  if (record.state !== "running") return await copySparse(upper, to.disk, deadline);
  const session = await controlSession(home, record, deadline);
  try {
    await sync(session, deadline.limits);
  } finally {
    await session.close();
  }
  await pauseMachine(home, record, deadline);
  try {
    await copySparse(upper, to.disk, deadline);
  } finally {
    await resumeMachine(home, record, Deadline.within(RELEASE_MS, "letting the sandbox go on"));
  }
}

/** Whether nothing of libslirp is in the state of a running machine's devices, for all that its record says. Pure. */
export function hasTapInside({ isolation }: VmRecord): boolean {
  return isolation?.userNetwork?.tap === true;
}
