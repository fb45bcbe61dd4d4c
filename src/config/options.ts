import type { Json } from "../util/json.ts";
import type { HostMount } from "./mounts.ts";
import type { OnProgress } from "./progress.ts";
import type {
  Accelerator,
  Arch,
  BringPort,
  CommandLimits,
  DiskMode,
  LeastIsolation,
  Lifetime,
  NetworkCard,
  NetworkMode,
  PullPolicy,
  TemplateUse,
} from "./spec.ts";

/** A network, in more than its name. */
export interface NetworkOptions {
  mode: NetworkMode;
  /**
   * with `open` on QEMU's user-mode network: nothing is kept from the guest that this host reaches, its own services and private networks
   * included. Default: false
   */
  unfiltered?: boolean;
  /**
   * of "restricted", what may be reached: `example.com`, `*.example.com` (all below it), `10.1.0.0/16`, `192.0.2.7`, `*` (all of the public internet), each with ports or
   * without: `example.com:443`, `10.0.0.0/8:8000-8100`, `[fd00::/8]:22`. Default: nothing
   */
  allow?: readonly string[];
  /** of "restricted", what may not be reached, whatever `allow` says; written as there. Default: nothing more */
  deny?: readonly string[];
}

/** A guest port to be reached on the host while the sandbox runs. */
export interface PortForward {
  /** TCP port in the guest, 1-65535 */
  guestPort: number;
  /** TCP port on the host; default: any free one */
  hostPort?: number;
  /** IP address of this machine to listen on; default 127.0.0.1 */
  hostAddress?: string;
}

/** A file of the host that the guest has as a disk. */
export interface ExtraDrive {
  /** raw disk image, absolute path; its size is a multiple of 512 bytes */
  path: string;
  /** the guest cannot write to it, and several sandboxes may have it at once; default false */
  readOnly?: boolean;
  /** where the guest mounts it at each start: an absolute path, made if it is missing. The file holds an ext4, squashfs or erofs file system, without partitions; default: it is not mounted */
  mountAt?: string;
}

/** What a user may ask of a sandbox. Unknown keys are rejected. */
export interface VMConfig {
  /** lower-case letters, digits, `-` and `_`, at most 64; default: a generated one */
  name?: string;
  /** `auto` (default), `firecracker` or `qemu`; over `SMOLVM_BACKEND` */
  backend?: string;
  /**
   * `debian` (default), `minimal`, the name of an image in the store, or one of a registry: `python:3.12`, `ghcr.io/owner/name@sha256:...`, `localhost:5000/name`;
   * `oci:DIRECTORY[:TAG]` (OCI image layout), `docker-archive:FILE` (docker save). What an image says of environment, user and working directory counts where
   * nothing else is asked for
   */
  image?: string;
  /** `missing` (default): an image that is not here is pulled, or built if it is one of smolvm's own; `always`: pulled if it is another by now; `never`: IMAGE_NOT_FOUND */
  pull?: PullPolicy;
  /** default: the host's */
  arch?: Arch;
  /** 1-32; default 1 */
  vcpuCount?: number;
  /** 128-16384 `MiB`; default 512 */
  memSizeMib?: number;
  /** size of the sandbox's writable disk, 64-1048576 `MiB`; sparse on the host; default 2048 */
  diskSizeMib?: number;
  /** `isolated` (default): a writable disk of its own over the read-only root; `shared`: `rootfsPath`, an ext4 image of one's own, is written itself, and no other sandbox can have it while this one exists */
  diskMode?: DiskMode;
  /** at most 8 disks more; the guest finds the first one as `/dev/disk/by-id/virtio-extra-0`. A writable one is this sandbox's alone while it runs */
  extraDrives?: readonly ExtraDrive[];
  /** environment of every command, at most 256 KiB; a command's own `env` goes over it; `vm.env` changes it later */
  env?: Record<string, string>;
  /** working directory of every command, absolute; made at each start, with those above it, if it is missing, and then the user's. Default: what the image says; of `debian` and `minimal` the user's home, else `/` */
  workdir?: string;
  /** guest user of every command: name, uid, `name:group` or `uid:gid`; default root */
  user?: string;
  /**
   * what all commands together may take of the sandbox; one of them may take a quarter of these processes, and 16 MiB less memory
   * (an eighth less where that is less). Default: three quarters of the threads that the guest's kernel allows, and what memory is
   * free at boot less a sixteenth of it all
   */
  limits?: CommandLimits;
  /** default: the sandbox's name */
  hostname?: string;
  /**
   * `open` (default): the public internet over IPv4, and not this machine or private networks, by a tap on Firecracker and as `qemuNetwork` says on QEMU; `restricted`: no
   * network card, and TCP connections to what `allow` names and `deny` does not; `off`: no network card
   */
  network?: NetworkMode | NetworkOptions;
  /**
   * what the network carries at most in each direction, all connections together, 1-100000 millions of bits a second; default: no limit. Not for `off`, an unfiltered
   * network, and QEMU on a tap ([how much](network.md#how-much))
   */
  networkRateLimitMbps?: number;
  /** what is behind QEMU's network card: `slirp`: its user-mode network, filtered; `tap`: a tap with a packet filter (smolvm setup --configure-runtime), as on Firecracker. Default: `slirp` where that can be in a network namespace of its own, else no card, and TCP and names alone ([who sees to it](network.md#who-sees-to-it)) */
  qemuNetwork?: NetworkCard;
  /** QEMU machine; default `auto`: microvm on x86_64, virt on aarch64 */
  qemuMachine?: "auto" | "microvm" | "q35";
  /** default `auto`: the fastest this host can really run */
  accelerator?: "auto" | Accelerator;
  /**
   * the least that is accepted around the virtual machine's process: `user`, namespaces of its own that hide this machine's
   * files and processes from it; `jail`, a uid of its own and limits as well. Below it nothing starts (ISOLATION_UNAVAILABLE).
   * Default `auto`: the best that this host gives
   */
  isolation?: LeastIsolation;
  /**
   * `auto` (default): its first start goes on from the memory of a machine of its kind that was booted before, where there is one,
   * and otherwise boots, and one is made in the background; `off`: it boots, and none is made
   */
  template?: TemplateUse;
  /**
   * command lines, at most 20, that are run (by `/bin/sh -c`, as root, once or twice) in the machine of which the template is made, so that what they
   * load is in memory in each sandbox, and what they do on disk is done; default those that `smolvm image warm --run` has given, or none
   */
  warm?: readonly string[];
  /** `auto` (default): the fast kernel (smolvm image kernel build) where it is built and fits, else the image's own; `debian`: the image's own; `fast`: only that */
  kernel?: "auto" | "debian" | "fast";
  /** a kernel of one's own: vmlinux or bzImage (x86_64), Image (aarch64) */
  kernelPath?: string;
  /** an initramfs of one's own; it must start smolvm's agent */
  initrdPath?: string;
  /** a root file system of one's own: squashfs, erofs or ext4 image, used read-only under a writable overlay (but see `diskMode`) */
  rootfsPath?: string;
  /** appended to the kernel command line */
  bootArgs?: string;
  /** for debugging the guest's kernel: QEMU's gdb stub listens on this port of 127.0.0.1 while the sandbox runs; every user of this machine can connect to it */
  gdbPort?: number;
  /**
   * forwarded while the sandbox runs: by this process, or (lifetime `detached`) by smolvm's supervisor in the background
   */
  ports?: readonly PortForward[];
  /** each TCP port that the image exposes, and `ports` does not name, gets a free port of 127.0.0.1 while the sandbox runs (`vm.ports.list()`); default false */
  publishAll?: boolean;
  /**
   * `image`: the image's own init (systemd, or another at /sbin/init) is started in the sandbox, as the first process of namespaces in which commands run,
   * too; NOT_SUPPORTED at the start where it has none. Default: nothing runs but commands
   */
  init?: "image";
  /**
   * ports of the guest's 127.0.0.1, each of which leads to one service of this machine's or its network's whenever the sandbox runs, in every network mode: connected by this process,
   * or (lifetime `detached`) by smolvm's supervisor in the background; at most 64
   */
  bring?: readonly BringPort[];
  /** directories and files of the host that the sandbox has, live, whenever it runs; at most 32 ([how](mounts.md)). Linux hosts */
  mounts?: readonly HostMount[];
  /** free names to find sandboxes by, with any values that JSON can say; at most 16 KiB of JSON */
  labels?: Readonly<Record<string, Json>>;
  /** `ms` from its creation, 1000 to 100 years: then it is removed, whatever runs in it; default: no limit; `vm.setTtl` changes it later */
  ttlMs?: number;
  /**
   * a sandbox that has stopped or crashed is started again by the next call that needs its guest (`run`, `files`, ...), by whichever process, as
   * one that has not run yet is in any case; default false: that call fails with VM_STATE
   */
  autoStart?: boolean;
  /** `owner` (default): the sandbox dies with this process; `detached`: it outlives it */
  lifetime?: Lifetime;
  /** told about each stage of what is slow */
  onProgress?: OnProgress;
}

/** Limits of one slow call. */
export interface Limits {
  /** `ms`; what is not done by then fails with TIMEOUT */
  timeoutMs?: number | undefined;
  signal?: AbortSignal | undefined;
}
