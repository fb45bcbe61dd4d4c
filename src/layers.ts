/**
 * The import table: which part of src/ may import which. Imports go down only, and siblings (backends, agent, network,
 * images, store) never import each other: vm/ joins them. tests/unit/layers.test.ts is the judge; it fails on an import
 * that is not allowed here, and on an entry here that nothing uses any more.
 *
 * A part is a directory of src/ or a file in it (without .ts); what is inside the larger ones: rooms.ts. An entry may also
 * name one file, as "vm/info/list.ts".
 */
export interface Layer {
  /** what it may import */
  readonly imports: readonly string[];
  /** what it may import types from, besides */
  readonly types: readonly string[];
}

export const LAYERS: Readonly<Record<string, Layer>> = {
  // entries of the package
  index: {
    imports: ["smolvm", "images-of-user", "sandbox-pool", "errors", "agent/process/run-error.ts"],
    types: ["types", "builder", "agent", "config", "egress", "images", "snapshots", "store", "vm"],
  },
  backends_entry: { imports: ["backends"], types: [] },
  layers: { imports: [], types: [] },
  rooms: { imports: [], types: [] },

  // what people and programs use
  cli: {
    imports: [
      "smolvm",
      "images-of-user",
      "users-of-images",
      "doctor",
      "errors",
      "util",
      // the image commands: images have no facade of their own
      "images",
      "vm/supervisor/manage.ts",
      "vm/info/condition.ts",
      "vm/info/list.ts",
      "vm/home.ts",
      "vm/templates/prune.ts",
      "vm/commit/own-parts.ts",
      "vm/lifecycle/may-remove.ts",
      "vm/recovery/running.ts",
      "config/defaults.ts",
      "config/network-rules.ts",
      "host/hardware/facts.ts",
      "host/terminal/is-terminal.ts",
      "host/package.ts",
      "host/place-variables.ts",
      "host/files/base-directories.ts",
      "host/files/compile-cache.ts",
      "host/files/compiled-code.ts",
      "host/files/keep-compiled.ts",
      "host/files/paths.ts",
      "host/terminal/raw-terminal.ts",
      // tables and pure functions that are shown as they are
      "store/states.ts",
    ],
    types: ["types", "builder", "agent", "config", "egress", "store", "vm"],
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
    imports: ["saved", "vm", "agent", "backends", "store/states.ts", "config", "host", "util", "errors"],
    types: ["types", "egress", "store"],
  },
  saved: { imports: ["vm", "config/checks.ts", "util"], types: ["types"] },
  "sandbox-pool": { imports: ["smolvm", "vm", "util"], types: ["types", "config", "errors"] },
  "images-of-user": { imports: ["builder", "vm", "util"], types: [] },
  // what of this user's needs which images
  "users-of-images": { imports: ["smolvm"], types: [] },
  // Dockerfiles: their steps in sandboxes, and images of what those have become
  builder: {
    imports: [
      "users-of-images",
      "smolvm",
      "vm",
      "images",
      "egress/special-addresses.ts",
      "config",
      "host",
      "util",
      "errors",
    ],
    types: ["types", "agent"],
  },
  // what its methods take and give
  types: { imports: [], types: ["vm", "agent", "images", "snapshots", "config", "util"] },

  // what stays up while no command runs
  supervisor: { imports: ["vm", "snapshots", "agent", "config", "host", "util", "errors"], types: ["store"] },

  // the verbs of a sandbox
  vm: {
    imports: [
      "backends",
      "isolation",
      "agent",
      "egress",
      "network",
      "images",
      "snapshots",
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
  // what may leave a restricted network, and the connections that do
  egress: { imports: ["config/network-rules.ts", "util"], types: [] },
  network: { imports: ["isolation", "host", "util", "errors"], types: ["config"] },
  // machines' memory, as it lies on the disk: templates and what users save
  snapshots: { imports: ["util", "errors", "host/process/process-identity.ts"], types: ["config"] },
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
  "agent/process/interleaving.ts",
  "agent/process/run-result.ts",
  "agent/process/stop.ts",
  "agent/relay/host-hello.ts",
  "agent/relay/relayed-stream.ts",
  "agent/session/guest-error.ts",
  "agent/session/linux-errno.ts",
  "agent/session/session-end.ts",
  "agent/wire/",
  "backends/candidate.ts",
  "backends/features.ts",
  "backends/firecracker/faults.ts",
  "backends/firecracker/kernel-args.ts",
  "backends/firecracker/memory-map.ts",
  "backends/firecracker/own-names.ts",
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
  "config/network-rules.ts",
  "config/spec.ts",
  "doctor/check.ts",
  "doctor/compare.ts",
  "doctor/render.ts",
  "doctor/setup-steps.ts",
  "egress/client-hello.ts",
  "egress/decide.ts",
  "egress/event.ts",
  "egress/request-guard.ts",
  "egress/special-addresses.ts",
  "errors.ts",
  "host/environment.ts",
  "host/place-variables.ts",
  "host/linux/vmm-uids.ts",
  "host/monitor/own-network.ts",
  "host/monitor/wrapper-mark.ts",
  "isolation/bwrap-args.ts",
  "isolation/enclose.ts",
  "isolation/enclosure.ts",
  "isolation/limits.ts",
  "isolation/note.ts",
  "isolation/tier.ts",
  "isolation/view.ts",
  "layers.ts",
  "network/address-clash.ts",
  "network/drift.ts",
  "network/open-rules.ts",
  "network/other-filters.ts",
  "network/plan.ts",
  "network/render-nft.ts",
  "network/render-preload.ts",
  "rooms.ts",
  "supervisor/expiry.ts",
  "util/command-limits.ts",
  "util/escape-terminal.ts",
  "util/guest-signals.ts",
  "util/ip-address.ts",
  "util/message-of.ts",
  "util/shown.ts",
  "util/special-ranges.ts",
  "util/tar/",
  "util/until-ms.ts",
  "util/versions.ts",
  "util/wrap.ts",
  "vm/machine/kernel-panic.ts",
  "vm/supervisor/messages.ts",
];
