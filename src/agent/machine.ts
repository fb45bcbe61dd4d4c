import type { CommandLimits, CommandShare, DoorNetwork, GuestNetwork } from "../config/spec.ts";
import { isSmolVMError, SmolVMError } from "../errors.ts";
import { Deadline } from "../util/deadline.ts";
import { escapeTerminal } from "../util/escape-terminal.ts";
import { call } from "./session/call.ts";
import type { AgentSession } from "./session/session.ts";
import type { Limits } from "./types.ts";
import { limitsMessage, limitsOf } from "./wire/limits.ts";
import type { Info, Network, Result } from "./wire/messages.ts";
import type { Draft } from "./wire/schema.ts";
import { violation } from "./wire/violation.ts";

/** More kinds of controllers than Linux has. */
const MAX_CONTROLLERS = 32;

/** What the guest says of itself. Strings are escaped for terminals. */
export interface MachineInfo {
  readonly agent: string;
  readonly kernel: string;
  readonly bootId: string;
  readonly uptimeMs: number;
  readonly memTotalBytes: number;
  readonly memAvailableBytes: number;
  readonly diskTotalBytes: number;
  readonly diskFreeBytes: number;
  readonly hostname: string;
  /** the guest's wall clock */
  readonly clock: Date;
  /** processes that the agent started and that run */
  readonly processes: number;
  readonly commands: CommandShare;
}

/** The network card goes down, and loses its address. */
export interface NoNetwork {
  readonly down: true;
}

/** What a guest is told after a boot or a restore. Absent members are left as they are. */
export interface MachineIdentity {
  /** bytes for the kernel's entropy pool, at most 512 */
  readonly entropy?: Uint8Array | undefined;
  /** wall clock to set, in ms since 1970 */
  readonly clockMs?: number | undefined;
  readonly hostname?: string | undefined;
  /** 32 hex digits */
  readonly machineId?: string | undefined;
  readonly network?: GuestNetwork | DoorNetwork | NoNetwork | undefined;
  /** the network card's own address, 6 bytes; it goes with `network` */
  readonly mac?: Uint8Array | undefined;
  /** size of the writable disk, to grow its file system to */
  readonly diskBytes?: number | undefined;
  /** 32 hex digits, another for each machine that goes on from one memory: what a guest's programs can tell that by */
  readonly generation?: string | undefined;
  /** of all commands together; absent: the usual ones */
  readonly limits?: CommandLimits | undefined;
  /** drives that are to be mounted, in this order */
  readonly mounts?: readonly GuestMount[] | undefined;
  /** a directory to be made, if it is missing */
  readonly workdir?: string | undefined;
  /** whose it is: name, uid, `name:group` or `uid:gid`; absent: root's */
  readonly user?: string | undefined;
  /** the image's init is to run, unless it does */
  readonly init?: GuestInit | undefined;
}

/** An init that an image has. */
export interface GuestInit {
  /** its program, an absolute path, and its arguments; none: the one that is where images have theirs */
  readonly argv: readonly string[];
  readonly env: Readonly<Record<string, string>>;
}

/** A drive and where the guest is to mount it. */
export interface GuestMount {
  /** the disk's serial number */
  readonly serial: string;
  /** absolute path in the guest; made if it is missing */
  readonly path: string;
  /** as the kernel names it */
  readonly fileSystem: string;
  readonly readOnly: boolean;
}

function machineInfo(info: Info | undefined): MachineInfo {
  if (info === undefined) throw violation("an answer without the machine's info");
  const { uptimeMs, memTotalBytes, memAvailableBytes, diskTotalBytes, diskFreeBytes, processes } = info;
  return {
    agent: escapeTerminal(info.agent, 64),
    kernel: escapeTerminal(info.kernel, 256),
    bootId: escapeTerminal(info.bootId, 64),
    hostname: escapeTerminal(info.hostname, 256),
    clock: new Date(info.clockS * 1000 + Math.floor(info.clockNs / 1e6)),
    uptimeMs,
    memTotalBytes,
    memAvailableBytes,
    diskTotalBytes,
    diskFreeBytes,
    processes,
    commands: {
      controllers: info.controllers.slice(0, MAX_CONTROLLERS).map((name) => escapeTerminal(name, 32)),
      all: limitsOf(info.limits),
      each: limitsOf(info.commandLimits),
    },
  };
}

function networkMessage(
  network: GuestNetwork | DoorNetwork | NoNetwork | undefined,
  mac: Uint8Array | undefined,
): Draft<Network> | undefined {
  if (network === undefined) return undefined;
  if ("down" in network) return { down: true };
  const dns = network.dns.map((server) => Buffer.from(server));
  if ("door" in network) return { door: true, dns };
  return {
    interface: Buffer.from(network.interface),
    address: Buffer.from(network.address),
    gateway: Buffer.from(network.gateway),
    dns,
    mtu: network.mtu,
    mac,
  };
}

/**
 * Gives the guest its identity: entropy, clock, hostname, machine id, network, disk size, and what is to be mounted and made. Idempotent; sent
 * before anything else after a boot or a restore.
 *
 * @throws SmolVMError FILE_FAILED, FILE_TYPE or NO_SPACE for what the guest could not apply, AGENT_VERSION for one that mounts nothing, TIMEOUT, ABORTED, AGENT_LOST, OUTCOME_UNKNOWN
 */
export async function configure(
  session: AgentSession,
  identity: MachineIdentity,
  limits: Limits = {},
): Promise<MachineInfo> {
  const {
    entropy,
    clockMs,
    hostname,
    machineId,
    network,
    mac,
    diskBytes,
    generation,
    limits: commandLimits,
    mounts = [],
    workdir,
    user,
    init,
  } = identity;
  const bytes = (value: string | undefined): Buffer | undefined =>
    value === undefined ? undefined : Buffer.from(value);
  const what = "configuring the sandbox";
  const result = await call(
    session,
    {
      what,
      effects: true,
      context: "machine",
      open: {
        configure: {
          init: init && {
            argv: init.argv.map((word) => Buffer.from(word)),
            env: Object.entries(init.env).map(([name, value]) => Buffer.from(`${name}=${value}`)),
          },
          entropy,
          clockS: clockMs === undefined ? undefined : Math.floor(clockMs / 1000),
          clockNs: clockMs === undefined ? undefined : Math.floor(clockMs % 1000) * 1_000_000,
          hostname: bytes(hostname),
          machineId: bytes(machineId),
          network: networkMessage(network, mac),
          diskBytes,
          generation: bytes(generation),
          limits: commandLimits === undefined ? undefined : limitsMessage(commandLimits),
          mounts: mounts.map(({ serial, path, fileSystem, readOnly }) => ({
            serial: Buffer.from(serial),
            path: Buffer.from(path),
            kind: Buffer.from(fileSystem),
            readOnly,
          })),
          workdir: bytes(workdir),
          user: workdir === undefined ? undefined : bytes(user),
        },
      },
    },
    Deadline.of(what, limits),
  ).catch((error) => {
    throw init === undefined ? error : withoutInit(error, init);
  });
  if ((result.info?.mounts ?? 0) < mounts.length) throw tooOld("mounts no drives");
  if (init !== undefined && !result.info?.init) throw tooOld("starts no init");
  return machineInfo(result.info);
}

function tooOld(what: string): SmolVMError {
  return new SmolVMError("AGENT_VERSION", `the guest's agent is older than this smolvm and ${what}`, {
    hint: "Start it with the agent of this version: without an initrdPath of your own.",
  });
}

/** What it means that a machine cannot be configured that is to have an init. */
function withoutInit(error: unknown, { argv }: GuestInit): unknown {
  if (!isSmolVMError(error, "NOT_SUPPORTED")) return error;
  const where = argv[0] ?? "/sbin/init, or systemd's own program";
  return new SmolVMError("NOT_SUPPORTED", `the image has no init to boot: there is no ${where}`, {
    hint: "Create the sandbox without init, or from an image with systemd or another init in it.",
    cause: error,
  });
}

/**
 * Asks the guest about itself.
 *
 * @throws SmolVMError TIMEOUT, ABORTED, AGENT_LOST, AGENT_PROTOCOL
 */
export async function info(session: AgentSession, limits: Limits = {}): Promise<MachineInfo> {
  const request = { what: "asking the sandbox about itself", effects: false, context: "machine" } as const;
  const result: Result = await call(
    session,
    { ...request, open: { info: {} } },
    Deadline.of(request.what, limits),
  );
  return machineInfo(result.info);
}

/**
 * Freezes all that the guest was asked to run, for its memory to be captured: nothing goes on, in it and in all that go on from that
 * memory, before {@link configure} has given each an identity of its own.
 *
 * @param options.suspend the capture ends connections: all other sessions part from theirs, and go on over others after {@link release}
 * @throws SmolVMError VM_BUSY if something cannot be frozen (nothing is then), TIMEOUT, ABORTED, AGENT_LOST
 */
export async function hold(
  session: AgentSession,
  { suspend, ...limits }: Limits & { readonly suspend?: boolean | undefined } = {},
): Promise<void> {
  const request = { what: "holding the sandbox", effects: true, context: "hold" } as const;
  await call(session, { ...request, open: { hold: { suspend } } }, Deadline.of(request.what, limits));
}

/**
 * Lets a machine that was held, and is still itself, go on. Fine for one that is not held.
 *
 * @throws SmolVMError TIMEOUT, ABORTED, AGENT_LOST
 */
export async function release(session: AgentSession, limits: Limits = {}): Promise<void> {
  const request = { what: "letting the sandbox go on", effects: true, context: "machine" } as const;
  await call(session, { ...request, open: { release: {} } }, Deadline.of(request.what, limits));
}

/**
 * Resolves when the guest has written all its file systems to their disks.
 *
 * @throws SmolVMError FILE_FAILED, TIMEOUT, ABORTED, AGENT_LOST
 */
export async function sync(session: AgentSession, limits: Limits = {}): Promise<void> {
  const request = { what: "syncing the sandbox's disks", effects: false, context: "machine" } as const;
  await call(session, { ...request, open: { sync: {} } }, Deadline.of(request.what, limits));
}

/** Options of {@link shutdown}. */
export interface ShutdownOptions extends Limits {
  /** time between SIGTERM and SIGKILL to all processes, in ms. Default 500 */
  graceMs?: number | undefined;
  /** the guest's number of the signal that commands, and the image's init, get instead of SIGTERM, 1-64. Default: that, and what the init halts by */
  stopSignal?: number | undefined;
}

/**
 * Stops the guest: processes end, disks are synced and unmounted, the guest says goodbye and its machine restarts (which ends
 * the VMM). Resolves at the goodbye; the session is over then.
 *
 * @throws SmolVMError AGENT_LOST if the channel ended without a goodbye, TIMEOUT, ABORTED, or what the guest's refusal means
 */
export async function shutdown(session: AgentSession, options: ShutdownOptions = {}): Promise<void> {
  const what = "stopping the sandbox";
  const open = { shutdown: { graceMs: options.graceMs, signal: options.stopSignal } };
  try {
    await call(session, { what, effects: false, context: "machine", open }, Deadline.of(what, options));
  } catch (error) {
    // Its answer is the goodbye, which ends the session and with it the call; anything else is a failure.
    if (session.end?.reason !== "goodbye") throw error;
  }
}
