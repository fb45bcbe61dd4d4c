import type { BackendName, NetworkCard } from "../config/spec.ts";

/** What a backend can do. Code asks for a feature, never for a backend's name. */
export interface BackendFeatures {
  readonly snapshots: boolean;
  /** a machine can go on from the memory of another that was booted before */
  readonly templates: boolean;
  readonly pause: boolean;
  /** a machine that has not begun can be given pages that are other than the file of its memory has them */
  readonly givesPages: boolean;
  /** a capture ends the sessions that are open; what runs goes on */
  readonly captureEndsSessions: boolean;
  readonly gdb: boolean;
  /**
   * "ports": a few sessions at a time, each on a port of its own that is leased (channel sockets of VmFiles);
   * "unlimited": every host process connects when it likes, to the vsock socket of VmFiles
   */
  readonly sessions: "ports" | "unlimited";
  /** what can be behind its network card; the first is the default */
  readonly networkCards: readonly [NetworkCard, ...NetworkCard[]];
  /** what goes through a tap can be limited by its VMM */
  readonly limitsTaps: boolean;
  /** its VMM needs a /proc */
  readonly readsProc: boolean;
}

/** What each backend can do. */
export const BACKEND_FEATURES: Readonly<Record<BackendName, BackendFeatures>> = {
  qemu: {
    snapshots: true,
    templates: true,
    pause: true,
    givesPages: true,
    captureEndsSessions: false,
    gdb: true,
    sessions: "ports",
    networkCards: ["slirp", "tap"],
    limitsTaps: false,
    readsProc: false,
  },
  firecracker: {
    snapshots: true,
    templates: true,
    pause: true,
    givesPages: false,
    captureEndsSessions: true, // it resets the vsock in the guest (virtio 1.2, 5.10.6.7)
    gdb: false,
    sessions: "unlimited",
    networkCards: ["tap"],
    limitsTaps: true,
    readsProc: true, // it opens its log by name: /proc/self/fd/2
  },
};
