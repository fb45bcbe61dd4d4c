import { readFileSync } from "node:fs";
import { isSmolVMError } from "../../errors.ts";
import { Deadline } from "../../util/deadline.ts";
import { runProgram } from "../process/run.ts";

const TIMEOUT_MS = 5_000;

/**
 * Whether uids mean here what they mean on the machine, all of them: root of a user namespace has a few, and can give no others away. Pure.
 * @param map /proc/self/uid_map (user_namespaces(7)): first uid inside, first outside, how many
 */
export function hasAllUids(map: string): boolean {
  const [inside, outside, count] = map.trim().split(/\s+/).map(Number);
  return inside === 0 && outside === 0 && count === 2 ** 32 - 1;
}

/**
 * Why this user cannot make a user namespace, and what to do; undefined: it can. Tried, because there are more reasons
 * than settings.
 */
export async function userNamespaceRefusal(): Promise<{ reason: string; fix: string } | undefined> {
  const deadline = Deadline.within(TIMEOUT_MS, "trying a user namespace");
  try {
    const { code } = await runProgram(["unshare", "--user", "--map-root-user", "true"], {
      deadline,
      check: false,
    });
    return code === 0 ? undefined : explainRefusal();
  } catch (error) {
    if (!isSmolVMError(error, "DEPENDENCY_MISSING")) throw error;
    const refusal = explainRefusal();
    return refusal.setting === undefined ? undefined : refusal; // no program to try with
  }
}

/**
 * Which setting forbids user namespaces.
 * @param read gives the value of a setting below /proc/sys, or undefined
 */
export function explainRefusal(read: (setting: string) => string | undefined = readSetting): {
  readonly reason: string;
  readonly fix: string;
  readonly setting?: string;
} {
  const refused = REFUSALS.find(({ setting, value }) => read(setting) === value);
  if (refused !== undefined) return { reason: refused.reason, fix: refused.fix, setting: refused.setting };
  return {
    reason: "not available",
    fix: "A container may forbid them: start it with them, or build images as root: sudo smolvm image build",
  };
}

const REFUSALS = [
  {
    setting: "user/max_user_namespaces",
    value: "0",
    reason: "switched off (user.max_user_namespaces = 0)",
    fix: "sudo sysctl -w user.max_user_namespaces=15000",
  },
  {
    // Debian's and Arch's own
    setting: "kernel/unprivileged_userns_clone",
    value: "0",
    reason: "only for root (kernel.unprivileged_userns_clone = 0)",
    fix: "sudo sysctl -w kernel.unprivileged_userns_clone=1",
  },
  {
    // Ubuntu 24.04: a program needs an AppArmor profile that allows them
    setting: "kernel/apparmor_restrict_unprivileged_userns",
    value: "1",
    reason: "only for programs with an AppArmor profile (kernel.apparmor_restrict_unprivileged_userns = 1)",
    fix: "sudo sysctl -w kernel.apparmor_restrict_unprivileged_userns=0",
  },
] as const;

/** The values of the settings that may forbid user namespaces, as they are now. */
export function namespaceSettings(): string[] {
  return REFUSALS.map(({ setting }) => readSetting(setting) ?? "");
}

function readSetting(setting: string): string | undefined {
  try {
    return readFileSync(`/proc/sys/${setting}`, "utf8").trim();
  } catch {
    return undefined;
  }
}
