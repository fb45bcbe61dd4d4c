import type { MountSpec } from "../../config/mounts.ts";
import type { NetworkPolicy } from "../../config/network-rules.ts";
import type {
  Accelerator,
  Arch,
  BackendName,
  BringPort,
  CommandShare,
  DiskMode,
  HealthCheck,
  IsolationTier,
  KernelOrigin,
  LeastIsolation,
  Lifetime,
  MachineType,
  NetworkMode,
  UserNetworkWay,
  VmmLimits,
} from "../../config/spec.ts";
import { DISK_FULL_BYTES } from "../../host/files/disk-space.ts";
import { nativeProgram } from "../../host/package.ts";
import { LIMITS } from "../../isolation/limits.ts";
import { tierNote } from "../../isolation/note.ts";
import { inWords } from "../../isolation/tier.ts";
import { networkNote } from "../../network/plan.ts";
import type { PortRecord } from "../../store/ports.ts";
import { STEADY, type VmState } from "../../store/states.ts";
import { ORIGIN, type VmFault, type VmRecord } from "../../store/vms.ts";
import type { Json } from "../../util/json.ts";
import { type DriveInfo, drivesOf } from "../disks/drives.ts";

/** What is known about a sandbox. */
export interface VMInfo {
  readonly id: string;
  readonly name: string;
  readonly state: VmState;
  /** image reference, or "custom" for a root file system of one's own */
  readonly image: string;
  readonly imageDigest: string | undefined;
  /** what the image runs where no command is given; undefined: nothing */
  readonly imageCommand: readonly string[] | undefined;
  /** ports that the image exposes, as "80/tcp": which of them lead in is in `ports` */
  readonly imagePorts: readonly string[];
  /** how the image says that one can tell whether what it runs is well; nothing runs it by itself */
  readonly healthCheck: HealthCheck | undefined;
  /** what commands get at a stop instead of SIGTERM, as the image says */
  readonly stopSignal: string | undefined;
  /** the image's init runs in it whenever it runs */
  readonly init: boolean;
  /** whose kernel it boots: the image's own, the fast one that was built here, or the user's */
  readonly kernel: KernelOrigin;
  /** the file that is booted */
  readonly kernelPath: string;
  readonly initrdPath: string | undefined;
  readonly arch: Arch;
  readonly backend: BackendName;
  /** path of the program that it runs in; undefined while it does not run, or where that cannot be seen */
  readonly program: string | undefined;
  readonly machine: MachineType;
  readonly accelerator: Accelerator;
  /** "hardware" virtualization, or "emulated": much slower, and outside QEMU's security guarantee */
  readonly speed: "hardware" | "emulated";
  readonly isolation: IsolationInfo;
  readonly vcpuCount: number;
  readonly memSizeMib: number;
  readonly diskSizeMib: number;
  /** "shared": its root is `rootfsPath` itself */
  readonly diskMode: DiskMode;
  /** port of 127.0.0.1 for gdb, if it was created with one */
  readonly gdbPort: number | undefined;
  /** disks that it has beside its root */
  readonly drives: readonly DriveInfo[];
  readonly network: {
    readonly mode: NetworkMode;
    readonly note: string;
    /** of "restricted": its rules; undefined: it has another network */
    readonly rules: NetworkPolicy | undefined;
    /** how an open network without a tap is filtered, or was at its last start: "namespace", "door", "process" or "unfiltered"; undefined: it is another one, or was not started yet */
    readonly way: UserNetworkWay | undefined;
    /** why it is not the better way, and what would make it that */
    readonly whyNotNext: string | undefined;
    /** what it carries at most in each direction, in millions of bits a second; undefined: as much as there is */
    readonly rateLimitMbps: number | undefined;
    /** the interface of this machine that is the other end of its network card, while it runs with one */
    readonly tap: string | undefined;
  };
  readonly lifetime: Lifetime;
  readonly hostname: string;
  /** what its guest limits commands to, by which controllers; undefined: it was not started yet */
  readonly commands: CommandShare | undefined;
  readonly labels: Readonly<Record<string, Json>>;
  /** what `SmolVM.getOrCreate` finds it by */
  readonly key: string | undefined;
  /** it is started again by what needs its guest */
  readonly autoStart: boolean;
  /** ISO 8601 */
  readonly createdAt: string;
  readonly startedAt: string | undefined;
  /** what its machine, or the last one, began with; undefined: it was never started */
  readonly startedFrom: "boot" | "template" | "snapshot" | "fork" | undefined;
  /** what its first start went on from, if that was something a user saved: `snapshot NAME` or `fork of NAME` */
  readonly origin: string | undefined;
  /** the pool in which it waits to be taken; undefined: it is somebody's */
  readonly pool: string | undefined;
  readonly uptimeMs: number | undefined;
  /** ISO 8601: it is removed then (`ttlMs`) */
  readonly expiresAt: string | undefined;
  /** process id of its virtual machine monitor */
  readonly pid: number | undefined;
  readonly error: VmFault | undefined;
  /** ports of this machine that lead into it now, whichever process forwards them */
  readonly ports: readonly PortRecord[];
  /** directories and files of the host that it has whenever it runs; whether they are mounted says `vm.mounts.list` */
  readonly mounts: readonly MountSpec[];
  /** ports of its 127.0.0.1 that lead to a service of this machine's whenever it runs (`bring`) */
  readonly brought: readonly Readonly<Required<BringPort>>[];
  /** what keeps it from working well, and what to do about it */
  readonly warning: string | undefined;
}

/** What stands around a sandbox's virtual machine. */
export interface IsolationInfo {
  /** the least that it is content with */
  readonly least: LeastIsolation;
  /** what was reached by its last start; undefined: it was not started yet */
  readonly tier: IsolationTier | undefined;
  /** the uid that its VMM has to itself; undefined: it has that of the user who runs smolvm */
  readonly uid: number | undefined;
  /** what its VMM may use of this machine at most, of what is limited; undefined: no limits are in force */
  readonly limits: Partial<VmmLimits> | undefined;
  /** what that is, in words */
  readonly note: string;
  /** why it is not the next better tier, and what would make it that */
  readonly whyNotNext: string | undefined;
  /** why there are no limits, or not all, and what would change that; undefined: there are, or they come with the next tier */
  readonly whyNotLimited: string | undefined;
}

/** What of the host's state a description tells. */
export interface HostState {
  /** ms since the epoch */
  readonly now: number;
  /** where sandboxes' disks live, and the room that is left there */
  readonly dataDir: string;
  readonly freeBytes: number;
  /** ports that lead into the sandbox */
  readonly ports: readonly PortRecord[];
  /** by the ids of the sandboxes that have one */
  readonly taps: ReadonlyMap<string, string>;
  /** guests on taps reach private networks, as this machine is configured; absent: they do not */
  readonly tapsReachPrivate?: boolean | undefined;
  /** the file that a process runs, where that can be seen */
  readonly programOf?: (pid: number) => string | undefined;
}

function networkOf(
  { spec, isolation }: VmRecord,
  tapsReachPrivate: boolean | undefined,
): Omit<VMInfo["network"], "tap" | "rateLimitMbps"> {
  const { machine, networkPolicy, openByDoor } = spec;
  if (openByDoor !== undefined) {
    const note = networkNote("open", undefined, "door");
    return { mode: "open", note, way: "door", whyNotNext: openByDoor, rules: undefined };
  }
  const { way, whyNotNext } = isolation?.userNetwork ?? {};
  const { network, networkCard, unfiltered } = machine;
  const note = networkNote(network, networkCard, unfiltered ? "unfiltered" : way, tapsReachPrivate);
  return { mode: machine.network, note, way, whyNotNext, rules: networkPolicy };
}

/** The public view of a record. Pure. */
export function describe(
  record: VmRecord,
  { now, dataDir, freeBytes, ports, taps, tapsReachPrivate, programOf }: HostState,
): VMInfo {
  const { spec } = record;
  const { machine } = spec;
  const running = STEADY.has(record.state);
  const emulated = machine.accelerator === "tcg";
  return {
    id: record.id,
    name: record.name,
    state: record.state,
    image: spec.image || "custom",
    imageDigest: spec.imageDigest || undefined,
    imageCommand: spec.imageCommand,
    imagePorts: spec.imageSays?.exposedPorts ?? [],
    healthCheck: spec.imageSays?.healthCheck,
    stopSignal: spec.imageSays?.stopSignal,
    init: spec.init !== undefined,
    kernel: spec.kernel ?? "debian", // absent in records of the first version
    kernelPath: machine.kernelPath,
    initrdPath: machine.initrdPath,
    arch: machine.arch,
    backend: machine.backend,
    program: running && record.vmm !== undefined ? programOf?.(record.vmm.pid) : undefined,
    machine: machine.machine,
    accelerator: machine.accelerator,
    speed: emulated ? "emulated" : "hardware",
    isolation: isolationOf(record),
    vcpuCount: machine.vcpuCount,
    memSizeMib: machine.memSizeMib,
    diskSizeMib: spec.diskSizeMib,
    diskMode: spec.diskMode ?? "isolated", // absent in records of the first version
    drives: drivesOf(spec),
    gdbPort: machine.gdbPort,
    network: {
      ...networkOf(record, tapsReachPrivate),
      rateLimitMbps: spec.networkRateLimitMbps,
      tap: taps.get(record.id),
    },
    lifetime: spec.lifetime,
    hostname: spec.hostname,
    commands: record.commands,
    labels: record.labels,
    key: record.key,
    autoStart: spec.autoStart ?? false,
    createdAt: new Date(record.createdAt).toISOString(),
    startedAt: record.startedAt === undefined ? undefined : new Date(record.startedAt).toISOString(),
    startedFrom: startedFrom(record),
    origin: record.origin,
    pool: record.pool,
    uptimeMs: running && record.startedAt !== undefined ? Math.max(0, now - record.startedAt) : undefined,
    expiresAt: record.expiresAt === undefined ? undefined : new Date(record.expiresAt).toISOString(),
    pid: running ? record.vmm?.pid : undefined,
    error: record.state === "error" ? record.error : undefined,
    ports,
    mounts: spec.mounts ?? [],
    brought: (spec.bring ?? []).map(({ guestPort, host = "127.0.0.1", port }) => ({ guestPort, host, port })),
    warning:
      running && freeBytes < DISK_FULL_BYTES
        ? `this machine's disk is full: what the sandbox writes is lost. Free some space (df -h '${dataDir}'), then: smolvm stop ${record.name} && smolvm start ${record.name}`
        : undefined,
  };
}

function startedFrom({ startedAt, template, origin }: VmRecord): VMInfo["startedFrom"] {
  if (startedAt === undefined) return undefined;
  if (template === undefined) return "boot";
  if (template !== ORIGIN) return "template";
  return origin?.startsWith("fork") ? "fork" : "snapshot";
}

function isolationOf({ spec, isolation }: VmRecord): IsolationInfo {
  const { isolation: least = "auto", machine } = spec;
  if (isolation === undefined)
    return {
      least,
      tier: undefined,
      uid: undefined,
      limits: undefined,
      note: "not started yet",
      whyNotNext: undefined,
      whyNotLimited: undefined,
    };
  const { tier, uid, limits, whyNotNext, fix, whyNotLimited } = isolation;
  const around = {
    tier,
    ownUid: uid !== undefined,
    limits: LIMITS.filter((name) => limits?.[name] !== undefined),
  };
  return {
    least,
    tier,
    uid,
    limits,
    note: tierNote(around, machine.backend, machine.accelerator, {
      platform: process.platform,
      hasNativeMonitor: nativeProgram("monitor") !== undefined,
    }),
    whyNotNext: whyNotNext === undefined ? undefined : inWords({ reason: whyNotNext, fix }),
    whyNotLimited,
  };
}
