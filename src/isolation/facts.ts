import { readFileSync, readlinkSync, statSync } from "node:fs";
import { join } from "node:path";
import { isSmolVMError } from "../errors.ts";
import type { Environment } from "../host/environment.ts";
import { cachedJson } from "../host/files/cached-json.ts";
import { cgroupRefusal } from "../host/linux/cgroup.ts";
import { explainRefusal, hasAllUids, namespaceSettings } from "../host/linux/user-namespaces.ts";
import { nativeProgram } from "../host/package.ts";
import { findProgram } from "../host/process/find-program.ts";
import { hostBootId } from "../host/process/process-identity.ts";
import { lastLines, runProgram } from "../host/process/run.ts";
import { installHint } from "../host/setup/install-hint.ts";
import { Deadline } from "../util/deadline.ts";
import { shortHash } from "../util/short-hash.ts";
import { bwrapArgs } from "./bwrap-args.ts";
import type { Bubblewrap } from "./enclosure.ts";
import { findScopes } from "./scopes.ts";
import type { BubblewrapFound, IsolationFacts, Refusal } from "./tier.ts";
import type { HostView } from "./view.ts";

/** Slow hosts need far more than a second for a first start. */
const TRY_TIMEOUT_MS = 10_000;

/** Of whom and where it is asked. */
export interface IsolationHost {
  /** where an answer is kept */
  readonly cacheDir: string;
  readonly env: Pick<Environment, "path" | "xdgRuntimeDir">;
}

/**
 * What this host can put around VMMs: tried once, with what is put around them, and kept for as long as nothing that
 * decides it changes. What did not work is tried again each time.
 */
export async function isolationFacts(host: IsolationHost): Promise<IsolationFacts> {
  const root = process.getuid?.() === 0;
  const [user, ownUid] = await Promise.all([
    findBubblewrap(host, true),
    root ? findForRoot(host) : { refusal: NEEDS_ROOT },
  ]);
  const scopes = root ? undefined : findScopes(host.env.xdgRuntimeDir);
  return { user, ownUid, scopes, noLimits: root && "bubblewrap" in ownUid ? cgroupRefusal() : undefined };
}

async function findForRoot(host: IsolationHost): Promise<BubblewrapFound> {
  return process.platform === "linux" && !hasAllUids(readFileSync("/proc/self/uid_map", "utf8"))
    ? { refusal: NEEDS_UIDS }
    : await findBubblewrap(host, false);
}

const NEEDS_UIDS: Refusal = {
  reason: "this root is one of a user namespace, which has no uids to give to virtual machines",
};
const NEEDS_ROOT: Refusal = { reason: "a jail, with a uid of its own, is for root to make" };

async function findBubblewrap(host: IsolationHost, userNamespace: boolean): Promise<BubblewrapFound> {
  const refuse = (reason: string, fix?: string): BubblewrapFound => ({ refusal: { reason, fix } });
  if (process.platform !== "linux") return refuse("bubblewrap is for Linux only");
  const monitor = nativeProgram("monitor");
  if (monitor === undefined)
    return refuse("smolvm's native monitor program is not built", "Build it: scripts/build-native.sh");
  const path = findProgram("bwrap", host.env.path);
  if (path === undefined) return refuse("bubblewrap is not installed", installHint("bubblewrap"));
  const bubblewrap = { path, monitor, userNamespace };
  try {
    return { bubblewrap, proc: await provenProc(bubblewrap, host.cacheDir) };
  } catch (error) {
    if (error instanceof Refused) return { refusal: error.refusal };
    if (isSmolVMError(error)) return refuse(error.message, error.hint);
    throw error;
  }
}

/** That bubblewrap works here, and whether with a /proc. @throws Refused */
async function provenProc(bubblewrap: Bubblewrap, cacheDir: string): Promise<boolean> {
  const key = [
    ...[bubblewrap.path, bubblewrap.monitor].map(fileVersion),
    process.getuid?.(),
    hostBootId(),
    ...ownNamespaces(["mnt", "user", "pid"]), // a container may share the rest with its host
    ...namespaceSettings(),
  ].join(" ");
  const isBoolean = (value: unknown): value is boolean => typeof value === "boolean";
  // One for each smolvm of this user: two that take turns (two projects) would each forget what the other has tried.
  const smolvm = shortHash(bubblewrap.monitor);
  const file = `isolation-${bubblewrap.userNamespace ? "user" : "root"}-${smolvm}.json`;
  return await cachedJson(join(cacheDir, file), key, isBoolean, async () => {
    if ((await tryBubblewrap(bubblewrap, true)) === undefined) return true;
    const said = await tryBubblewrap(bubblewrap, false);
    if (said === undefined) return false;
    throw new Refused(refusalFor(said, bubblewrap));
  });
}

class Refused extends Error {
  readonly refusal: Refusal;

  constructor(refusal: Refusal) {
    super(refusal.reason);
    this.refusal = refusal;
  }
}

/** Those of this process. Linux only. */
export function ownNamespaces(kinds: readonly string[]): string[] {
  return kinds.map((kind) => readlinkSync(`/proc/self/ns/${kind}`));
}

/** What changes when a program is replaced. */
export function fileVersion(path: string): string {
  const { size, mtimeMs, ino } = statSync(path);
  return [path, size, mtimeMs, ino].join(" ");
}

/** Runs our static program enclosed as a VMM would be. Returns what was said if that does not work. */
async function tryBubblewrap(bubblewrap: Bubblewrap, proc: boolean): Promise<string | undefined> {
  const view: HostView = {
    exit: "",
    system: [],
    readOnly: [],
    optional: [],
    writable: [],
    devices: [],
    proc,
    network: "none",
  };
  const deadline = Deadline.within(TRY_TIMEOUT_MS, "trying bubblewrap");
  const argv = [...bwrapArgs(bubblewrap, view), bubblewrap.monitor, "version"];
  const { code, signal, stderr } = await runProgram(argv, { deadline, check: false });
  return code === 0 ? undefined : lastLines(stderr, 1, 300) || `it ended with ${signal ?? code}`;
}

function refusalFor(said: string, { userNamespace }: Bubblewrap): Refusal {
  const known = userNamespace ? explainRefusal() : undefined;
  if (known?.setting !== undefined) return { reason: `user namespaces are ${known.reason}`, fix: known.fix };
  return {
    reason: `bubblewrap cannot make namespaces here: ${said}`,
    fix: "A container may forbid them: run smolvm outside of it, or with fewer restrictions (docker run --security-opt seccomp=unconfined --security-opt systempaths=unconfined).",
  };
}
