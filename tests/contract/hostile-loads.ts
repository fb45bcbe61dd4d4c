import type { VMConfig } from "../../src/config/options.ts";
import type { SmolVM } from "../../src/index.ts";

/** What untrusted code may do to its own sandbox, by mistake or on purpose. */
export interface Load {
  readonly name: string;
  /** for the guest's shell; prints "loaded" once it does its worst, unless `inForce` tells */
  readonly command: string;
  /** the load does its worst */
  readonly inForce?: (vm: SmolVM) => Promise<boolean>;
  /** a sandbox of its own, because something is left in the end (files, mounts); else all share one */
  readonly own?: VMConfig;
  /** it ends or stops every other process of the guest, the terminal's too: that is root's right */
  readonly hitsOthers?: boolean;
  /** /proc is no longer where it was */
  readonly hidesProc?: boolean;
  /** more processes than a command has */
  readonly pids?: number;
  /** its user in the guest; default root */
  readonly user?: string;
}

/** Processes in the guest, threads included: the fourth word of /proc/loadavg is "running/all" (proc(5)). */
export async function threadCount(vm: SmolVM): Promise<number> {
  return Number((await vm.files.readText("/proc/loadavg")).split(/[ /]/)[4]);
}

async function runningCount(vm: SmolVM): Promise<number> {
  return Number((await vm.files.readText("/proc/loadavg")).split(/[ /]/)[3]);
}

const moreThan = (threads: number) => async (vm: SmolVM) => (await threadCount(vm)) > threads;
const running = (threads: number) => async (vm: SmolVM) => (await runningCount(vm)) > threads;

/** A program for the guest's python, as one word of a shell line. */
const python = (...lines: string[]): string => `exec python3 -c '${lines.join("\n")}'`;

/** They are all there before the first begins: else starting them takes as long as they let it. */
const loops = (count: number): string =>
  `mkfifo /run/go; i=0; while [ $i -lt ${count} ]; do (read _; while :; do :; done) </run/go & i=$((i+1)); done; exec 3>/run/go 3>&-; rm /run/go; wait`;

/** Where PID 1 can be written to, by rights or with force. */
const MAPS =
  'maps = [(int(a, 16), int(b, 16)) for a, b in (l.split()[0].split("-") for l in open("/proc/1/maps") if "[v" not in l)]';

/**
 * What root of the guest can do to PID 1 on purpose: root has all capabilities, and that one owns its machine is no
 * secret. Each prints "done" when it has, "refused" when it may not.
 */
export const ATTACKS: readonly { readonly name: string; readonly command: string }[] = [
  {
    name: "PID 1 stopped with ptrace(2)",
    command: python(
      "import ctypes, time",
      "ptrace = ctypes.CDLL(None).ptrace",
      "ptrace.argtypes = [ctypes.c_long] * 4",
      'print("refused" if ptrace(0x4206, 1, 0, 0) else "done", flush=True)', // PTRACE_SEIZE
      "ptrace(0x4207, 1, 0, 0)", // PTRACE_INTERRUPT
      "time.sleep(10000)",
    ),
  },
  {
    name: "PID 1's memory overwritten with process_vm_writev(2)",
    command: python(
      "import ctypes, time",
      'class Iovec(ctypes.Structure): _fields_ = [("base", ctypes.c_void_p), ("len", ctypes.c_size_t)]',
      "junk = ctypes.create_string_buffer(4096)",
      "write = ctypes.CDLL(None).process_vm_writev",
      "def put(at): return write(1, ctypes.byref(Iovec(ctypes.addressof(junk), 4096)), 1, ctypes.byref(Iovec(at, 4096)), 1, 0)",
      "try:",
      `  ${MAPS}`,
      "except PermissionError: maps = [(0x400000, 0x401000)]",
      'print("done" if sum(put(at) > 0 for a, b in maps for at in range(a, b, 4096)) else "refused", flush=True)',
      "time.sleep(10000)",
    ),
  },
  {
    name: "PID 1's code overwritten through /proc/1/mem",
    command: python(
      "import os, time",
      "try:",
      `  ${MAPS}`,
      '  mem = os.open("/proc/1/mem", os.O_RDWR)',
      "  for a, b in maps: os.pwrite(mem, bytes(b - a), a)",
      '  print("done", flush=True)',
      'except PermissionError: print("refused", flush=True)',
      "time.sleep(10000)",
    ),
  },
];

/** Fills a file until nothing more fits. */
const fill = (path: string): string => `cat /dev/zero >${path} 2>/dev/null`;

/** Makes files until nothing more fits. */
const touch = (directory: string, count: number): string =>
  `mkdir ${directory}; cd ${directory}; seq ${count} | xargs -n 1000 sh -c 'touch "$@" || exit 255' touch 2>/dev/null`;

const FORK_FOR_EVER = ["import os", "while True:", "  try:", "    if os.fork() == 0:"];

export const LOADS: readonly Load[] = [
  { name: "a fork bomb", command: "f(){ f|f& };f; sleep 10000", inForce: moreThan(200) },
  {
    name: "a fork bomb whose processes leave their session",
    command: python(...FORK_FOR_EVER, "      os.setsid()", "  except OSError: pass"),
    inForce: moreThan(200),
  },
  {
    name: "a fork bomb whose processes have no parent left",
    command: "b(){ ( (b &) ; (b &) ) }; b; sleep 10000",
    inForce: moreThan(150),
  },
  { name: "100 busy loops", command: loops(100), inForce: running(80) },
  {
    name: "1,000 busy loops",
    command: loops(1000),
    inForce: running(800),
    own: { memSizeMib: 512 },
    pids: 1500,
  },
  {
    name: "all the memory, again and again",
    command: `while :; do (${python("a = []", "while True: a.append(bytearray(1 << 20))")}); echo loaded; done`,
  },
  {
    // What the limit leaves for files is the smaller a part, the more memory there is: the kernel alone would let it go on for minutes.
    name: "all the memory of a larger machine",
    command: `while :; do (${python("a = []", "while True: a.append(bytearray(1 << 20))")}); echo loaded; done`,
    own: { memSizeMib: 512 },
  },
  {
    name: "more page cache than there is memory",
    command:
      "truncate -s 1G /var/big; (sleep 3; echo loaded) & while :; do cat /var/big /usr/bin/*; done >/dev/null",
    own: {},
  },
  {
    name: "everything in memory that has a file system, full",
    command: `${["/run/x", "/run/lock/x", "/dev/shm/x", "/dev/x"].map(fill).join("; ")}; echo loaded; sleep 10000`,
    own: {},
  },
  {
    name: "a full disk",
    command: `${fill("/x")}; echo loaded; while :; do echo more >>/y; done 2>/dev/null`,
    own: { diskSizeMib: 64 },
  },
  {
    name: "no inode left",
    command: `${touch("/var/tmp/many", 1_000_000)}; echo loaded; while :; do touch /var/more; done 2>/dev/null`,
    own: { diskSizeMib: 64 },
  },
  {
    // Root may have more than there are: the rest are a user's.
    name: "every file descriptor that can be had",
    user: "nobody",
    command: python(
      "import os, resource, time",
      "_, most = resource.getrlimit(resource.RLIMIT_NOFILE)",
      "resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))",
      "try:",
      '  while True: os.open("/dev/null", 0)',
      "except OSError: pass",
      'os.write(1, b"loaded")',
      "while True: time.sleep(1000)",
    ),
  },
  {
    name: "every inotify instance and watch that can be had",
    command: python(
      "import ctypes, time",
      "libc = ctypes.CDLL(None)",
      "fds = []",
      "while len(fds) < 900 and (fd := libc.inotify_init()) >= 0: fds.append(fd)",
      'for fd in fds: libc.inotify_add_watch(fd, b"/tmp", 0xfff)',
      'print("loaded", len(fds), flush=True)',
      "time.sleep(10000)",
    ),
  },
  {
    name: "every process id that can be had",
    command: python(
      "import threading, time",
      "threading.stack_size(131072)", // the least that 64-bit ARM has
      "try:",
      "  while True: threading.Thread(target=time.sleep, args=(10000,)).start()",
      "except RuntimeError: pass",
      'print("loaded", threading.active_count(), flush=True)',
      "time.sleep(10000)",
    ),
  },
  {
    name: "a flood of the kernel's log",
    command: "echo on >/proc/sys/kernel/printk_devkmsg; echo loaded; while :; do echo flood >/dev/kmsg; done",
  },
  {
    name: "a directory of very many files",
    command: `${touch("/dev/shm/many", 20_000)}; echo loaded; while :; do ls /dev/shm/many; done >/dev/null`,
    own: {},
  },
  { name: "SIGKILL to everything", command: "kill -9 -1; echo loaded; sleep 10000", hitsOthers: true },
  { name: "SIGSTOP to everything", command: "kill -STOP -1 1; echo loaded; sleep 10000", hitsOthers: true },
  { name: "SIGKILL to PID 1", command: "kill -9 1; echo loaded; sleep 10000" },
  {
    name: "the root unmounted",
    command: "umount -l /; echo loaded; sleep 10000",
    hidesProc: true,
    own: {},
  },
  {
    name: "the channel's own devices opened",
    command:
      "echo loaded; while :; do for port in /dev/vport*; do cat $port; echo x >$port; done; done 2>/dev/null",
  },
];
