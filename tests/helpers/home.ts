import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect } from "vitest";
import { until } from "./wait.ts";
import { leavesNothing, windowsLeftovers } from "./windows-home.ts";

/**
 * Gives this test file a home of its own (store, sandboxes, sockets) and checks at the end that nothing is left in
 * it and that no process of it runs. Images come from the user's cache: they are immutable, and made once.
 */
export function useTempHome(): string {
  // All files run in the home of tests/windows/suite.ts there, which has the image, one after the other.
  if (process.platform === "win32") {
    leavesNothing();
    return process.env.SMOLVM_HOME!;
  }
  const home = mkdtempSync(join(tmpdir(), "smt-"));
  process.env.XDG_DATA_HOME = join(home, "data");
  process.env.XDG_RUNTIME_DIR = join(home, "run");
  mkdirSync(process.env.XDG_RUNTIME_DIR, { mode: 0o700 });
  process.env.SMOLVM_TEMPLATE ??= "off"; // nothing is made in the background, but where that is tested
  delete process.env.SMOLVM_HOME;
  delete process.env.SMOLVM_BACKEND;
  afterAll(async () => {
    // A supervisor that a test needed goes a few seconds after it has nothing left to do.
    await until("the supervisor has ended", () => !socketsIn(home).includes("supervisor")).catch(() => {}); // what is left tells
    // What has closed all that it had open may need a moment more to be no process.
    await until("no process is left", () => leftovers(home).processes.length === 0, 2_000).catch(() => {});
    expect(leftovers(home)).toEqual({ processes: [], directories: [], sockets: [] });
    rmSync(home, { recursive: true, force: true });
  });
  return home;
}

/** What of a home is still there: processes that name it, directories of sandboxes, sockets. */
export function leftovers(home: string): { processes: string[]; directories: string[]; sockets: string[] } {
  if (process.platform === "win32") return windowsLeftovers();
  return {
    processes: processesNaming(home),
    directories: ["vms", "snapshots"].flatMap((name) => entries(join(home, "data", "smolvm", name))),
    sockets: socketsIn(home),
  };
}

/** What the directories of sockets of a home hold. */
function socketsIn(home: string): string[] {
  const run = join(home, "run");
  return entries(run).flatMap((name) => (name.startsWith("smolvm") ? entries(join(run, name)) : []));
}

/** Command lines of running processes that contain `text`. */
export function processesNaming(text: string): string[] {
  const found: string[] = [];
  for (const pid of readdirSync("/proc").filter((name) => /^\d+$/.test(name))) {
    try {
      const line = readFileSync(`/proc/${pid}/cmdline`, "utf8").replaceAll("\0", " ");
      if (line.includes(text) && Number(pid) !== process.pid) found.push(`${pid} ${line}`);
    } catch {
      // it ended while we looked
    }
  }
  return found;
}

/** The supervisors of a home, also one that is about to begin: their command line is the same everywhere, so their environment tells. */
export function supervisorsOf(home: string): number[] {
  const pids = processesNaming("supervisor/main.").map((line) => Number(line.split(" ")[0]));
  return pids.filter((pid) => {
    try {
      return readFileSync(`/proc/${pid}/environ`, "utf8").includes(`XDG_DATA_HOME=${home}/`);
    } catch {
      return false; // it ended while we looked
    }
  });
}

function entries(directory: string): string[] {
  try {
    return readdirSync(directory);
  } catch {
    return []; // was never made
  }
}
