import { readFile } from "node:fs/promises";
import { posix } from "node:path";
import type { Arch } from "../../config/spec.ts";
import { agentFile } from "../../images/boot/agent.ts";
import type { Deadline } from "../../util/deadline.ts";
import type { Home } from "../../vm/home.ts";
import { type AddedFile, textFile } from "../context/added-files.ts";
import { keepCache, openCache } from "../machine/caches.ts";
import type { BuildMachine } from "../machine/machine.ts";
import { putTar } from "../machine/put.ts";
import type { StepMount } from "../plan/mounts.ts";

/** In memory: what a step sees and no layer holds. */
const IN_MEMORY = "/run/smolvm-build";
const AGENT = `${IN_MEMORY}/agent`;
/** A here-document that is a program by its first line. */
export const SCRIPT: string = `${IN_MEMORY}/script`;
/** On the disk, and left out of every layer (vm/commit/changes.ts). */
const ON_DISK = "/.smolvm-build";

/** A bind mount with what it mounts: files of the context, or a directory of another sandbox. */
export interface BoundFiles {
  readonly files: readonly AddedFile[];
  /** a single file is mounted, not a directory */
  readonly isOneFile: boolean;
}

export interface StepOptions {
  readonly home: Home;
  readonly arch: Arch;
  readonly noNetwork: boolean;
  readonly user: string;
  readonly workdir: string;
  /** what the image or the build says of these, which are else the user's */
  readonly env: ReadonlyMap<string, string>;
  readonly secrets: Readonly<Record<string, string | Uint8Array>>;
  readonly deadline: Deadline;
}

/** How a command runs in what it wants mounted. */
export interface PreparedStep {
  readonly command: string[];
  /** variables that are secrets */
  readonly env: Readonly<Record<string, string>>;
  /** takes away what was made to mount on; what a cache holds stays for the next step */
  cleanUp(): Promise<void>;
}

/**
 * Puts what a step wants mounted into its sandbox, and gives the command that runs in it: the agent's own program there mounts it for that command alone
 * (guest/src/exec/step.rs).
 * @param bound the content of each bind mount, in their order
 * @throws SmolVMError as file operations
 */
export async function prepareStep(
  machine: BuildMachine,
  command: readonly string[],
  mounts: readonly StepMount[],
  bound: readonly BoundFiles[],
  options: StepOptions,
): Promise<PreparedStep> {
  const { vm } = machine;
  const root = { user: "0" } as const;
  await vm.files.mkdir(IN_MEMORY, { parents: true, mode: 0o755, ...root });
  if (!(await vm.files.exists(AGENT, root)))
    await vm.files.write(AGENT, await readFile(agentFile(options.home.paths, options.arch)), {
      mode: 0o755,
      ...root,
    });
  const args: string[] = options.noNetwork ? ["--no-network"] : [];
  const env: Record<string, string> = {};
  const made: string[] = [];
  const removed: string[] = [];
  const mountOn = async (target: string): Promise<void> => {
    for (let path = target; path !== "/" && !(await vm.files.exists(path, root)); path = posix.dirname(path))
      made.push(path);
  };
  const put = async (
    file: AddedFile,
    directory: string,
    placed: { uid: number; gid: number; mode?: number },
    name?: string,
  ) => putTar(vm, file.tar({ mode: undefined, ...placed, name }), directory);
  let nextBound = 0;
  for (const [index, mount] of mounts.entries()) {
    if (mount.type === "tmpfs") {
      await mountOn(mount.target);
      args.push("--tmpfs", mount.target, String(mount.size));
    } else if (mount.type === "secret") {
      const secret = options.secrets[mount.id];
      if (secret === undefined) continue; // one that is required was missed before
      if (mount.env !== undefined) env[mount.env] = Buffer.from(secret).toString("utf8");
      if (mount.target === undefined) continue;
      const directory = `${IN_MEMORY}/secrets`;
      await vm.files.mkdir(directory, { parents: true, mode: 0o700, ...root });
      const { uid, gid, mode } = mount;
      await put(textFile(`${index}`, Buffer.from(secret)), directory, { uid, gid, mode });
      removed.push(`${directory}/${index}`);
      await mountOn(mount.target);
      args.push("--bind", `${directory}/${index}`, mount.target, "ro");
    } else if (mount.type === "cache") {
      const directory = await machine.cache(
        mount.id,
        () => openCache(options.home.paths, mount.id, options.arch),
        {
          at: `${ON_DISK}/cache`,
          mode: mount.mode,
          uid: mount.uid,
          gid: mount.gid,
        },
      );
      await mountOn(mount.target);
      args.push("--bind", directory, mount.target, mount.readOnly ? "ro" : "rw");
    } else {
      const { files, isOneFile } = bound[nextBound++]!;
      const directory = `${ON_DISK}/bind/${index}`;
      await vm.files.mkdir(directory, { parents: true, ...root });
      for (const file of files)
        await put(file, directory, { uid: 0, gid: 0 }, isOneFile ? "file" : undefined);
      removed.push(directory);
      await mountOn(mount.target);
      args.push(
        "--bind",
        isOneFile ? `${directory}/file` : directory,
        mount.target,
        mount.readOnly ? "ro" : "rw",
      );
    }
  }
  const own = ["HOME", "USER", "LOGNAME"].flatMap((name) => {
    const value = options.env.get(name);
    return value === undefined ? [] : ["--env", `${name}=${value}`];
  });
  return {
    command: [
      AGENT,
      "--step",
      ...args,
      "--user",
      options.user,
      "--cwd",
      options.workdir,
      ...own,
      "--",
      ...command,
    ],
    env,
    async cleanUp() {
      for (const path of removed) await vm.files.remove(path, { recursive: true, force: true, ...root });
      // What the step itself has put there stays.
      for (const path of made) await removeEmpty(machine, path);
    },
  };
}

/** Puts a script, which says by its first line what it is of, where a step can execute it and no layer has it. */
export async function putScript({ vm }: BuildMachine, script: string): Promise<void> {
  await vm.files.mkdir(IN_MEMORY, { parents: true, mode: 0o755, user: "0" });
  await vm.files.write(SCRIPT, script, { mode: 0o755, user: "0" });
}

/** Keeps what the caches of a sandbox hold, for the next build. */
export async function keepCaches(
  home: Home,
  machine: BuildMachine,
  arch: Arch,
  deadline: Deadline,
): Promise<void> {
  for (const [id, directory] of machine.caches)
    await keepCache(home.paths, id, arch, machine.tar(directory, {}, deadline));
}

/** What was only made to mount on. */
async function removeEmpty({ vm }: BuildMachine, path: string): Promise<void> {
  const info = await vm.files.stat(path, { user: "0", follow: false }).catch(() => undefined); // it is gone
  if (info === undefined) return;
  const isEmpty =
    info.type === "directory"
      ? (await vm.files.list(path, { user: "0" })).length === 0
      : info.type === "file" && info.size === 0;
  if (isEmpty) await vm.files.remove(path, { recursive: true, force: true, user: "0" });
}
