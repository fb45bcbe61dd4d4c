import { readFile } from "node:fs/promises";
import { posix } from "node:path";
import { agentFile } from "../../images/boot/agent.ts";
import { splitVariable } from "../../images/dockerfile/state.ts";
import type { RunConfig } from "../../images/layer/config-document.ts";
import type { BuildMachine } from "../machine/machine.ts";
import type { StepMount } from "../plan/mounts.ts";
import type { BoundFiles } from "./bound-files.ts";
import { placeMount } from "./place-mount.ts";
import { IN_MEMORY } from "./places.ts";
import type { RunOptions } from "./run-options.ts";

const AGENT = `${IN_MEMORY}/agent`;
const ROOT = { user: "0" } as const;

/** How a command runs in what it wants mounted. */
export interface PreparedRun {
  readonly command: readonly string[];
  readonly cwd: string;
  readonly user: string;
  /** variables that are secrets */
  readonly env: Readonly<Record<string, string>>;
  /** takes away what was made to mount on; what a cache holds stays for the next step */
  cleanUp(): Promise<void>;
}

/**
 * Puts what a RUN wants mounted into its sandbox, and gives the command that runs in it: the agent's own program there mounts it for that command alone
 * (guest/src/exec/step.rs).
 * @param bound the content of each bind mount
 * @param config says who runs the command, and where
 * @throws SmolVMError as file operations
 */
export async function prepareRun(
  machine: BuildMachine,
  command: readonly string[],
  { mounts, noNetwork }: RunOptions,
  bound: ReadonlyMap<StepMount, BoundFiles>,
  { User, WorkingDir = "/", Env = [] }: RunConfig,
): Promise<PreparedRun> {
  const user = User || "0";
  if (mounts.length === 0 && !noNetwork)
    return { command, cwd: WorkingDir, user, env: {}, cleanUp: async () => {} };
  const { vm } = machine;
  await putAgent(machine);
  const args: string[] = noNetwork ? ["--no-network"] : [];
  const secrets: Record<string, string> = {};
  const made: string[] = [];
  const removed: string[] = [];
  for (const [index, mount] of mounts.entries()) {
    const { env, removed: goes, mounted } = await placeMount(machine, mount, index, bound.get(mount));
    Object.assign(secrets, env);
    if (goes !== undefined) removed.push(goes);
    if (mounted === undefined) continue;
    made.push(...(await missing(machine, mounted.target)));
    args.push(...mounted.args);
  }
  const said = new Map(Env.map(splitVariable));
  const own = ["HOME", "USER", "LOGNAME"].flatMap((name) => {
    const value = said.get(name);
    return value === undefined ? [] : ["--env", `${name}=${value}`];
  });
  const as = ["--user", user, "--cwd", WorkingDir, ...own];
  return {
    command: [AGENT, "--step", ...args, ...as, "--", ...command],
    cwd: "/",
    user: "0",
    env: secrets,
    async cleanUp() {
      for (const path of removed) await vm.files.remove(path, { recursive: true, force: true, ...ROOT });
      // What the step itself has put there stays.
      for (const path of made) await removeEmpty(machine, path);
    },
  };
}

async function putAgent({ vm, build, arch }: BuildMachine): Promise<void> {
  await vm.files.mkdir(IN_MEMORY, { parents: true, mode: 0o755, ...ROOT });
  if (await vm.files.exists(AGENT, ROOT)) return;
  await vm.files.write(AGENT, await readFile(agentFile(build.home.paths, arch)), { mode: 0o755, ...ROOT });
}

/** What of a path is not there, the deepest first. */
async function missing({ vm }: BuildMachine, target: string): Promise<string[]> {
  const paths: string[] = [];
  for (let path = target; path !== "/" && !(await vm.files.exists(path, ROOT)); path = posix.dirname(path))
    paths.push(path);
  return paths;
}

/** What was only made to mount on. */
async function removeEmpty({ vm }: BuildMachine, path: string): Promise<void> {
  const info = await vm.files.stat(path, { ...ROOT, follow: false }).catch(() => undefined); // it is gone
  if (info === undefined) return;
  const isEmpty =
    info.type === "directory"
      ? (await vm.files.list(path, ROOT)).length === 0
      : info.type === "file" && info.size === 0;
  if (isEmpty) await vm.files.remove(path, { recursive: true, force: true, ...ROOT });
}
