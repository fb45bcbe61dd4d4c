import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { afterAll, expect } from "vitest";
import { processPaths } from "../../src/host/files/paths.ts";
import { monitorOf } from "../../src/host/monitor/monitors.ts";
import type { ProcessIdentity } from "../../src/host/process/process-identity.ts";
import { until } from "./wait.ts";

/** What there is of sandboxes on a Windows host (tests/helpers/home.ts, leftovers). */
export function windowsLeftovers(): { processes: string[]; directories: string[]; sockets: string[] } {
  const { dataDir, runtimeDir } = processPaths();
  return {
    processes: monitors().map(({ pid }) => `${pid} a monitor`),
    directories: ["vms", "snapshots"].flatMap((name) => entries(join(dataDir, name))),
    sockets: entries(runtimeDir),
  };
}

/** The monitors of machines that run. */
export function monitors(): ProcessIdentity[] {
  const { runtimeDir } = processPaths();
  return entries(runtimeDir).flatMap((name) =>
    monitorOf(join(runtimeDir, name, "monitor.lock")).map(({ identity }) => identity),
  );
}

/** Nothing is there of sandboxes, and no process of theirs. */
export const NOTHING_LEFT = { processes: [], directories: [], sockets: [] } as const;

/** Nothing is left of this file's sandboxes in the end. */
export function leavesNothing(): void {
  process.env.SMOLVM_TEMPLATE ??= "off";
  delete process.env.SMOLVM_BACKEND;
  afterAll(async () => {
    const supervisor = join(processPaths().runtimeDir, "supervisor");
    await until("the supervisor has ended", () => !existsSync(supervisor)).catch(() => {}); // what is left tells
    expect(windowsLeftovers()).toEqual(NOTHING_LEFT);
  });
}

function entries(directory: string): string[] {
  try {
    return readdirSync(directory);
  } catch {
    return []; // was never made
  }
}
