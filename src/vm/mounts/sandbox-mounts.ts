import type { HostMount } from "../../config/mounts.ts";
import type { Limits } from "../../config/options.ts";
import type { VmRecord } from "../../store/vms.ts";
import { Deadline } from "../../util/deadline.ts";
import type { Home } from "../home.ts";
import type { MountInfo, UnmountOptions } from "./mounts.ts";

/** A guest that does not answer is not waited for longer, in ms. */
const TIMEOUT_MS = 30_000;

/** Directories and files of the host that a sandbox has, live. Linux hosts. */
export interface SandboxMounts {
  /**
   * Has the sandbox a directory or file of the host: at once where it runs, and at each later start.
   * @throws SmolVMError CONFIG_INVALID, also for what is not shared unasked; FILE_NOT_FOUND, FILE_TYPE, FILE_PERMISSION, MOUNT_FAILED, NOT_SUPPORTED, VM_NOT_FOUND: then
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
}

/** A sandbox's mounts, as users see them. @param find its record as it is now */
export function sandboxMounts(home: Home, find: () => Promise<VmRecord>): SandboxMounts {
  const within = (what: string, { timeoutMs = TIMEOUT_MS, signal }: Limits): Deadline =>
    Deadline.of(what, { timeoutMs, signal });
  const verbs = async () => await import("./mounts.ts"); // few need them
  return {
    add: async (mount, limits = {}) =>
      (await verbs()).addMount(home, await find(), mount, within(`mounting '${mount?.host}'`, limits)),
    remove: async (guest, options = {}) =>
      (await verbs()).removeMount(
        home,
        await find(),
        guest,
        options,
        within(`unmounting '${guest}'`, options),
      ),
    list: async (limits = {}) =>
      (await verbs()).listMounts(home, await find(), within("asking for its mounts", limits)),
  };
}
