import type { BackendName, NetworkMode } from "../config/spec.ts";

/** What a backend can do. Code asks for a feature, never for a backend's name. */
export interface BackendFeatures {
  readonly snapshots: boolean;
  readonly pause: boolean;
  readonly gdb: boolean;
  /**
   * "ports": a few sessions at a time, each on a port of its own that is leased (channel sockets of VmFiles);
   * "unlimited": every host process connects when it likes, to the vsock socket of VmFiles
   */
  readonly sessions: "ports" | "unlimited";
  /** network modes that its machines can have */
  readonly networks: readonly NetworkMode[];
}

/** What each backend can do. */
export const BACKEND_FEATURES: Readonly<Record<BackendName, BackendFeatures>> = {
  qemu: { snapshots: false, pause: false, gdb: true, sessions: "ports", networks: ["open", "off"] },
  // A network card needs a tap, which nothing sets up yet.
  firecracker: { snapshots: false, pause: false, gdb: false, sessions: "unlimited", networks: ["off"] },
};
