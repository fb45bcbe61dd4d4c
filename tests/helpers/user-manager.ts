import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import {
  chownSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmdirSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { dirname, join } from "node:path";
import { NOBODY } from "./ordinary-user.ts";
import { until } from "./wait.ts";

/** A systemd manager of an ordinary user's, as a login gives it to her. */
export interface UserManager {
  /** her $XDG_RUNTIME_DIR */
  readonly runtimeDir: string;
  /** words before a command of hers: in the cgroup of a session */
  readonly within: readonly string[];
  readonly process: ChildProcess;
  /** the directory of a scope of its */
  scope(name: string): string;
  /** ends it at once, with all that is in its scopes */
  stop(): Promise<void>;
}

/**
 * As root, where cgroup v2 is alone and no systemd runs: makes the cgroups that logging in makes, and starts the manager in them.
 * @param controllers what is delegated to it
 */
export async function startUserManager(controllers: readonly string[]): Promise<UserManager> {
  mkdirSync("/run/systemd/system", { recursive: true }); // sd_booted(3): it refuses to run elsewhere
  const slice = `/sys/fs/cgroup/user.slice/user-${NOBODY}.slice`;
  const [service, session] = [join(slice, `user@${NOBODY}.service`), join(slice, "session-1.scope")];
  for (const directory of [service, session]) mkdirSync(directory, { recursive: true });
  for (const directory of ["/sys/fs/cgroup", dirname(slice), slice])
    if (controllers.length > 0)
      writeFileSync(
        join(directory, "cgroup.subtree_control"),
        controllers.map((name) => `+${name}`).join(" "),
      );
  for (const name of ["", "cgroup.procs", "cgroup.subtree_control", "cgroup.threads"])
    chownSync(join(service, name), NOBODY, NOBODY);
  // Elsewhere the system's manager moves her processes from a session to her manager's scopes; here she does it herself.
  for (const directory of [slice, session]) chownSync(join(directory, "cgroup.procs"), NOBODY, NOBODY);
  const runtimeDir = `/run/user/${NOBODY}`;
  mkdirSync(dirname(runtimeDir), { recursive: true, mode: 0o755 }); // hers is below, and she must get there
  mkdirSync(runtimeDir, { mode: 0o700 });
  chownSync(runtimeDir, NOBODY, NOBODY);
  const process = spawn("sh", [
    ...["-c", 'echo $$ >"$0/cgroup.procs" && exec "$@"', service],
    ...["setpriv", "--reuid", `${NOBODY}`, "--regid", `${NOBODY}`, "--clear-groups"],
    ...["env", "-i", `PATH=/usr/bin:/bin`, `HOME=${runtimeDir}`, `XDG_RUNTIME_DIR=${runtimeDir}`],
    ...["/lib/systemd/systemd", "--user", "--log-target=console"],
  ]);
  let said = "";
  process.stderr.on("data", (chunk: Buffer) => {
    said = (said + chunk).slice(-2_000);
  });
  await until(`the manager listens: ${said}`, () => existsSync(join(runtimeDir, "systemd", "private")));
  return {
    runtimeDir,
    within: ["sh", "-c", 'echo $$ >"$0/cgroup.procs" && exec "$@"', session],
    process,
    scope: (name) => join(service, "app.slice", name),
    stop: async () => {
      process.kill("SIGCONT");
      writeFileSync(join(service, "cgroup.kill"), "1");
      if (process.exitCode === null && process.signalCode === null) await once(process, "exit");
      await until("its cgroups are empty", () =>
        readFileSync(join(service, "cgroup.events"), "utf8").includes("populated 0"),
      );
      for (const directory of [service, session, slice, dirname(slice)]) removeTree(directory);
      rmSync(runtimeDir, { recursive: true, force: true });
    },
  };
}

/** A cgroup and those in it; they hold nothing else that could be removed. */
function removeTree(directory: string): void {
  for (const entry of readdirSync(directory, { withFileTypes: true }))
    if (entry.isDirectory()) removeTree(join(directory, entry.name));
  rmdirSync(directory);
}
