import type { AgentSession } from "../../agent/session/session.ts";
import { requireOption, text } from "../../config/checks.ts";
import type { HostMount } from "../../config/mounts.ts";
import type { Limits } from "../../config/options.ts";
import type { VmRecord } from "../../store/vms.ts";
import { Deadline, limited } from "../../util/deadline.ts";
import type { Home } from "../home.ts";
import type { MountInfo, UnmountOptions } from "./mounts.ts";
import type { OverlayChange } from "./overlay.ts";

/** A guest that does not answer is not waited for longer, in ms. */
const TIMEOUT_MS = 30_000;

/** Directories and files of the host that a sandbox has, live. Linux hosts. */
export interface SandboxMounts {
  /**
   * Has the sandbox a directory or file of the host: at once where it runs, and at each later start.
   * @throws SmolVMError CONFIG_INVALID, also for what is not shared unasked; FILE_NOT_FOUND, FILE_TYPE, FILE_PERMISSION, MOUNT_FAILED, NOT_SUPPORTED, VM_STATE of one that is paused, VM_NOT_FOUND: then
   *   nothing is changed
   */
  add(mount: HostMount, limits?: Limits): Promise<MountInfo>;
  /**
   * Takes one away.
   * @param guest where it is in the sandbox
   * @param options `force`: also while something in the guest is open in it; default false
   * @throws SmolVMError MOUNT_NOT_FOUND, VM_BUSY (something uses it), MOUNT_FAILED: then nothing is changed
   */
  remove(guest: string, options?: UnmountOptions & Limits): Promise<void>;
  /** Those that it has, and how each is served. @throws SmolVMError VM_NOT_FOUND */
  list(limits?: Limits): Promise<MountInfo[]>;
  /**
   * What the sandbox has changed in an overlay, beside the host's directory as it is now, by path.
   * @param guest where it is in the sandbox
   * @throws SmolVMError MOUNT_NOT_FOUND, also for what is no overlay; VM_STATE, FILE_UNSAFE
   */
  diff(guest: string, limits?: Limits): Promise<OverlayChange[]>;
  /**
   * Does to the host's directory what the sandbox has done to its overlay of it. The sandbox keeps what it has.
   * @param guest where it is in the sandbox
   * @param options `paths`: which, each with all below it; default all
   * @returns what was done
   * @throws SmolVMError as {@link SandboxMounts.diff}; FILE_NOT_FOUND: at one of the paths nothing was changed; FILE_UNSAFE: a symlink of the host's is on the way, or something is a device,
   *   a fifo or a socket. What was done before that stays done
   */
  apply(guest: string, options?: ApplyOptions & Limits): Promise<OverlayChange[]>;
}

/** Which changes of an overlay are meant. */
export interface ApplyOptions {
  /** below the directory; default all */
  paths?: readonly string[] | undefined;
}

/** A sandbox's mounts, as users see them. @param find its record as it is now */
export function sandboxMounts(
  home: Home,
  find: () => Promise<VmRecord>,
  connect: (deadline: Deadline) => Promise<AgentSession>,
): SandboxMounts {
  const within = (what: string, options: Limits, ...own: readonly string[]): Deadline => {
    const { timeoutMs = TIMEOUT_MS, signal } = limited(options, ...own);
    return Deadline.of(what, { timeoutMs, signal });
  };
  const verbs = async () => await import("./mounts.ts"); // few need them
  const overlays = async () => await import("./overlay.ts");
  return {
    add: async (mount, limits = {}) => {
      const deadline = within(`mounting '${String(mount?.host)}'`, limits);
      return (await verbs()).addMount(home, await find(), mount, deadline);
    },
    remove: async (guest, options = {}) => {
      requireOption("guest", guest, text);
      const deadline = within(`unmounting '${guest}'`, options, "force");
      await (await verbs()).removeMount(home, await find(), guest, options, deadline);
    },
    list: async (limits = {}) => {
      const deadline = within("asking for its mounts", limits);
      return (await verbs()).listMounts(home, await find(), deadline);
    },
    diff: async (guest, limits = {}) => {
      requireOption("guest", guest, text);
      const deadline = within(`comparing '${guest}'`, limits);
      return (await overlays()).diffOverlay(await find(), guest, await connect(deadline), deadline);
    },
    apply: async (guest, options = {}) => {
      requireOption("guest", guest, text);
      const deadline = within(`applying '${guest}'`, options, "paths");
      const session = await connect(deadline);
      return (await overlays()).applyOverlay(await find(), guest, options.paths, session, deadline);
    },
  };
}
