import type { LimitName } from "../config/spec.ts";
import { isSmolVMError } from "../errors.ts";
import { cgroupControllers, NO_CGROUP_V2 } from "../host/linux/cgroup.ts";
import { nativeProgram } from "../host/package.ts";
import { userName } from "../host/process/user-name.ts";
import { managerCgroup, userLingers, userManagerSocket } from "../host/systemd/user-manager.ts";
import { LIMITS, limitWords } from "./limits.ts";
import type { Refusal, UserScopes } from "./tier.ts";

type ScopesFound = UserScopes | { readonly refusal: Refusal };

/** The controllers of cgroup v2 by which limits are set. */
const CONTROLLERS: Readonly<Record<LimitName, string>> = { memoryMib: "memory", cpus: "cpu", pids: "pids" };

/**
 * Whether scopes of this user's systemd manager may limit VMMs. Only looked for: a start asks it for a scope anyway, and what is
 * not limited then is told by the kernel.
 * @param xdgRuntimeDir $XDG_RUNTIME_DIR
 */
export function findScopes(xdgRuntimeDir: string | undefined): ScopesFound | undefined {
  if (process.platform !== "linux") return undefined;
  if (nativeProgram("monitor") === undefined)
    return refuse("smolvm's native monitor program is not built", "Build it: scripts/build-native.sh");
  if (cgroupControllers("/") === undefined) return { refusal: NO_CGROUP_V2 };
  const manager = userManagerSocket(xdgRuntimeDir);
  if (manager !== undefined) return { manager, limits: LIMITS };
  return refuse(
    "no systemd manager runs for this user",
    `Log in as this user (ssh, a console) instead of changing to it, or keep one running: sudo loginctl enable-linger ${userName()}`,
  );
}

/** Asks the manager that was found, which takes some milliseconds: it may not answer, and may not have all controllers. */
export async function askForScopes(found: ScopesFound): Promise<ScopesFound> {
  if ("refusal" in found) return found;
  try {
    const controllers = cgroupControllers(await managerCgroup(found.manager));
    if (controllers === undefined)
      return refuse("the cgroup of this user's systemd manager cannot be seen from here");
    const limits = LIMITS.filter((name) => controllers.includes(CONTROLLERS[name]));
    const missing = notLimited(limits);
    return { ...found, limits, lingers: userLingers(), ...(missing === undefined ? {} : { missing }) };
  } catch (error) {
    if (isSmolVMError(error)) return { refusal: noScope(error.message) };
    throw error;
  }
}

/** Why there is no scope although there is a manager. Pure. */
export function noScope(why: string): Refusal {
  return {
    reason: `this user's systemd manager gave no scope: ${why}`,
    fix: "See what it does: systemctl --user status",
  };
}

/** Why a scope limits no more than this; undefined: it limits all. Pure. */
export function notLimited(limits: readonly LimitName[]): Refusal | undefined {
  const missing = LIMITS.filter((name) => !limits.includes(name));
  if (missing.length === 0) return undefined;
  return {
    reason: `this user's systemd manager was not given the means to limit ${limitWords(missing)} (no ${missing.map((name) => CONTROLLERS[name]).join(", ")} controller)`,
    fix: `Give it all, and log in again after all of this user's sessions have ended: ${DELEGATE}`,
  };
}

const DROP_INS = "/etc/systemd/system/user@.service.d";
const DELEGATE = `sudo mkdir -p ${DROP_INS} && printf '[Service]\\nDelegate=cpu memory pids\\n' | sudo tee ${DROP_INS}/smolvm.conf && sudo systemctl daemon-reload`;

function refuse(reason: string, fix?: string): { readonly refusal: Refusal } {
  return { refusal: { reason, fix } };
}
