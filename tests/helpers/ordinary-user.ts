import { cpSync, mkdirSync, mkdtempSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect } from "vitest";
import { locateFirecracker } from "../../src/backends/firecracker/locate.ts";
import { readEnvironment } from "../../src/host/environment.ts";
import { processGuards } from "../../src/host/process/process-guards.ts";
import { runProgram } from "../../src/host/process/run.ts";
import { Deadline } from "../../src/util/deadline.ts";
import { CHECKOUT, CLI } from "./cli.ts";
import { copyImage } from "./copy-image.ts";
import { processesNaming } from "./home.ts";
import { filesSeenBy } from "./inside.ts";
import { scaled } from "./speed.ts";

/** A number that no user of this machine has. */
export const NOBODY = 47_110;

/** An ordinary user with a home of her own for smolvm. */
export interface OrdinaryUser {
  readonly uid: number;
  /** her directory, and smolvm's */
  readonly home: string;
  /** options of a small sandbox of hers */
  readonly small: readonly string[];
  /** runs smolvm as her; returns what it printed as JSON */
  // biome-ignore lint/suspicious/noExplicitAny: what a command prints
  as(command: string, ...args: string[]): Promise<any>;
}

/** How she runs commands. */
interface Terms {
  readonly backend: string;
  /** words before each command, run as root: where she is put */
  readonly within?: readonly string[];
  /** $XDG_RUNTIME_DIR; absent: she has none */
  readonly runtimeDir?: string;
}

/**
 * The command line under test as words of her own: Node.js and the checkout may lie where only root gets (a home of mode 0700), so
 * she sees both in her cache, each command in a mount namespace of its own.
 */
function readable(home: string): { enter: readonly string[]; cli: readonly string[] } {
  const [node, checkout] = [join(home, "cache", "node"), join(home, "cache", "checkout")];
  mkdirSync(checkout, { recursive: true });
  writeFileSync(node, "");
  const script = 'mount --bind "$1" "$2" && mount --bind "$3" "$4" && shift 4 && exec "$@"';
  return {
    enter: ["unshare", "--mount", "sh", "-c", script, "sh", CLI[0]!, node, CHECKOUT, checkout],
    cli: [node, CLI[1]!.replace(CHECKOUT, checkout)],
  };
}

/**
 * Makes an ordinary user for a test, who has the minimal image: as root one whom nobody knows, as an ordinary user this one. With KVM
 * she is in the group that may use it. At the end the sandboxes are removed that she has, and nothing of hers runs.
 */
export async function withOrdinaryUser(
  { backend, within = [], runtimeDir }: Terms,
  test: (user: OrdinaryUser) => Promise<void>,
): Promise<void> {
  const own = process.getuid?.();
  const uid = own || NOBODY;
  const kvm = statSync("/dev/kvm", { throwIfNoEntry: false })?.gid;
  const groups = kvm ? ["--groups", `${kvm}`] : ["--clear-groups"];
  const home = mkdtempSync(join(tmpdir(), "smt-"));
  const deadline = Deadline.of("an ordinary user's commands", { timeoutMs: scaled(100_000) });
  const variables = ["XDG_DATA_HOME", "XDG_RUNTIME_DIR", "XDG_CACHE_HOME"].flatMap((name) => ["-u", name]);
  const environment = [`SMOLVM_HOME=${home}`];
  if (runtimeDir !== undefined) environment.push(`XDG_RUNTIME_DIR=${runtimeDir}`);
  const firecracker = backend === "firecracker" ? locateFirecracker(readEnvironment(process.env)) : undefined;
  if (firecracker !== undefined) {
    // Ours may lie in a directory that is closed to her.
    cpSync(firecracker, join(home, "cache", "firecracker"));
    environment.push(`SMOLVM_FIRECRACKER=${join(home, "cache", "firecracker")}`);
  }
  const { enter, cli } = uid === own ? { enter: [], cli: CLI } : readable(home);
  const who = uid === own ? [] : ["setpriv", "--reuid", `${uid}`, "--regid", `${uid}`, ...groups];
  const as = async (command: string, ...args: string[]) => {
    const smolvm = ["env", ...variables, ...environment, ...cli, command, "--json", ...args];
    const argv = [...within, ...enter, ...who, ...smolvm];
    return JSON.parse((await runProgram(argv, { deadline, check: false })).stdout);
  };
  const small = ["--image", "minimal", "--network", "off", "--memory", "256M", "--backend", backend];
  try {
    copyImage("minimal", join(home, "cache"));
    if (uid !== own) await runProgram(["chown", "-R", `${uid}:${uid}`, home], { deadline });
    await test({ uid, home, small, as });
  } finally {
    await as("rm", "--all", "-f").catch(() => {}); // what is left tells
    expect(processesNaming(home)).toEqual([]);
    rmSync(home, { recursive: true, force: true });
  }
}

/** An ordinary user runs a sandbox, and is refused a jail. */
export async function ordinaryUserTest(backend: string): Promise<void> {
  await withOrdinaryUser({ backend }, async ({ uid, home, small, as }) => {
    const refused = await as("create", "--start", "--isolation", "jail", ...small, "--name", "no");
    expect(refused.error).toMatchObject({
      code: "ISOLATION_UNAVAILABLE",
      message: expect.stringContaining("for root"),
    });
    expect(
      (await as("create", "--start", "--isolation", "user", ...small, "--name", "box")).error,
    ).toBeNull();
    const { data } = await as("info", "box");
    expect(data.isolation).toMatchObject({ tier: "user", whyNotNext: expect.stringContaining("for root") });
    expect(data.isolation.uid).toBeUndefined();
    if (uid === NOBODY) {
      // Nobody logged in as her.
      expect(data.isolation.limits).toBeUndefined();
      expect(data.isolation.whyNotLimited).toMatch(/no systemd manager runs for this user|no cgroup v2/);
    }
    expect(processGuards(data.pid)).toMatchObject({
      uid,
      seccomp: true,
      noNewPrivileges: true,
      capable: false,
    });
    expect(processGuards(data.pid)!.ownNamespaces).toEqual(
      expect.arrayContaining(["user", "pid", "mnt", "net"]),
    );
    const seen = filesSeenBy(data.pid);
    expect(seen.filter((path) => path.startsWith(home) && !path.includes("/cache/"))).toEqual([
      join(home, "vms", data.id, "upper.img"),
    ]);
  });
}
