/**
 * Programs for tests that need other processes at an image store; each prints one line of JSON.
 *
 *   image-child.ts build CACHE_DIR NAME ARCH    builds; {built, digest}
 *   image-child.ts lock PATH                    takes the lock, prints {held: true}, keeps it until stdin ends, lets go
 *   image-child.ts disk SEED TARGET BYTES       writes a disk; {} or {error: {code, hint}}
 */

import type { Arch } from "../../src/config/spec.ts";
import { SmolVMError } from "../../src/errors.ts";
import { buildImage } from "../../src/images/build.ts";
import { writeDiskFromSeed } from "../../src/images/disk/seed.ts";
import { acquireLock } from "../../src/images/store/build-lock.ts";
import { Deadline } from "../../src/util/deadline.ts";

const [what, ...args] = process.argv.slice(2) as [string, string, string, string];
const print = (value: object): void => console.log(JSON.stringify(value));

if (what === "build") {
  const [cacheDir, name, arch] = args;
  const { built, image } = await buildImage({ cacheDir: cacheDir! }, name!, {
    arch: arch as Arch,
    deadline: Deadline.of("building", { timeoutMs: 600_000 }),
    onProgress: ({ stage }) => process.stderr.write(`${stage}\n`),
  });
  print({ built, digest: image.digest });
} else if (what === "lock") {
  const release = await acquireLock(args[0]!, Deadline.of("locking", { timeoutMs: 60_000 }));
  print({ held: true });
  for await (const _ of process.stdin);
  await release();
} else {
  try {
    writeDiskFromSeed(args[0]!, args[1]!, Number(args[2]));
    print({});
  } catch (error) {
    if (!(error instanceof SmolVMError)) throw error;
    print({ error: { code: error.code, hint: error.hint } });
  }
}
