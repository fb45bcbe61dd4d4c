import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { runProgram } from "../../src/host/process/run.ts";
import { Deadline } from "../../src/util/deadline.ts";
import { scaled } from "./speed.ts";
import { until } from "./wait.ts";

/** A real systemd manager of this user's, who is root, with a configuration of its own. */
export interface OwnManager {
  /** where units are written to */
  readonly units: string;
  /** `systemctl --user ARGS`: what it prints */
  systemctl(...args: string[]): Promise<string>;
  /** ends it, and its services in order */
  stop(): Promise<void>;
}

/** Whether there can be one: for root, where systemd is installed, booted by it or not. */
export const CAN_HAVE_MANAGER: boolean = process.getuid?.() === 0 && existsSync("/lib/systemd/systemd");

/** In a mount namespace that looks as if systemd had booted it, with cgroup v2 alone. */
const SCRIPT = `set -e
mount -t tmpfs none /run/systemd 2>/dev/null || mount -t tmpfs none /run
mkdir -p /run/systemd/system
mount -t cgroup2 none /sys/fs/cgroup
mkdir "$1" && echo $$ >"$1/cgroup.procs"
exec setpriv --pdeathsig TERM env -i PATH=/usr/bin:/bin HOME="$HOME" XDG_CONFIG_HOME="$2" XDG_RUNTIME_DIR="$3" /lib/systemd/systemd --user --log-target=console`;

const REMOVE = `mount -t cgroup2 none /sys/fs/cgroup && find "$1" -depth -type d -exec rmdir {} +`;

/** Starts a manager whose configuration is in that directory, with the runtime directory of this process. */
export async function startOwnManager(configHome: string): Promise<OwnManager> {
  const runtimeDir = process.env.XDG_RUNTIME_DIR!;
  const cgroup = `/sys/fs/cgroup/smolvm-test-${process.pid}`;
  const argv = ["--mount", "sh", "-c", SCRIPT, "sh", cgroup, configHome, runtimeDir];
  const manager = spawn("unshare", argv, { stdio: ["ignore", "ignore", "pipe"] });
  let said = "";
  manager.stderr.on("data", (chunk: Buffer) => {
    said = (said + chunk).slice(-2_000);
  });
  await until(`the manager listens: ${said}`, () => existsSync(join(runtimeDir, "systemd", "private")));
  const limited = (): Deadline => Deadline.of("systemctl", { timeoutMs: scaled(60_000) });
  return {
    units: join(configHome, "systemd/user"),
    systemctl: async (...args) =>
      (
        await runProgram(["env", `XDG_CONFIG_HOME=${configHome}`, "systemctl", "--user", ...args], {
          deadline: limited(),
          check: false,
        })
      ).stdout.trim(),
    stop: async () => {
      manager.kill("SIGTERM");
      if (manager.exitCode === null && manager.signalCode === null) await once(manager, "exit");
      await runProgram(["unshare", "--mount", "sh", "-c", REMOVE, "sh", cgroup], { deadline: limited() });
    },
  };
}
