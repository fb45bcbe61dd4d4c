import { mkdir, mkdtemp, rename, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import { Apt } from "../../src/images/debian/apt.ts";
import { hostMirror } from "../../src/images/debian/mirror.ts";
import { Deadline } from "../../src/util/deadline.ts";
import { labCacheDir } from "../lab/parts.ts";
import { ARCH } from "./backends.ts";

/** A directory with the files of Debian's packages, which are fetched once and checked by apt. @param without what of them is left out */
export async function unpacked(
  name: string,
  packages: readonly string[],
  without: readonly string[] = [],
): Promise<string> {
  const target = join(labCacheDir(), `${name}-${ARCH}`);
  if (await isThere(target)) return target;
  const deadline = Deadline.within(120_000, `fetching ${name}`);
  await mkdir(labCacheDir(), { recursive: true, mode: 0o700 });
  const work = await mkdtemp(join(labCacheDir(), "fetch-"));
  try {
    const apt = await Apt.open(join(work, "apt"), {
      arch: ARCH,
      mirror: await hostMirror(deadline),
      deadline,
    });
    for (const each of packages) await apt.unpack(await apt.download(each), join(work, "made"));
    for (const path of without) await rm(join(work, "made", path), { recursive: true, force: true });
    if (!(await isThere(target))) await rename(join(work, "made"), target);
  } finally {
    await rm(work, { recursive: true, force: true });
  }
  return target;
}

async function isThere(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    () => false,
  );
}
