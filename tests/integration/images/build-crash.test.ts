/** Kills smolvm by SIGKILL in the middle of building an image. Its verbs for sandboxes: cli/crash-walk.test.ts. */
import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { cli } from "../../helpers/cli.ts";
import { useTempHome } from "../../helpers/home.ts";

const home = useTempHome();

test.each(["image packages", "image kernel", "image disk", "image store"])(
  "smolvm that is killed while it builds an image, at '%s', leaves nothing that gc does not remove",
  async (failpoint) => {
    const env = { XDG_CACHE_HOME: join(home, "cache") };
    const died = await cli(["image", "build", "minimal"], { env: { ...env, SMOLVM_FAILPOINT: failpoint } });
    expect(died).toMatchObject({ signal: "SIGKILL" });
    const collected = await cli(["gc"], { env });
    expect(collected.code).toBe(0);
    expect(collected.text).toContain("image: ");
    const images = join(home, "cache", "smolvm", "images");
    expect(readdirSync(join(images, "work"))).toEqual([]);
    expect(existsSync(join(images, "build.lock"))).toBe(false);
    expect((await cli(["image", "ls", "--json"], { env })).text).toContain('"data":[]');
  },
);
