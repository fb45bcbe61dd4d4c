import { directoriesTar } from "../context/directories.ts";
import type { StepMount } from "../plan/mounts.ts";
import { keepCache, openCache } from "./caches.ts";
import type { BuildMachine } from "./machine.ts";
import { putTar } from "./put.ts";
import { takeTree } from "./take.ts";

/** The directory of a cache in a sandbox: it stays as long as that does. The first time it is made at `at`, with what it held when it was last kept. */
export async function cacheDirectory(
  machine: BuildMachine,
  { id, mode, uid, gid }: Extract<StepMount, { type: "cache" }>,
  at: string,
): Promise<string> {
  const { vm, arch, build, caches } = machine;
  const known = caches.get(id);
  if (known !== undefined) return known.directory;
  const name = String(caches.size);
  const directory = `${at}/${name}`;
  await vm.files.mkdir(at, { parents: true, user: "0" });
  await putTar(vm, directoriesTar([{ name, mode, uid, gid, mtime: 0 }]), at);
  for (const other of build.machines) await other.keepCache(id); // of a stage before
  const { paths } = build.home;
  const content = await openCache(paths, id, arch);
  if (content !== undefined) await putTar(vm, content, directory);
  caches.set(id, { directory, keep: () => keepCache(paths, id, arch, takeTree(machine, directory)) });
  return directory;
}
