import type { MountSpec } from "./mounts.ts";
import type { NetworkPolicy } from "./network-rules.ts";

/** Types of what will be launched, resolved from what the user asked. Data only: everything here survives JSON. */

export type Arch = "x86_64" | "aarch64";
export type BackendName = "firecracker" | "qemu";
export type MachineType = "microvm" | "q35" | "virt" | "firecracker";
export type Accelerator = "kvm" | "hvf" | "whpx" | "tcg";
export type NetworkMode = "open" | "restricted" | "off";
/** What is behind a network card: a network of QEMU's own that nobody has to set up, or a tap that the set-up made (host/linux/taps.ts). */
export type NetworkCard = "slirp" | "tap";
/**
 * What keeps the guest of an open network without a tap of the set-up's from what it may not reach: a packet filter in a network namespace of
 * QEMU's own, in which the guest has a tap, or QEMU dials for it (libslirp); the door of a restricted network; a filter within QEMU; or nothing.
 */
export type UserNetworkWay = "namespace" | "namespace-slirp" | "door" | "process" | "unfiltered";
export type Lifetime = "owner" | "detached";
export type DiskMode = "isolated" | "shared";
/** What stands around a VMM, from the least to the most. */
export type IsolationTier = "none" | "user" | "jail";
/** The least that a sandbox is content with; "auto": whatever this host gives. */
export type LeastIsolation = "auto" | "user" | "jail";

/** Whether a first start may go on from a template. */
export type TemplateUse = "auto" | "off";

/** What a VMM may use of the host at most. */
export interface VmmLimits {
  readonly memoryMib: number;
  /** CPU time, in CPUs */
  readonly cpus: number;
  /** processes and threads */
  readonly pids: number;
}

/** One of them. */
export type LimitName = keyof VmmLimits;

/** What stands around the VMM of a machine that runs. */
export interface ReachedIsolation {
  readonly tier: IsolationTier;
  /** the uid that is its own; absent: it has that of the user who runs smolvm */
  readonly uid?: number | undefined;
  /** those that are in force; absent: there are none */
  readonly limits?: Partial<VmmLimits> | undefined;
  /** why it is not the next better tier; absent where there is none */
  readonly whyNotNext?: string;
  /** what would make it that, ending in a command */
  readonly fix?: string | undefined;
  /** why there are no limits, or not all, and what would change that; absent where that is the tier's matter */
  readonly whyNotLimited?: string | undefined;
  /** absent: it has no user-mode network */
  readonly userNetwork?: ReachedNetwork | undefined;
}

/** How the user-mode network of a machine that runs is filtered. */
export interface ReachedNetwork {
  readonly way: UserNetworkWay;
  /** why it is not the better way, and what would change that; absent: it is the best, or what was asked for */
  readonly whyNotNext?: string | undefined;
  /** behind its card is a tap, so that nothing of libslirp is in the state of its devices; absent: no, or in records of earlier versions */
  readonly tap?: boolean | undefined;
}

/** What commands may take of their sandbox at most. */
export interface CommandLimits {
  /** processes and threads, 1 to 4,194,304 */
  readonly pids?: number | undefined;
  /** `MiB`, from 4; page cache and files in memory count */
  readonly memoryMib?: number | undefined;
}

/** What a guest's kernel limits commands by, and to what. */
export interface CommandShare {
  /** cgroup controllers that are on for commands, e.g. "cpu", "memory", "pids", "io" */
  readonly controllers: readonly string[];
  /** of all commands together; absent members are not limited */
  readonly all: CommandLimits;
  /** of each command that asks for nothing else */
  readonly each: CommandLimits;
}

/** A port of the guest's loopback that leads to one service. */
export interface BringPort {
  /** TCP port of the guest's 127.0.0.1, 1-65535 */
  guestPort: number;
  /** name or address, as this machine knows it; default 127.0.0.1 */
  host?: string;
  /** TCP port there, 1-65535 */
  port: number;
}

/** One disk of the machine; the guest knows it by its serial number (PROTOCOL.md, section 4). */
export interface DiskSpec {
  /** "smolvm-base", "smolvm-upper", "smolvm-root", or "extra-0" ... for the user's own; at most 20 bytes (virtio-blk) */
  readonly serial: string;
  /** absolute path on the host */
  readonly path: string;
  readonly format: "raw" | "qcow2";
  readonly readOnly: boolean;
  /** where the guest mounts it; absent: nowhere, or it is the root's */
  readonly mountAt?: string | undefined;
}

/** What the agent is told after a boot (PROTOCOL.md, Configure). */
export interface GuestNetwork {
  readonly interface: string;
  /** e.g. "10.0.2.15/24" */
  readonly address: string;
  readonly gateway: string;
  readonly dns: readonly string[];
  readonly mtu?: number;
}

/** What the agent is told where there is no network card, but its door: connections that leave are the host's to decide on (src/egress). */
export interface DoorNetwork {
  readonly door: true;
  readonly dns: readonly string[];
}

/** Whose kernel is booted: the image's own, the fast one that was built here, or the user's. */
export type KernelOrigin = "debian" | "fast" | "custom";

/** How the host reaches the machine's sockets: as Unix sockets, or (Windows) over loopback TCP through a relay that wants a token. */
export type Transport = "unix" | "tcp";

/** The machine to launch. Frozen, serialisable; nothing optional that a backend would have to guess. */
export interface MachineSpec {
  readonly backend: BackendName;
  readonly arch: Arch;
  readonly machine: MachineType;
  readonly accelerator: Accelerator;
  readonly vcpuCount: number;
  readonly memSizeMib: number;
  readonly kernelPath: string;
  readonly initrdPath: string | undefined;
  /** the user's additions to the kernel command line */
  readonly bootArgs: string;
  /** port of 127.0.0.1 for gdb; absent: none */
  readonly gdbPort?: number | undefined;
  readonly disks: readonly DiskSpec[];
  readonly network: NetworkMode;
  /** absent: there is none (network "off"), or, in records of earlier versions, QEMU's user-mode network */
  readonly networkCard?: NetworkCard | undefined;
  /** its user-mode network is the host's own, and reaches all that the host reaches: asked for so; absent: no */
  readonly unfiltered?: boolean | undefined;
  /**
   * how the guest finds its virtio devices on microvm: by ACPI tables, or on the kernel's command line, which is faster and
   * which only the fast kernel can; absent in records of earlier versions: by ACPI
   */
  readonly discovery?: "acpi" | "command-line" | undefined;
  /** session ports (virtio-serial), where sessions are not unlimited; one more, number 0, is kept for stop and the supervisor */
  readonly sessionPorts: number;
  /** there is one port more, the last one, for the server of host directories; absent: there is none (earlier versions, hosts without such a server, and unlimited sessions) */
  readonly mountPort?: boolean | undefined;
  /** absent: unix */
  readonly transport?: Transport;
}

/** When an image is pulled: if it is not here; for each new sandbox; not at all. */
export type PullPolicy = "missing" | "always" | "never";

/** What an image says of itself besides how its commands are run. */
export interface ImageSays {
  /** as "80/tcp" */
  readonly exposedPorts: readonly string[];
  readonly labels: Readonly<Record<string, string>>;
  /** as it is written: "SIGQUIT", "3"; absent: SIGTERM */
  readonly stopSignal?: string | undefined;
  readonly healthCheck?: HealthCheck | undefined;
}

/** How an image says that one can tell whether what it runs is well. Nothing here runs it. */
export interface HealthCheck {
  /** a program and its arguments, or one line for the image's shell */
  readonly command: readonly string[] | string;
  /** absent: the usual of who runs it (Docker: 30 s, 30 s, none, 3 times) */
  readonly intervalMs?: number | undefined;
  readonly timeoutMs?: number | undefined;
  readonly startPeriodMs?: number | undefined;
  readonly retries?: number | undefined;
}

/** Everything about one sandbox, as kept in the store. */
export interface VmSpec {
  readonly machine: MachineSpec;
  /** image reference as the user gave it, e.g. "debian", or "" when kernelPath/rootfsPath were given */
  readonly image: string;
  /** whose kernel it boots: the image's own, the fast one that was built here, or the user's */
  readonly kernel: KernelOrigin;
  /** what the image runs where no command is given: its entrypoint and command; absent: it names none, or was made here */
  readonly imageCommand?: readonly string[] | undefined;
  /** what else an image from elsewhere says; absent: nothing, or it was made here */
  readonly imageSays?: ImageSays | undefined;
  /** the image's init is started, with these words; none: the one that is where images have theirs; absent: no init is */
  readonly init?: readonly string[] | undefined;
  /** content address of the image, or "" */
  readonly imageDigest: string;
  /** size of the disk that it writes to: its own, or with diskMode "shared" the user's */
  readonly diskSizeMib: number;
  /** absent in records of the first version: isolated */
  readonly diskMode?: DiskMode;
  readonly hostname: string;
  /** absent: it has no network, or each start's tap decides */
  readonly guestNetwork: GuestNetwork | undefined;
  /** network "restricted": what passes; absent: nothing does, or it has another network */
  readonly networkPolicy?: NetworkPolicy | undefined;
  /** of a restricted network, in each direction; absent: none */
  readonly networkRateLimitMbps?: number | undefined;
  /** why its network, which was asked for as "open", is a restricted one that lets through all of the public internet; absent: it is not */
  readonly openByDoor?: string | undefined;
  /** ports of its loopback that lead to services of the host's whenever it runs; absent: none */
  readonly bring?: readonly Readonly<BringPort>[] | undefined;
  /** directories of the host that it has whenever it runs; absent: none */
  readonly mounts?: readonly MountSpec[] | undefined;
  readonly env: Readonly<Record<string, string>>;
  readonly workdir: string | undefined;
  readonly user: string | undefined;
  /** of all commands together; absent: the usual ones */
  readonly limits?: CommandLimits | undefined;
  readonly lifetime: Lifetime;
  /** absent in records of earlier versions: false */
  readonly autoStart?: boolean;
  /** absent in records of earlier versions: auto */
  readonly isolation?: LeastIsolation;
  /** absent in records of earlier versions: off */
  readonly template?: TemplateUse;
  /** command lines that its template has run; absent: those that were given for its kind (vm/templates/warm-ups.ts) */
  readonly warm?: readonly string[] | undefined;
  /** the image's seeds, of which its own disk was made; absent where it has none, and in records of earlier versions */
  readonly seedPath?: string | undefined;
  /** digest of the snapshot that it, or the one that it is a fork of, went on from; absent: none */
  readonly layer?: string | undefined;
}
