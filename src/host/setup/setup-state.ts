import { readFileSync, statSync } from "node:fs";

/** Where scripts/setup/runtime.sh writes down whose taps there are. */
const CONFIG = "/etc/smolvm/runtime.conf";
/** Where scripts/setup/lib.sh notes what was changed. */
const STATE_DIR = "/var/lib/smolvm-setup";
/** The group whose members run sandboxes. */
export const RUNTIME_GROUP = "kvm";

/** What the set-up script has left on this machine. */
export interface SetupState {
  /** it has been run */
  readonly done: boolean;
  /** what was configured for run time; undefined: nothing was */
  readonly runtime: RuntimeConfig | undefined;
}

/** What /etc/smolvm/runtime.conf says, which scripts/setup/network makes the taps by. */
export interface RuntimeConfig {
  /** name of the user who may open them */
  readonly tapUser: string;
  /** how many there are to be */
  readonly taps: number;
  /** the first two numbers of their addresses, "10.213" */
  readonly subnet: string;
  /** addresses of the name servers that guests ask */
  readonly dns: readonly string[];
  /** guests on taps reach private networks */
  readonly privateNetworks: boolean;
}

/** Looks whether this machine was set up. Starts nothing. */
export function setupState(): SetupState {
  const runtime = readRuntime();
  return { done: runtime !== undefined || exists(STATE_DIR), runtime };
}

function readRuntime(): RuntimeConfig | undefined {
  let text: string;
  try {
    text = readFileSync(CONFIG, "utf8");
  } catch {
    return undefined;
  }
  const value = (name: string): string => new RegExp(`^${name}=(.*)$`, "m").exec(text)?.[1]?.trim() ?? "";
  return {
    tapUser: value("tap_user"),
    taps: Number(value("taps")) || 0,
    subnet: value("subnet"),
    privateNetworks: value("private") === "open",
    dns: value("dns")
      .split(",")
      .filter((server) => server !== ""),
  };
}

/** Whether a user is in a group by the group database, and whether this process already is. */
export function membership(
  user: string,
  group: string,
): { readonly listed: boolean; readonly active: boolean } {
  // group(5): name:password:gid:members
  const entry = read("/etc/group")
    .split("\n")
    .map((line) => line.split(":"))
    .find(([name]) => name === group);
  if (entry === undefined) return { listed: false, active: false };
  return {
    listed: (entry[3] ?? "").split(",").includes(user),
    active: (process.getgroups?.() ?? []).includes(Number(entry[2])),
  };
}

function exists(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false }) !== undefined;
}

function read(path: string): string {
  try {
    return readFileSync(path, "utf8").trim();
  } catch {
    return "";
  }
}
