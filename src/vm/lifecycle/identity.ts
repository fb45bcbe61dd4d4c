import { createHash, randomBytes } from "node:crypto";
import { configure, type GuestInit, type MachineInfo } from "../../agent/machine.ts";
import type { AgentSession } from "../../agent/session/session.ts";
import type { DoorNetwork, GuestNetwork, VmSpec } from "../../config/spec.ts";
import type { VmRecord } from "../../store/vms.ts";
import type { Deadline } from "../../util/deadline.ts";
import type { DriveMount } from "../disks/drive-mounts.ts";

/** What of a guest's identity takes some ms to make, and can be made while its machine starts. */
export interface OwnIdentity {
  readonly entropy: Uint8Array;
  readonly machineId: string;
  readonly mac: Uint8Array;
  readonly generation: string;
}

/** Makes that: another one for each start, but for the machine's id and address, which are a sandbox's for good. */
export function ownIdentity(record: VmRecord): OwnIdentity {
  return {
    entropy: randomBytes(64),
    // The same over all starts of this sandbox, different from every other's.
    machineId: bytesOf("machine", record).toString("hex"),
    mac: macOf(record),
    generation: randomBytes(16).toString("hex"),
  };
}

/**
 * Gives a guest what makes it this sandbox's: after a boot, in a machine that goes on from captured memory, and again when it is taken from a pool.
 * @throws SmolVMError as configure
 */
export async function giveIdentity(
  session: AgentSession,
  record: VmRecord,
  {
    network,
    mounts,
    init = false,
    own = ownIdentity(record),
  }: {
    readonly network: GuestNetwork | DoorNetwork | undefined;
    readonly mounts: readonly DriveMount[];
    /** the image's init is to run, if it is to have one; default false */
    readonly init?: boolean;
    /** default: made now */
    readonly own?: OwnIdentity | undefined;
  },
  deadline: Deadline,
): Promise<MachineInfo> {
  const { spec } = record;
  const info = await configure(
    session,
    {
      ...own,
      clockMs: Date.now(),
      hostname: spec.hostname,
      network,
      // A disk of the user's own is not ours to grow.
      diskBytes: spec.diskMode === "shared" ? undefined : spec.diskSizeMib * 1024 * 1024,
      limits: spec.limits,
      mounts,
      workdir: spec.workdir,
      user: spec.user,
      init: init ? initOf(spec) : undefined,
    },
    deadline.limits,
  );
  return await onTime(session, info, deadline);
}

/** The image's init, told by `container` that it is not alone with its machine: systemd(1) then leaves devices and consoles to others. */
function initOf({ init, env }: VmSpec): GuestInit | undefined {
  return init && { argv: init, env: { container: "smolvm", ...env } };
}

/** A clock may be behind by so much when its guest was told the time, in ms: on a busy host that takes long. */
const CLOCK_MAX_LATE_MS = 50;
const CLOCK_TRIES = 3;

/**
 * Tells a guest the time, which stood still with it.
 * @throws SmolVMError as configure
 */
export async function tellTime(session: AgentSession, deadline: Deadline): Promise<void> {
  await onTime(session, await configure(session, { clockMs: Date.now() }, deadline.limits), deadline);
}

/** Tells a guest the time again that got it late. */
async function onTime(session: AgentSession, told: MachineInfo, deadline: Deadline): Promise<MachineInfo> {
  let info = told;
  for (let tries = 0; tries < CLOCK_TRIES && Date.now() - info.clock.getTime() > CLOCK_MAX_LATE_MS; tries++)
    info = await configure(session, { clockMs: Date.now() }, deadline.limits);
  return info;
}

/** The address of a sandbox's network card: locally administered, and another's in one of 2^40 cases. */
function macOf(record: VmRecord): Buffer {
  return Buffer.concat([Buffer.from([0x52]), bytesOf("network card", record).subarray(0, 5)]);
}

/** 16 bytes that are the same over all starts of a sandbox. */
function bytesOf(what: string, { id }: VmRecord): Buffer {
  return createHash("sha256").update(`smolvm ${what} ${id}`).digest().subarray(0, 16);
}
