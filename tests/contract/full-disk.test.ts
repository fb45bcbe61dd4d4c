import { execFile } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { describe, expect, test } from "vitest";
import { BACKEND_FEATURES } from "../../src/backends/features.ts";
import type { BackendName } from "../../src/config/spec.ts";
import { processPaths } from "../../src/host/files/paths.ts";
import { BACKENDS } from "../helpers/backends.ts";
import { processesNaming, useTempHome } from "../helpers/home.ts";
import { IN_MOUNT_NAMESPACE } from "../helpers/mount-namespace.ts";
import { scaled } from "../helpers/speed.ts";

useTempHome();
const CHILD = join(import.meta.dirname, "../helpers/child-full-verbs.ts");
const able = BACKENDS.filter((backend) => BACKEND_FEATURES[backend as BackendName].snapshots);

/** The home and the cache's templates on a file system that is gone with the process. */
const SCRIPT = `mount -t tmpfs -o size=560m none "$1" && mkdir "$1/templates" && mount --bind "$1/templates" "$2" &&
  XDG_DATA_HOME=$1 exec "$3" "$4" "$5" "$6" "$1" "$2" "$7"`;

describe.each(able)("a disk that is full in the middle on %s", (backend) => {
  test.each(["snapshot", "difference", "fork", "file", "template", "pool"])(
    "of what makes a %s: it says so, leaves nothing, and what runs goes on; with more room it is done",
    async (part) => {
      const templates = join(processPaths().cacheDir, "templates");
      mkdirSync(templates, { recursive: true, mode: 0o700 });
      const directory = mkdtempSync(join(tmpdir(), "smolvm-full-"));
      const [disk, elsewhere] = [join(directory, "disk"), join(directory, "elsewhere")];
      for (const path of [disk, elsewhere]) mkdirSync(path);
      try {
        const [unshare = "", ...namespace] = IN_MOUNT_NAMESPACE;
        const { stdout } = await promisify(execFile)(unshare, [
          ...[...namespace, "/bin/sh", "-c", SCRIPT, "sh", disk, templates],
          ...[process.execPath, CHILD, backend, part, elsewhere],
        ]);
        const { outcomes, ...end } = JSON.parse(stdout) as { outcomes: { verb: string; room: number }[] };
        const expected = { code: "NO_SPACE", source: "kept\n8000000\n", left: [] };
        expect(outcomes).toEqual(
          outcomes.map(({ verb, room }) => ({
            ...{ verb, room, ...expected },
            message: expect.any(String),
            hint: expect.stringContaining("df -h"),
          })),
        );
        expect(outcomes.length).toBeGreaterThan(0);
        expect(end).toEqual({ end: "kept\n8000000\n", left: [], list: [] });
        expect(processesNaming(directory)).toEqual([]);
      } finally {
        rmSync(directory, { recursive: true });
      }
    },
    scaled(90_000),
  );
});
