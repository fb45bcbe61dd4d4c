import type { AddedFile } from "../context/added-file.ts";
import { textFile } from "../context/text-file.ts";
import { cacheDirectory } from "../machine/cache-mounts.ts";
import type { BuildMachine } from "../machine/machine.ts";
import { putTar } from "../machine/put.ts";
import type { StepMount } from "../plan/mounts.ts";
import type { BoundFiles } from "./bound-files.ts";
import { IN_MEMORY, ON_DISK } from "./places.ts";

/** What the agent's program mounts: where, and what it is told for that. */
interface Mounted {
  readonly target: string;
  readonly args: readonly string[];
}

/** What has been put into a sandbox for one mount. */
export interface PlacedMount {
  readonly mounted?: Mounted;
  /** variables that it is, too */
  readonly env?: Readonly<Record<string, string>>;
  /** what goes with the command */
  readonly removed?: string;
}

type Mount<T extends StepMount["type"]> = Extract<StepMount, { type: T }>;

/**
 * @param index of the mount among those of its command
 * @param bound what a bind mount mounts
 */
export async function placeMount(
  machine: BuildMachine,
  mount: StepMount,
  index: number,
  bound: BoundFiles | undefined,
): Promise<PlacedMount> {
  switch (mount.type) {
    case "tmpfs": {
      const { target, size } = mount;
      return { mounted: { target, args: ["--tmpfs", target, String(size)] } };
    }
    case "cache": {
      const directory = await cacheDirectory(machine, mount, `${ON_DISK}/cache`);
      return { mounted: bind(directory, mount) };
    }
    case "secret":
      return await placeSecret(machine, mount, index);
    case "bind":
      return await placeFiles(machine, mount, index, bound!);
  }
}

async function placeSecret(
  machine: BuildMachine,
  { id, env, target, ...placed }: Mount<"secret">,
  index: number,
): Promise<PlacedMount> {
  const secret = machine.build.options.secrets?.[id];
  if (secret === undefined) return {}; // one that is required was missed before
  const content = Buffer.from(secret);
  const variable = env === undefined ? {} : { env: { [env]: content.toString("utf8") } };
  if (target === undefined) return variable;
  const directory = `${IN_MEMORY}/secrets`;
  await machine.vm.files.mkdir(directory, { parents: true, mode: 0o700, user: "0" });
  await putFile(machine, textFile(`${index}`, content), directory, placed);
  const removed = `${directory}/${index}`;
  return { ...variable, removed, mounted: bind(removed, { target, readOnly: true }) };
}

async function placeFiles(
  machine: BuildMachine,
  mount: Mount<"bind">,
  index: number,
  { files, isOneFile }: BoundFiles,
): Promise<PlacedMount> {
  const directory = `${ON_DISK}/bind/${index}`;
  await machine.vm.files.mkdir(directory, { parents: true, user: "0" });
  const name = isOneFile ? "file" : undefined;
  for (const file of files) await putFile(machine, file, directory, { uid: 0, gid: 0, name });
  return { removed: directory, mounted: bind(isOneFile ? `${directory}/file` : directory, mount) };
}

function bind(
  from: string,
  { target, readOnly }: { readonly target: string; readonly readOnly: boolean },
): Mounted {
  return { target, args: ["--bind", from, target, readOnly ? "ro" : "rw"] };
}

async function putFile(
  { vm }: BuildMachine,
  file: Pick<AddedFile, "tar">,
  directory: string,
  { uid, gid, mode, name }: { uid: number; gid: number; mode?: number; name?: string | undefined },
): Promise<void> {
  await putTar(vm, file.tar({ uid, gid, mode, name }), directory);
}
