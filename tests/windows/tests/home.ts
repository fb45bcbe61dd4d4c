import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { afterAll, expect } from "vitest";
import { processPaths } from "../../../src/host/files/paths.ts";
import { monitorOf } from "../../../src/host/monitor/monitors.ts";
import type { ProcessIdentity } from "../../../src/host/process/process-identity.ts";
import { isLockHeld } from "../../../src/host/process/process-lock.ts";
import { until } from "../../helpers/wait.ts";

/** What sandboxes have on a Windows host: directories of both kinds, and monitors that run. */
export interface WindowsTraces {
  readonly directories: number;
  readonly sockets: number;
  readonly monitors: number;
}

export function traces(): WindowsTraces {
  const { dataDir, runtimeDir } = processPaths();
  const runs = entries(runtimeDir).filter((name) => /^[0-9a-f]{12}$/.test(name));
  return {
    directories: entries(join(dataDir, "vms")).length,
    sockets: runs.length,
    monitors: runs.filter((name) => isLockHeld(join(runtimeDir, name, "monitor.lock"))).length,
  };
}

/** The monitors of machines that run. */
export function monitors(): ProcessIdentity[] {
  const { runtimeDir } = processPaths();
  return entries(runtimeDir).flatMap((name) =>
    monitorOf(join(runtimeDir, name, "monitor.lock")).map(({ identity }) => identity),
  );
}

/** Nothing is left of this file's sandboxes in the end. */
export function leavesNothing(): void {
  process.env.SMOLVM_TEMPLATE ??= "off";
  afterAll(async () => {
    const supervisor = join(processPaths().runtimeDir, "supervisor");
    await until("the supervisor has ended", () => !existsSync(supervisor)).catch(() => {}); // what is left tells
    expect(existsSync(supervisor)).toBe(false);
    expect(traces()).toEqual({ directories: 0, sockets: 0, monitors: 0 });
  });
}

function entries(directory: string): string[] {
  try {
    return readdirSync(directory);
  } catch {
    return []; // was never made
  }
}
