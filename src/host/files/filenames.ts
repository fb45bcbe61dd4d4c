import { join, sep } from "node:path";
import { SmolVMError } from "../../errors.ts";
import { pathIn } from "../../util/path-in.ts";
import type { Paths } from "./paths.ts";

/** Every file of one sandbox, named in this one place. */
export interface VmFiles {
  /** durable directory of the sandbox (disk, logs) */
  readonly dir: string;
  /** directory of its sockets: short, private (0700), gone after a reboot */
  readonly runtimeDir: string;
  /** writable disk: ext4, sparse */
  readonly upper: string;
  /** guest console, bounded: console.log and, before it, console.log.1 */
  readonly console: string;
  /** what became of connections that left a restricted network: lines of JSON, bounded in the same way */
  readonly networkLog: string;
  /** the VMM's own stderr, bounded in the same way */
  readonly vmmLog: string;
  /** JSON written by the monitor when the VMM has ended */
  readonly exit: string;
  /** what Firecracker writes when it is captured, and nobody reads but that: empty else */
  readonly scratch: string;
  /** what the server of its host directories says, bounded in the same way */
  readonly filesLog: string;
  /** directory of that server's socket: nothing else is in it, and no VMM can reach it */
  readonly mountsDir: string;
  /** where that server is told what to share; see {@link socketPath}: data directories can have long names */
  readonly mounts: string;
  /** where Firecracker's jailer makes its root */
  readonly jail: string;
  /** with the transport "tcp", instead of the sockets: where the machine's relay listens, and its token (relay/dial.ts) */
  readonly relay: string;
  /** Windows: what the machine's monitor holds while it runs (process/process-lock.ts), and beside it who it is (monitor/monitors.ts) */
  readonly lock: string;
  /** the VMM's control socket (QMP, or Firecracker's API) */
  readonly control: string;
  /** the socket of the machine's vsock, where sessions are unlimited */
  readonly vsock: string;
  /** channel sockets by number: 0 is kept for stop and the supervisor, 1... are session ports */
  readonly channel: (port: number) => string;
}

/** sun_path is 108 bytes on Linux (unix(7)) and 104 on macOS, with the final NUL. */
const SOCKET_PATH_MAX = 103;

/** Names the files of sandbox `id`. Pure. */
export function vmFiles(dataDir: string, runtimeDir: string, id: string): VmFiles {
  const dir = pathIn(pathIn(dataDir, "vms"), id);
  const run = pathIn(runtimeDir, id);
  const durable = (name: string): string => pathIn(dir, name);
  const volatile = (name: string): string => pathIn(run, name);
  const socket = (name: string): string => socketPath(volatile(name));
  return {
    dir,
    runtimeDir: run,
    upper: durable("upper.img"),
    console: durable("console.log"),
    networkLog: durable("network.log"),
    vmmLog: durable("vmm.log"),
    exit: durable("exit.json"),
    scratch: durable("scratch"),
    jail: durable("jail"),
    filesLog: durable("files.log"),
    mountsDir: durable("mnt"),
    mounts: durable(`mnt${sep}ctl`),
    relay: volatile("relay.json"),
    lock: volatile("monitor.lock"),
    control: socket("ctl"),
    vsock: socket("vsock"),
    channel: (port) => socket(`ch${port}`),
  };
}

/** Whether a sandbox's directories may hold a file of that name: one of {@link VmFiles}, put aside or half written as well. Pure. */
export function isVmFile(name: string): boolean {
  return /^(upper\.img|(console|network|vmm|files)\.log|exit\.json|relay\.json|monitor\.(lock|json)|scratch|jail|ctl|mnt|vsock(_\d+)?|ch\d+|state|machine|disk-[a-z\d-]+)(\.1|(\.\d+)?\.tmp)?$/.test(
    name,
  );
}

/** Files of a home's supervisor. */
export interface SupervisorFiles {
  readonly socket: string;
  readonly log: string;
}

/** Names the files of a home's supervisor. Pure. */
export function supervisorFiles({ dataDir, runtimeDir }: Paths): SupervisorFiles {
  return { socket: socketPath(join(runtimeDir, "supervisor")), log: join(dataDir, "supervisor.log") };
}

/** A path, if it is short enough for a socket. @throws SmolVMError CONFIG_INVALID */
export function socketPath(path: string): string {
  // On Windows such a path is a file that says where the socket is (relay/local-socket.ts).
  if (process.platform !== "win32" && Buffer.byteLength(path) > SOCKET_PATH_MAX) {
    throw new SmolVMError(
      "CONFIG_INVALID",
      `the socket path '${path}' is longer than ${SOCKET_PATH_MAX} bytes`,
      {
        hint: "Set XDG_RUNTIME_DIR or SMOLVM_HOME to a shorter directory.",
      },
    );
  }
  return path;
}
