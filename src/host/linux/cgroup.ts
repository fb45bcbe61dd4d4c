import { existsSync, mkdirSync, readdirSync, readFileSync, rmdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import type { VmmLimits } from "../../config/spec.ts";
import { SmolVMError } from "../../errors.ts";
import type { Deadline } from "../../util/deadline.ts";

/** cgroups(7): version 2 is one tree. */
const ROOT = "/sys/fs/cgroup";
const CONTROLLERS = ["memory", "cpu", "pids"];
/** The length of a period in which CPU time is given out, in microseconds; the kernel's default. */
const PERIOD_US = 100_000;
/** How often a group that another process removes meanwhile is made again. */
const ATTEMPTS = 5;

/** The cgroups of one home's machines: a directory of which each is one. */
export function cgroupsOf(homeHash: string): string {
  return join(ROOT, `smolvm-${homeHash}`);
}

/** Why no cgroup of this host can limit memory, CPU time and processes alike. */
export const NO_CGROUP_V2 = {
  reason: "this host has no cgroup v2 to set limits with",
  fix: "Boot it with the unified hierarchy: add systemd.unified_cgroup_hierarchy=1 to the kernel's command line.",
} as const;

/**
 * The controllers that a cgroup may use; undefined: there is no such one here, or this host has no cgroup v2.
 * @param cgroup its path from the root of cgroups, "/"
 */
export function cgroupControllers(cgroup: string): readonly string[] | undefined {
  return words(join(ROOT, cgroup, "cgroup.controllers"));
}

/** Why no limits can be set on this host; undefined: they can. Switches the controllers on where they are not. */
export function cgroupRefusal(): { readonly reason: string; readonly fix: string | undefined } | undefined {
  const available = cgroupControllers("/");
  if (available === undefined) return NO_CGROUP_V2;
  const missing = CONTROLLERS.filter((name) => !available.includes(name));
  if (missing.length > 0) {
    return {
      reason: `this host's cgroup v2 does not have ${missing.join(", ")}`,
      fix: "Take what has them out of cgroup v1 (the kernel's command line), or give them to the container.",
    };
  }
  try {
    switchOn(ROOT);
    return undefined;
  } catch (error) {
    return { reason: `no cgroup can be made: ${(error as Error).message}`, fix: undefined };
  }
}

/**
 * Makes a cgroup with limits.
 * @param path directory of {@link cgroupsOf}
 * @throws SmolVMError HOST_FAILED
 */
export function makeCgroup(path: string, limits: VmmLimits): void {
  for (let attempt = 1; ; attempt++) {
    try {
      mkdirSync(path, { recursive: true, mode: 0o755 });
      switchOn(dirname(path));
      writeFileSync(join(path, "memory.max"), String(limits.memoryMib * 1024 * 1024));
      // What does not fit is not to be pushed out to the disk, where it would stay.
      if (existsSync(join(path, "memory.swap.max"))) writeFileSync(join(path, "memory.swap.max"), "0");
      writeFileSync(join(path, "cpu.max"), `${limits.cpus * PERIOD_US} ${PERIOD_US}`);
      writeFileSync(join(path, "pids.max"), String(limits.pids));
      return;
    } catch (cause) {
      if ((cause as NodeJS.ErrnoException).code === "ENOENT" && attempt < ATTEMPTS) continue;
      throw new SmolVMError(
        "HOST_FAILED",
        `the cgroup '${path}' cannot be made: ${(cause as Error).message}`,
        {
          details: { path },
          cause,
        },
      );
    }
  }
}

/** Removes a cgroup in which nothing runs any more, and the directory of the home's when it was the last. Returns whether it is gone. */
export function removeCgroup(path: string): boolean {
  if (!removeEmpty(path)) return false;
  removeEmpty(dirname(path));
  return true;
}

/**
 * {@link removeCgroup} after what still runs in it, or is ending, has ended: it is killed.
 * @returns whether it is gone; false after `deadline`
 */
export async function endCgroup(path: string, deadline: Deadline): Promise<boolean> {
  if (removeCgroup(path)) return true;
  try {
    writeFileSync(join(path, "cgroup.kill"), "1");
  } catch {
    // a kernel before 5.14 has no such file, and it may be gone by now
  }
  try {
    for (let wait = 1; !removeCgroup(path); wait = Math.min(wait * 2, 20)) await deadline.sleep(wait);
    return true;
  } catch {
    return false;
  }
}

/** Names of the cgroups in a home's directory. */
export function listCgroups(directory: string): string[] {
  try {
    return readdirSync(directory, { withFileTypes: true })
      .filter((entry) => entry.isDirectory())
      .map(({ name }) => name);
  } catch {
    return []; // there is none
  }
}

/** The cgroup (version 2) that a process is in, as a path from the root of cgroups; undefined: it is gone, or there is none. */
export function cgroupOfProcess(pid: number): string | undefined {
  const line = lines(`/proc/${pid}/cgroup`).find((entry) => entry.startsWith("0::"));
  return line?.slice("0::".length);
}

/** The limits that a process's own cgroup sets, whoever made it. */
export function limitsInForce(pid: number): Partial<VmmLimits> {
  const cgroup = cgroupOfProcess(pid);
  if (cgroup === undefined) return {};
  const limit = (file: string): readonly [limit: number, period: number] | undefined => {
    const [value, period] = words(join(ROOT, cgroup, file)) ?? [];
    return value === undefined || value === "max" ? undefined : [Number(value), Number(period)];
  };
  const [memory, cpu, pids] = [limit("memory.max"), limit("cpu.max"), limit("pids.max")];
  return {
    ...(memory === undefined ? {} : { memoryMib: memory[0] / (1024 * 1024) }),
    ...(cpu === undefined ? {} : { cpus: cpu[0] / cpu[1] }),
    ...(pids === undefined ? {} : { pids: pids[0] }),
  };
}

function removeEmpty(path: string): boolean {
  try {
    rmdirSync(path);
    return true;
  } catch (error) {
    // EBUSY: something runs in it, or is in it
    return (error as NodeJS.ErrnoException).code === "ENOENT";
  }
}

function switchOn(path: string): void {
  const file = join(path, "cgroup.subtree_control");
  const on = words(file) ?? [];
  const off = CONTROLLERS.filter((name) => !on.includes(name));
  if (off.length > 0) writeFileSync(file, off.map((name) => `+${name}`).join(" "));
}

function words(file: string): string[] | undefined {
  return lines(file)[0]?.split(" ");
}

function lines(file: string): string[] {
  try {
    return readFileSync(file, "utf8").trim().split("\n");
  } catch {
    return []; // there is none
  }
}
