import { cp, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { buildKernel } from "../../../../src/images/kernel-build/build.ts";
import { kernelRecipeDir } from "../../../../src/images/kernel-build/recipe.ts";
import { kernelLayout } from "../../../../src/images/store/kernel-layout.ts";
import { Deadline } from "../../../../src/util/deadline.ts";

// Each build takes minutes and 3 GiB of disk: only with SMOLVM_TEST_LONG=1.
const long = process.env.SMOLVM_TEST_LONG === "1";
const HOUR_MS = 3_600_000;

describe.skipIf(!long)(
  "building a kernel (skipped: takes an hour; set SMOLVM_TEST_LONG=1)",
  { timeout: 2 * HOUR_MS },
  () => {
    let home: string;
    beforeAll(async () => {
      home = await mkdtemp(join(tmpdir(), "smolvm-kernel-build-"));
    });
    afterAll(async () => {
      await rm(home, { recursive: true, force: true });
    });

    test("an option that the kernel's rules take away fails the build before anything is compiled, and is named", async () => {
      const recipeDir = join(home, "recipe");
      await cp(kernelRecipeDir(), recipeDir, { recursive: true });
      const common = await readFile(join(recipeDir, "common.config"), "utf8");
      await writeFile(
        join(recipeDir, "common.config"),
        `CONFIG_BPF_JIT=y\nCONFIG_NO_SUCH_OPTION=y\n${common}`,
      );
      const stages = new Set<string>();
      const build = buildKernel(
        { cacheDir: join(home, "lost") },
        {
          arch: "x86_64",
          recipeDir,
          deadline: Deadline.of("test", { timeoutMs: HOUR_MS }),
          onProgress: ({ stage }) => stages.add(stage),
        },
      );
      await expect(build).rejects.toMatchObject({
        code: "IMAGE_BUILD_FAILED",
        details: {
          lost: [
            { option: "CONFIG_BPF_JIT", value: "y", got: "n", where: "common.config:1" },
            { option: "CONFIG_NO_SUCH_OPTION", value: "y", got: "n", where: "common.config:2" },
          ],
        },
      });
      expect([...stages]).toEqual(["source", "configure"]);
    });

    test("two builds in different places give the same bytes, and a third finds the first", async () => {
      const build = (cacheDir: string) =>
        buildKernel(
          { cacheDir },
          { arch: "x86_64", deadline: Deadline.of("test", { timeoutMs: 2 * HOUR_MS }) },
        );
      const first = await build(join(home, "a"));
      // Another path, of another length; the source package is the same one.
      const elsewhere = join(home, "somewhere", "else", "b");
      const source = kernelLayout({ cacheDir: join(home, "a") }).source(first.kernel.manifest.source.sha256);
      await cp(source, kernelLayout({ cacheDir: elsewhere }).source(first.kernel.manifest.source.sha256));
      const second = await build(elsewhere);
      expect(second.kernel.manifest.files).toEqual(first.kernel.manifest.files);
      expect(await build(join(home, "a"))).toMatchObject({
        built: false,
        kernel: { name: first.kernel.name },
      });
    });
  },
);
