import { mkdir, mkdtemp, rename, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import { aptSources, DEBIAN_SUITE, debianArch } from "../../src/images/debian/apt.ts";
import { hostMirror } from "../../src/images/debian/mirror.ts";
import { runTool } from "../../src/images/debian/tools.ts";
import { Deadline } from "../../src/util/deadline.ts";
import { labCacheDir } from "../lab/parts.ts";
import { ARCH } from "./backends.ts";

/** The tar of a root file system with systemd as its init, made once of Debian's packages by mmdebstrap. */
export async function systemdTar(): Promise<string> {
  const target = join(labCacheDir(), `systemd-1-${ARCH}.tar`);
  const there = await stat(target).then(
    () => true,
    () => false,
  );
  if (there) return target;
  const deadline = Deadline.within(300_000, "making a root file system with systemd");
  await mkdir(labCacheDir(), { recursive: true, mode: 0o700 });
  const work = await mkdtemp(join(labCacheDir(), "fetch-"));
  try {
    const tar = join(work, "root.tar");
    const mode = process.getuid?.() === 0 ? "root" : "unshare";
    await runTool(
      "mmdebstrap",
      [
        `--mode=${mode}`,
        "--variant=minbase",
        "--include=systemd,systemd-sysv,dbus",
        `--architectures=${debianArch(ARCH)}`,
        DEBIAN_SUITE,
        tar,
        ...aptSources(await hostMirror(deadline)),
      ],
      { deadline },
    );
    await rename(tar, target);
  } finally {
    await rm(work, { recursive: true, force: true });
  }
  return target;
}
