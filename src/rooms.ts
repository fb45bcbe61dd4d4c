/**
 * The rooms inside a part: its directories and the files beside them (without .ts), and which of the others each may
 * import, types included. They go down only, as the parts do. A part with no more than one directory needs no entry.
 * tests/unit/layers.test.ts is the judge, as of layers.ts.
 */
export const ROOMS: Readonly<Record<string, Readonly<Record<string, readonly string[]>>>> = {
  cli: {
    bin: ["load"],
    load: ["start-up", "loading"],
    "start-up": ["main", "loading"],
    loading: [],
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
  builder: {
    // the way of a build: what is known before, the wanted stage, the image with its names
    "build-dockerfile": ["built-stages", "finish", "stages", "context", "plan", "build", "types"],
    "built-stages": ["steps", "stages", "plan", "build"],
    // one file per instruction that changes files, and what those read and do
    steps: ["stages", "machine", "context", "plan", "build", "build-arguments"],
    finish: ["stages", "build", "types"],
    // what a stage begins with and comes to, and what is known of steps from one build to the next
    stages: ["machine", "plan", "build"],
    // the sandbox of a stage: what is put into it, and taken out of it
    machine: ["context", "plan", "build"],
    // what a build was asked for, and what all parts of it have in common
    build: ["context", "plan", "build-arguments", "report", "types"],
    // what it keeps count of
    "build-arguments": [],
    report: ["types"],
    // what COPY and ADD name: files of this machine, archives, downloads
    context: ["plan"],
    // what a Dockerfile says, before anything is carried out; pure
    plan: [],
    options: [],
    // what its users see
    types: [],
  },
  vm: {
    // what sandboxes start from, made before they are asked for
    "template-maker": ["lifecycle", "templates", "recovery", "home"],
    // sandboxes that wait to be taken
    pool: ["lifecycle", "channel", "supervisor", "recovery", "machine", "home"],
    // images that are made of them
    commit: ["snapshots", "lifecycle", "recovery", "machine", "home"],
    // what a user saves of them, and goes on from
    snapshots: ["lifecycle", "mounts", "templates", "recovery", "machine", "home"],
    // what sandboxes are asked about
    diagnosis: ["info", "channel", "machine", "home"],
    info: ["disks", "recovery", "home"],
    // the verbs: create, start, stop, remove
    lifecycle: [
      "templates",
      "channel",
      "disks",
      "mounts",
      "network",
      "recovery",
      "supervisor",
      "isolation",
      "machine",
      "home",
    ],
    // the memory that a first start goes on from
    templates: ["disks", "home", "start-supervisor"],
    // what a running one is reached by, and has
    channel: ["recovery", "supervisor", "home"],
    network: ["recovery", "supervisor", "home"],
    // directories of the host
    mounts: ["recovery", "home"],
    // what a restricted network lets through
    egress: ["network", "recovery", "home"],
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
      "control-socket",
      "features",
      "host",
      "machine-files",
      "names",
      "network-card",
      "own-uid",
      "socket-dir",
      "state-file",
      "watch-end",
    ],
    qemu: [
      "backend",
      "control-socket",
      "features",
      "host",
      "machine-files",
      "network-card",
      "own-uid",
      "socket-dir",
      "state-file",
      "watch-end",
    ],
    // what they have in common
    "watch-end": ["backend", "vmm-exit"],
    "vmm-exit": ["backend"],
    backend: ["features"],
    "own-uid": ["machine-files"],
    candidate: [],
    "control-socket": [],
    features: [],
    host: [],
    "machine-files": [],
    names: [],
    "network-card": [],
    "state-file": [],
    "socket-dir": [],
  },
  agent: {
    // connections that leave the guest
    door: ["forward", "session", "wire"],
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
    boot: [
      "pull",
      "save",
      "layer",
      "build",
      "bundle",
      "disk",
      "kernel",
      "registry",
      "settings",
      "store",
      "oci",
      "formats",
    ],
    // what a user and the machine's administrator have set
    settings: ["store"],
    // an image of a registry, a directory or an archive becomes one of the store
    pull: ["lower-image", "registry", "unpack", "store", "oci"],
    // the image that it can begin with
    "lower-image": ["unpack", "store", "oci"],
    // a pulled image to a registry
    push: ["save", "registry", "store", "oci"],
    // a pulled image as others read it
    save: ["store", "oci"],
    // where such images are had from: references, credentials, downloads
    registry: ["store", "oci", "formats"],
    // Dockerfiles as they are written
    dockerfile: ["layer", "oci"],
    // what is made here for such images: layers, and what they say of how they are run
    layer: ["store", "oci"],
    // layers -> one read-only file system
    unpack: ["oci", "formats"],
    // images as archives and npm packages
    bundle: ["kernel-build", "rootfs", "disk", "kernel", "store", "formats"],
    // making an image of ours, and of its parts
    build: ["rootfs", "disk", "kernel", "debian", "store"],
    "kernel-build": ["kernel", "debian", "store"],
    // making a QEMU of ours
    "qemu-build": ["debian", "store"],
    rootfs: ["debian", "store", "formats"],
    // kernels, their modules, and the initramfs that loads them
    kernel: ["debian", "store", "formats"],
    // the disks of sandboxes: seeds, and files of the user's own
    disk: ["debian", "formats"],
    // packages and tools of the distribution
    debian: [],
    // what is kept on this host, under which names; locks, pruning
    store: ["oci", "formats"],
    // what images of registries are described by, pure
    oci: [],
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
    files: ["environment", "place-variables"],
    logs: [],
    terminal: [],
    // running programs, and telling processes apart
    process: ["package"],
    failpoint: ["environment"],
    // which QEMU of ours is there
    "own-qemu": ["package"],
    // where this host is reached itself
    "own-networks": ["linux"],
    environment: ["place-variables"],
    "place-variables": [],
    package: ["environment"],
  },
};
