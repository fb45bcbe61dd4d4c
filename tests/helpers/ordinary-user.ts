import { cpSync, mkdtempSync, readFileSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect } from "vitest";
import { locateFirecracker } from "../../src/backends/firecracker/locate.ts";
import { readEnvironment } from "../../src/host/environment.ts";
import { processPaths } from "../../src/host/paths.ts";
import { processGuards } from "../../src/host/process-guards.ts";
import { runProgram } from "../../src/host/run.ts";
import { imageLayout } from "../../src/images/layout.ts";
import { Deadline } from "../../src/util/deadline.ts";
import { ARCH } from "./backends.ts";
import { CLI } from "./cli.ts";
import { processesNaming } from "./home.ts";
import { filesSeenBy } from "./inside.ts";
import { scaled } from "./speed.ts";

/** Copies an image of this user's store to another's. */
function copyImage(name: string, cacheDir: string): void {
  const [from, to] = [imageLayout(processPaths()), imageLayout({ cacheDir })];
  const ref = from.ref(name, ARCH);
  const { digest } = JSON.parse(readFileSync(ref, "utf8"));
  cpSync(ref, to.ref(name, ARCH));
  cpSync(from.image(digest), to.image(digest), { recursive: true });
}

/** A number that no user of this machine has. */
const NOBODY = 47_110;

/** As root: a user whom nobody knows runs a sandbox, and is refused a jail. With KVM she is in the group that may use it. */
export async function ordinaryUserTest(backend: string): Promise<void> {
  const kvm = statSync("/dev/kvm", { throwIfNoEntry: false })?.gid;
  const groups = kvm ? ["--groups", `${kvm}`] : ["--clear-groups"];
  const theirs = mkdtempSync(join(tmpdir(), "smt-"));
  // Ours may lie in a directory that is closed to her.
  const firecracker = backend === "firecracker" ? locateFirecracker(readEnvironment(process.env)) : undefined;
  if (firecracker !== undefined) cpSync(firecracker, join(theirs, "cache", "firecracker"));
  const deadline = Deadline.of("an ordinary user's command", { timeoutMs: scaled(100_000) });
  const as = async (...args: string[]) =>
    JSON.parse(
      (
        await runProgram(
          [
            ...["setpriv", "--reuid", `${NOBODY}`, "--regid", `${NOBODY}`, ...groups],
            ...[
              "env",
              "-u",
              "XDG_DATA_HOME",
              "-u",
              "XDG_RUNTIME_DIR",
              "-u",
              "XDG_CACHE_HOME",
              `SMOLVM_HOME=${theirs}`,
              ...(firecracker === undefined
                ? []
                : [`SMOLVM_FIRECRACKER=${join(theirs, "cache", "firecracker")}`]),
            ],
            ...[...CLI, args[0]!, "--json", ...args.slice(1)],
          ],
          { deadline, check: false },
        )
      ).stdout,
    );
  try {
    copyImage("minimal", join(theirs, "cache"));
    await runProgram(["chown", "-R", `${NOBODY}:${NOBODY}`, theirs], { deadline });
    const options = ["--image", "minimal", "--network", "off", "--memory", "256M", "--backend", backend];
    const refused = await as("create", "--start", "--isolation", "jail", ...options, "--name", "no");
    expect(refused.error).toMatchObject({
      code: "ISOLATION_UNAVAILABLE",
      message: expect.stringContaining("for root"),
    });
    expect(
      (await as("create", "--start", "--isolation", "user", ...options, "--name", "box")).error,
    ).toBeNull();
    const { data } = await as("info", "box");
    expect(data.isolation).toMatchObject({ tier: "user", whyNotNext: expect.stringContaining("for root") });
    expect(data.isolation.uid).toBeUndefined();
    expect(processGuards(data.pid)).toMatchObject({
      uid: NOBODY,
      seccomp: true,
      noNewPrivileges: true,
      capable: false,
    });
    expect(processGuards(data.pid)!.ownNamespaces).toEqual(
      expect.arrayContaining(["user", "pid", "mnt", "net"]),
    );
    const seen = filesSeenBy(data.pid);
    expect(seen.filter((path) => path.startsWith(theirs) && !path.includes("/cache/"))).toEqual([
      join(theirs, "vms", data.id, "upper.img"),
    ]);
  } finally {
    for (const name of ["box", "no"]) await as("rm", "-f", name).catch(() => {}); // what is left tells
    expect(processesNaming(theirs)).toEqual([]);
    rmSync(theirs, { recursive: true, force: true });
  }
}
