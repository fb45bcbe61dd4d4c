import type { OptionSpec } from "../command.ts";

/** On every command. */
export const COMMON_OPTIONS: readonly OptionSpec[] = [
  { name: "json", help: "print the result as one JSON object" },
  { name: "quiet", short: "q", help: "no progress and no notes" },
  { name: "verbose", help: "more about starts, and about errors: code, details, stack" },
  { name: "help", short: "h", help: "this help" },
];

/** Wherever there is `--env`. */
export const ENV_FILE_OPTION: OptionSpec = {
  name: "env-file",
  value: "FILE",
  repeat: true,
  help: "the same from a file of K=V lines; --env goes over it",
};

/** How a machine is started; `run`, `create` and `start` have it. */
export const GDB_OPTION: OptionSpec = {
  name: "gdb",
  value: "PORT",
  help: "QEMU's gdb stub on that port of 127.0.0.1, to debug the guest's kernel",
};

/** What a restricted network lets through. */
export const RULE_OPTIONS: readonly OptionSpec[] = [
  {
    name: "allow",
    value: "RULE",
    repeat: true,
    help: "what a restricted network reaches: NAME, *.NAME, ADDRESS, RANGE or *; each may end in :PORT",
  },
  {
    name: "deny",
    value: "RULE",
    repeat: true,
    help: "what it does not reach, whatever --allow says",
  },
];

/** A directory of the host. */
export const VOLUME_OPTION: OptionSpec = {
  name: "volume",
  short: "v",
  value: "HOST:GUEST[:MODE]",
  repeat: true,
  help: "a directory or file of this machine, live: ro (default), rw, or overlay",
};

/** What is shared only if it is asked for twice. */
export const SHARE_OPTION: OptionSpec = {
  name: "yes-share-it",
  help: "share /, a home directory, smolvm's own or through a symlink as well",
};

/** What a new sandbox is like; `run` and `create` have them. */
export const SANDBOX_OPTIONS: readonly OptionSpec[] = [
  { name: "name", value: "NAME", help: "name of the sandbox (default: a generated one)" },
  { name: "image", value: "IMAGE", help: "image to boot: debian (default), python:3.12, oci:DIR, ..." },
  {
    name: "pull",
    value: "WHEN",
    choices: ["missing", "always", "never"],
    help: "get the image if it is missing (default), if there is another by now, or never",
  },
  { name: "cpus", value: "N", help: "virtual CPUs, 1-32 (default: 1)" },
  { name: "memory", short: "m", value: "SIZE", help: "memory, 128M-16G (default: 512M)" },
  { name: "disk", value: "SIZE", help: "writable disk (default: 2G; takes space as it fills)" },
  {
    name: "network",
    value: "MODE",
    choices: ["open", "restricted", "off"],
    help: "open (default): the public internet; restricted: what --allow names; off: no network card",
  },
  {
    name: "unfiltered",
    help: "with --network open on QEMU's user-mode network: all that this machine reaches, its own services included",
  },
  ...RULE_OPTIONS,
  {
    name: "network-rate-limit",
    value: "MBPS",
    help: "most that a restricted network carries each way, in Mbit/s",
  },
  {
    name: "qemu-network",
    value: "KIND",
    choices: ["slirp", "tap"],
    help: "QEMU's network card: slirp (default where it can be kept apart) or tap, which smolvm setup makes",
  },
  { name: "hostname", value: "NAME", help: "host name in the sandbox (default: its name)" },
  {
    name: "env",
    short: "e",
    value: "K=V",
    repeat: true,
    help: "environment of every command; K alone: your value",
  },
  ENV_FILE_OPTION,
  {
    name: "workdir",
    short: "w",
    value: "DIR",
    help: "working directory of every command; made if it is missing",
  },
  { name: "user", short: "u", value: "USER", help: "user of every command (default: root)" },
  {
    name: "label",
    short: "l",
    value: "K=V",
    repeat: true,
    help: "label to find it by: smolvm ls --label K=V",
  },
  {
    name: "publish",
    short: "p",
    value: "HOST:GUEST",
    repeat: true,
    help: "forward a host port while it runs",
  },
  {
    name: "publish-all",
    short: "P",
    help: "forward a free host port to each TCP port that the image exposes",
  },
  {
    name: "init",
    value: "WHICH",
    choices: ["image"],
    help: "image: boot the image's own init (systemd) in it; commands run beside it",
  },
  {
    name: "ttl",
    value: "TIME",
    help: "time to live, e.g. 2h: then it is removed, whatever runs in it",
  },
  {
    name: "backend",
    value: "NAME",
    choices: ["auto", "qemu", "firecracker"],
    help: "auto (default), qemu or firecracker",
  },
  {
    name: "arch",
    value: "ARCH",
    choices: ["x86_64", "aarch64"],
    help: "x86_64 or aarch64 (default: this machine's)",
  },
  {
    name: "machine",
    value: "TYPE",
    choices: ["auto", "microvm", "q35"],
    help: "QEMU machine: auto (default), microvm or q35",
  },
  {
    name: "accelerator",
    value: "NAME",
    choices: ["auto", "kvm", "hvf", "whpx", "tcg"],
    help: "auto (default), kvm, hvf, whpx or tcg (emulation)",
  },
  {
    name: "isolation",
    value: "TIER",
    choices: ["auto", "user", "jail"],
    help: "least that is accepted around it: auto (default), user or jail",
  },
  {
    name: "template",
    value: "USE",
    choices: ["auto", "off"],
    help: "auto (default): start from the memory of one that booted; off: boot",
  },
  {
    name: "warm",
    value: "LINE",
    repeat: true,
    help: "start from a template that has run this command line",
  },
  { name: "kernel", value: "KERNEL", help: "debian, fast, or the file of a kernel of your own" },
  { name: "initrd", value: "FILE", help: "an initramfs of your own" },
  { name: "rootfs", value: "FILE", help: "a root file system of your own" },
  {
    name: "disk-mode",
    value: "MODE",
    choices: ["isolated", "shared"],
    help: "isolated (default); shared: write to the --rootfs file itself",
  },
  {
    name: "drive",
    value: "FILE[:DIR][:ro]",
    repeat: true,
    help: "a raw disk image as one more disk, mounted at DIR; :ro: read-only",
  },
  VOLUME_OPTION,
  SHARE_OPTION,
  GDB_OPTION,
];

/** A service of the host's for the guest. */
export const BRING_OPTION: OptionSpec = {
  name: "bring",
  short: "R",
  value: "GUEST:HOST:PORT",
  repeat: true,
  help: "have a port of its 127.0.0.1 lead to one service of this machine or its network",
};

/** Of these, what a sandbox that exists keeps: ports can be forwarded later (`port`), and gdb is chosen at each start. */
export const FIXED_OPTIONS: readonly OptionSpec[] = SANDBOX_OPTIONS.filter(
  (option) => option !== GDB_OPTION && option.name !== "publish" && option.name !== "publish-all",
);

/** Where and as whom a command runs; `exec` and `shell` have them. */
export const PLACE_OPTIONS: readonly OptionSpec[] = [
  {
    name: "env",
    short: "e",
    value: "K=V",
    repeat: true,
    help: "environment variable; K alone: your value",
  },
  ENV_FILE_OPTION,
  { name: "workdir", short: "w", value: "DIR", help: "working directory" },
  { name: "user", short: "u", value: "USER", help: "user: name, uid, name:group or uid:gid" },
];

/** What commands may take of the sandbox; `create` has them for all together, `run` and `exec` for one. */
export const limitOptions = (whose: string): readonly OptionSpec[] => [
  { name: "pids-limit", value: "N", help: `most processes and threads of ${whose}` },
  { name: "memory-limit", value: "SIZE", help: `most memory of ${whose}, files in memory included` },
];

/** How a guest command is run; `run` and `exec` have them. */
export const COMMAND_OPTIONS: readonly OptionSpec[] = [
  { name: "interactive", short: "i", help: "forward stdin from a terminal (elsewhere it always is)" },
  { name: "tty", short: "t", help: "a real terminal: full-screen programs, colours, Ctrl-C to the guest" },
  { name: "timeout", value: "TIME", help: "kill the command after that time, e.g. 2s (exit code 124)" },
  ...limitOptions("the command"),
];
