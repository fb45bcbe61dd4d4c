import { directoriesTar } from "../context/directories.ts";
import type { StepMount } from "../plan/mounts.ts";
import { keepCache, openCache } from "./caches.ts";
import type { BuildMachine } from "./machine.ts";
import { putTar } from "./put.ts";
import { takeTree } from "./take.ts";

/** The directory of a cache in a sandbox: it stays as long as that does. The first time it is made at `at`, with what it held after the last build. */
export async function cacheDirectory(
  { vm, arch, build, caches }: BuildMachine,
  { id, mode, uid, gid }: Extract<StepMount, { type: "cache" }>,
  at: string,
): Promise<string> {
  const known = caches.get(id);
  if (known !== undefined) return known;
  const name = String(caches.size);
  const directory = `${at}/${name}`;
  await vm.files.mkdir(at, { parents: true, user: "0" });
  await putTar(vm, directoriesTar([{ name, mode, uid, gid, mtime: 0 }]), at);
  const content = await openCache(build.home.paths, id, arch);
  if (content !== undefined) await putTar(vm, content, directory);
  caches.set(id, directory);
  return directory;
}

/** Keeps what the caches of a sandbox hold, for the next build. */
export async function keepCaches(machine: BuildMachine): Promise<void> {
  const { arch, build, caches } = machine;
  for (const [id, directory] of caches)
    await keepCache(build.home.paths, id, arch, takeTree(machine, directory));
}
