/**
 * The import table: which part of src/ may import which. Imports go down only, and siblings (backends, agent, network,
 * images, store) never import each other: vm/ joins them. tests/unit/layers.test.ts is the judge; it fails on an import
 * that is not allowed here, and on an entry here that nothing uses any more.
 *
 * A part is a directory of src/ or a file in it (without .ts). An entry may also name one file, as "vm/info/list.ts".
 */
export interface Layer {
  /** what it may import */
  readonly imports: readonly string[];
  /** what it may import types from, besides */
  readonly types: readonly string[];
}

export const LAYERS: Readonly<Record<string, Layer>> = {
  // entries of the package
  index: { imports: ["smolvm", "errors"], types: ["types", "agent", "config", "store", "vm"] },
  backends_entry: { imports: ["backends"], types: [] },
  layers: { imports: [], types: [] },

  // what people and programs use
  cli: {
    imports: [
      "smolvm",
      "doctor",
      "errors",
      "util",
      // the image commands: images have no facade of their own
      "images",
      "vm/supervisor/manage.ts",
      "vm/info/list.ts",
      "vm/lifecycle/may-remove.ts",
      "config/defaults.ts",
      "host/hardware/facts.ts",
      "host/terminal/is-terminal.ts",
      "host/package.ts",
      "host/files/paths.ts",
      "host/terminal/raw-terminal.ts",
      // tables and pure functions that are shown as they are
      "store/states.ts",
    ],
    types: ["agent", "config", "store", "vm"],
  },
  // by --deep it boots a sandbox as anybody would
  doctor: {
    imports: [
      "smolvm",
      "backends",
      "isolation",
      "network",
      "images",
      "store",
      "config",
      "host",
      "util",
      "errors",
    ],
    types: [],
  },
  smolvm: {
    imports: ["vm", "agent", "backends", "store/states.ts", "config", "host", "util", "errors"],
    types: ["types", "store"],
  },
  // what its methods take and give
  types: { imports: [], types: ["vm", "agent", "config"] },

  // what stays up while no command runs
  supervisor: { imports: ["vm", "agent", "config", "host", "util", "errors"], types: ["store"] },

  // the verbs of a sandbox
  vm: {
    imports: [
      "backends",
      "isolation",
      "agent",
      "network",
      "images",
      "store",
      "config",
      "host",
      "util",
      "errors",
    ],
    types: [],
  },

  // siblings
  backends: { imports: ["isolation", "host", "util", "errors"], types: ["config"] },
  agent: { imports: ["util", "errors"], types: ["config"] },
  network: { imports: [], types: ["config"] },
  images: { imports: ["config/defaults.ts", "host", "util", "errors"], types: ["config"] },
  store: { imports: ["host", "util", "errors"], types: ["config"] },

  // what is around a VMM; below the backends, which say what theirs need to see
  isolation: { imports: ["host", "util", "errors"], types: ["config"] },

  // the ground
  config: { imports: ["util", "errors"], types: [] },
  host: { imports: ["util", "errors"], types: ["config"] },
  util: { imports: ["errors"], types: [] },
  errors: { imports: [], types: [] },
};

/**
 * The rooms inside a part: its directories and the files beside them (without .ts), and which of the others each may
 * import, types included. They go down only, as the parts do. A part with no more than one directory needs no entry.
 */
export const ROOMS: Readonly<Record<string, Readonly<Record<string, readonly string[]>>>> = {
  cli: {
    bin: ["start-up"],
    "start-up": ["main"],
    main: ["commands", "args", "render", "terminal", "command", "exit-code", "io"],
    // one file per command, and the table of all of them
    commands: [
      "change-each",
      "completion",
      "guest",
      "args",
      "each",
      "render",
      "terminal",
      "command",
      "arguments",
      "io",
    ],
    "change-each": ["args", "each", "command", "arguments", "io"],
    each: ["render", "command", "io"],
    // words of the command line -> values
    args: ["command", "arguments", "io"],
    // scripts for shells
    completion: ["command"],
    // the guest's command, its streams and its terminal
    guest: ["args", "render", "terminal", "command", "arguments", "io"],
    // data -> text
    render: ["command"],
    "exit-code": ["terminal", "command"],
    // what a command is, what it is given, and what it has of the world
    command: ["arguments", "io"],
    arguments: [],
    io: ["terminal"],
    // our own: output, keys, signals
    terminal: [],
  },
  vm: {
    // what sandboxes are asked about
    diagnosis: ["info", "channel", "machine", "home"],
    info: ["disks", "isolation", "recovery", "home"],
    // the verbs: create, start, stop, remove
    lifecycle: ["channel", "disks", "network", "recovery", "isolation", "machine", "home"],
    // what a running one is reached by, and has
    channel: ["recovery", "supervisor", "home"],
    network: ["recovery", "supervisor", "home"],
    disks: ["recovery", "home"],
    // what dead processes left half done, and left behind
    recovery: ["isolation", "machine", "home"],
    // the process of the machine: its console, how it is brought down and how it ended
    machine: ["supervisor", "home"],
    // what is put around it, and taken down
    isolation: ["home"],
    // how the process in the background is asked
    supervisor: ["start-supervisor", "home"],
    // the ground
    home: ["start-supervisor"],
    "start-supervisor": [],
  },
  backends: {
    // which one, and why
    select: ["qemu", "firecracker", "hardware", "candidate", "features", "host", "names"],
    registry: ["qemu", "firecracker", "backend", "host", "names"],
    hardware: ["qemu", "host"],
    // one folder per VMM
    firecracker: [
      "backend",
      "candidate",
      "features",
      "host",
      "machine-files",
      "names",
      "network-card",
      "own-uid",
      "socket-dir",
      "vmm-exit",
    ],
    qemu: ["backend", "features", "host", "machine-files", "network-card", "own-uid", "socket-dir"],
    // what they have in common
    "vmm-exit": ["backend"],
    backend: ["features"],
    "own-uid": ["machine-files"],
    candidate: [],
    features: [],
    host: [],
    "machine-files": [],
    names: [],
    "network-card": [],
    "socket-dir": [],
  },
  agent: {
    // what is done over a session
    process: ["files", "session", "wire", "types"],
    files: ["session", "wire", "types"],
    forward: ["session", "wire"],
    machine: ["session", "wire", "types"],
    // many sessions over one
    relay: ["session", "wire"],
    // connecting, streams and credit
    session: ["wire"],
    // bytes <-> messages
    wire: [],
    types: [],
  },
  images: {
    // what a sandbox boots from
    boot: ["bundle", "disk", "kernel", "store", "formats"],
    // images as archives and npm packages
    bundle: ["kernel-build", "rootfs", "disk", "kernel", "store", "formats"],
    // making an image of ours, and of its parts
    build: ["rootfs", "disk", "kernel", "debian", "store"],
    "kernel-build": ["kernel", "debian", "store"],
    rootfs: ["debian", "store", "formats"],
    // kernels, their modules, and the initramfs that loads them
    kernel: ["debian", "store", "formats"],
    // the disks of sandboxes: seeds, and files of the user's own
    disk: ["debian", "formats"],
    // packages and tools of the distribution
    debian: [],
    // what is kept on this host, under which names; locks, pruning
    store: ["formats"],
    // readers and writers of file formats
    formats: [],
  },
  host: {
    // starting a VMM: its monitor, and the relay for hosts without Unix sockets
    monitor: ["relay", "systemd", "process", "package", "environment"],
    relay: [],
    // the user's manager, over D-Bus
    systemd: ["process"],
    // what this machine can do
    hardware: ["setup", "files", "process", "package"],
    // cgroups, taps, namespaces
    linux: ["setup", "process", "package"],
    // what `smolvm setup` has done or would do
    setup: ["process", "package"],
    // directories, names of files, disks
    files: ["environment"],
    logs: [],
    terminal: [],
    // running programs, and telling processes apart
    process: ["package"],
    failpoint: ["environment"],
    environment: [],
    package: [],
  },
};

/** The only part that may start processes. */
export const SPAWNING_LAYER = "host";

/**
 * Files that decide and do nothing: they import no node: module but node:buffer, and values only from each other.
 * An entry that ends in a slash is a whole directory.
 */
export const PURE: readonly string[] = [
  "agent/files/archive-entry.ts",
  "agent/files/entry-path.ts",
  "agent/files/file-event.ts",
  "agent/files/guest-path.ts",
  "agent/files/tree-policy.ts",
  "agent/process/exec-request.ts",
  "agent/process/run-result.ts",
  "agent/process/signals.ts",
  "agent/relay/host-hello.ts",
  "agent/relay/relayed-stream.ts",
  "agent/session/guest-error.ts",
  "agent/session/session-end.ts",
  "agent/wire/",
  "backends/candidate.ts",
  "backends/features.ts",
  "backends/firecracker/faults.ts",
  "backends/firecracker/kernel-args.ts",
  "backends/firecracker/requests.ts",
  "backends/firecracker/version.ts",
  "backends/machine-files.ts",
  "backends/names.ts",
  "backends/network-card.ts",
  "backends/qemu/accel.ts",
  "backends/qemu/args.ts",
  "backends/qemu/kernel-args.ts",
  "backends/qemu/machine.ts",
  "backends/qemu/option.ts",
  "backends/qemu/qmp-codec.ts",
  "backends/vmm-exit.ts",
  "config/spec.ts",
  "doctor/check.ts",
  "doctor/compare.ts",
  "doctor/render.ts",
  "doctor/setup-steps.ts",
  "errors.ts",
  "host/environment.ts",
  "host/linux/vmm-uids.ts",
  "host/monitor/wrapper-mark.ts",
  "isolation/bwrap-args.ts",
  "isolation/enclose.ts",
  "isolation/enclosure.ts",
  "isolation/limits.ts",
  "isolation/note.ts",
  "isolation/tier.ts",
  "isolation/view.ts",
  "layers.ts",
  "network/plan.ts",
  "supervisor/expiry.ts",
  "util/escape-terminal.ts",
  "util/tar/",
  "util/until-ms.ts",
  "util/versions.ts",
  "util/wrap.ts",
  "vm/machine/kernel-panic.ts",
  "vm/supervisor/messages.ts",
];
