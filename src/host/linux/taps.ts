import { accessSync, constants, readdirSync, readFileSync } from "node:fs";
import { SmolVMError } from "../../errors.ts";
import type { Deadline } from "../../util/deadline.ts";
import { nativeProgram } from "../package.ts";
import { runProgram } from "../process/run.ts";
import { userName } from "../process/user-name.ts";
import { setupCommand } from "../setup/setup-command.ts";
import { type RuntimeConfig, setupState } from "../setup/setup-state.ts";
import { isVmmUid } from "./vmm-uids.ts";

/** A tap that the set-up made (scripts/setup/network). */
export interface Tap {
  /** of the interface, e.g. "smolvm3" */
  readonly name: string;
  /** its addresses go by it: see network/plan.ts */
  readonly number: number;
  /** the one user who may open it, besides root */
  readonly uid: number;
}

/** The taps that a user has, and what goes for their networks (network/plan.ts). */
export interface TapPool {
  readonly taps: readonly Tap[];
  /** how many there are to be */
  readonly wanted: number;
  readonly subnet: string;
  readonly dns: readonly string[];
}

/** Why no tap can be used here, and what to do about it. */
export interface TapRefusal {
  readonly reason: string;
  /** the exact command */
  readonly hint: string;
}

const INTERFACES = "/sys/class/net";
const DEVICE = "/dev/net/tun";
/** Makes the taps that are missing: scripts/setup/network, where the set-up puts it. */
const NETWORK_UP = "/usr/local/lib/smolvm/network up";

/** The taps that a user may open, by their numbers. Reads what the kernel says; starts nothing. */
export function tapsOf(uid: number): Tap[] {
  return [...findTaps(uid)].sort((a, b) => a.number - b.number);
}

/** One by one, in no order: each costs a look into sysfs. */
function* findTaps(uid: number): Generator<Tap> {
  for (const name of tapNames()) {
    const tap = tapNamed(name, uid);
    if (tap !== undefined) yield tap;
  }
}

/** The names of all taps that there are, whosever they are. */
export function tapNames(): string[] {
  try {
    return readdirSync(INTERFACES).filter((name) => TAP_NAME.test(name));
  } catch {
    return []; // not Linux
  }
}

/** A tap by its name; undefined: there is none of that user's. One look into sysfs. */
export function tapNamed(name: string, uid: number = ownUid()): Tap | undefined {
  const number = TAP_NAME.exec(name)?.[1];
  const owner = number === undefined ? "" : attribute(name, "owner");
  return belongsTo(owner, uid) ? { name, number: Number(number), uid: Number(owner) } : undefined;
}

const TAP_NAME = /^smolvm(\d+)$/;

/** Root's taps are also those that VMMs with uids of their own have. */
function belongsTo(owner: string, uid: number): boolean {
  return owner === String(uid) || (uid === 0 && isVmmUid(Number(owner)));
}

/**
 * Gives a tap of root's to the user who will open it: its VMM.
 * @throws SmolVMError TAP_UNAVAILABLE (a program has it open), HOST_FAILED, TIMEOUT, DEPENDENCY_MISSING
 */
export async function giveTap(name: string, uid: number, deadline: Deadline): Promise<void> {
  if (attribute(name, "owner") === String(uid)) return;
  const monitor = nativeProgram("monitor");
  if (monitor === undefined) return; // then nothing is enclosed, and root may open it
  try {
    await runProgram([monitor, "own-tap", name, String(uid)], { deadline });
  } catch (error) {
    if (!(error instanceof Error && /\(os error 16\)/.test(error.message))) throw error; // EBUSY
    throw new SmolVMError("TAP_UNAVAILABLE", `another program has opened the tap ${name}`, { cause: error });
  }
}

/** Whether a program has a tap open now, of whichever home: the kernel lets in one at a time. */
export function isTapOpen(tap: Tap): boolean {
  return attribute(tap.name, "carrier") === "1";
}

/** Whether a tap that was given to a VMM's uid has been given to another's since, by another home. */
export function isGivenToAnother(name: string, uid: number): boolean {
  const owner = Number(attribute(name, "owner"));
  return isVmmUid(owner) && owner !== uid;
}

/** What goes for the networks of this process's user's taps, or why there are none. */
export function tapSettings(): Omit<TapPool, "taps"> | TapRefusal {
  const runtime = usableRuntime();
  if ("reason" in runtime) return runtime;
  const { taps: wanted, subnet, dns } = runtime;
  return { wanted, subnet, dns };
}

/** The taps of this process's user, whether or not they are in use, or why there are none. */
export function tapPool(): TapPool | TapRefusal {
  const settings = tapSettings();
  return "reason" in settings ? settings : { taps: tapsOf(ownUid()), ...settings };
}

/** Why no tap can be used here; undefined: there is one. It may be in use. */
export function tapRefusal(): TapRefusal | undefined {
  const runtime = usableRuntime();
  return "reason" in runtime ? runtime : undefined;
}

function usableRuntime(): RuntimeConfig | TapRefusal {
  if (process.platform !== "linux")
    return {
      reason: "only Linux has them",
      hint: "Leave qemuNetwork (--qemu-network) out: an open network is kept in the best way that this machine has.",
    };
  const { runtime } = setupState();
  const user = userName();
  if (runtime === undefined)
    return { reason: "no taps are set up on this machine", hint: setupCommand(["--configure-runtime"]) };
  if (runtime.tapUser !== user) {
    return {
      reason: `the taps belong to ${runtime.tapUser}, not to ${user}`,
      hint: setupCommand(["--configure-runtime", "--user", user]),
    };
  }
  const [anyTap] = findTaps(ownUid());
  if (anyTap === undefined) return { reason: `none of the ${runtime.taps} taps is there`, hint: makeTaps() };
  return deviceRefusal() ?? runtime;
}

function ownUid(): number {
  return process.getuid?.() ?? -1;
}

/** The command that makes those that are missing. */
export function makeTaps(): string {
  return asRoot(NETWORK_UP);
}

/** How to have more of them. */
export function moreTaps(): string {
  return `Stop a sandbox (smolvm ls), or raise 'taps' in /etc/smolvm/runtime.conf, then: ${makeTaps()}`;
}

function deviceRefusal(): TapRefusal | undefined {
  try {
    accessSync(DEVICE, constants.R_OK | constants.W_OK);
    return undefined;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "EACCES"
      ? { reason: `${DEVICE} is closed to you`, hint: asRoot(`chmod 666 ${DEVICE}`) }
      : { reason: `${DEVICE} is missing`, hint: asRoot("modprobe tun") };
  }
}

function asRoot(command: string): string {
  return process.getuid?.() === 0 ? command : `sudo ${command}`;
}

/** A file of an interface in sysfs; "" where it cannot be read: the carrier of one that is down is such a one. */
function attribute(name: string, file: string): string {
  try {
    return readFileSync(`${INTERFACES}/${name}/${file}`, "utf8").trim();
  } catch {
    return "";
  }
}
