import { mkdirSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, describe, expect, test } from "vitest";
import type { Arch } from "../../../src/config/spec.ts";
import { processPaths } from "../../../src/host/files/paths.ts";
import { GO_ARCH } from "../../../src/images/oci/platform.ts";
import { imageLayout } from "../../../src/images/store/layout.ts";
import { readImage } from "../../../src/images/store/store.ts";
import { type BuildEvent, type BuildOptions, images, SmolVM } from "../../../src/index.ts";
import { ARCH } from "../../helpers/backends.ts";
import { copyImage } from "../../helpers/copy-image.ts";
import { useTempHome } from "../../helpers/home.ts";
import { writeLayout } from "../../helpers/layers.ts";
import { readErofs } from "../../helpers/read-erofs.ts";
import { scaled } from "../../helpers/speed.ts";

const home = useTempHome();
const OTHER: Arch = ARCH === "x86_64" ? "aarch64" : "x86_64";

// Nothing was ever built of the images in this cache.
beforeAll(() => {
  const { cacheDir } = processPaths();
  const own = join(home, "cache", "smolvm");
  for (const arch of [ARCH, OTHER]) copyImage("minimal", own, arch);
  for (const name of ["initrd", "kernels"]) symlinkSync(join(cacheDir, name), join(own, name));
  process.env.XDG_CACHE_HOME = join(home, "cache");
});

async function build(dockerfileText: string, options: BuildOptions = {}) {
  const events: BuildEvent[] = [];
  const root = join(home, "context");
  mkdirSync(root, { recursive: true });
  const built = await images.build(root, {
    dockerfileText,
    network: "off",
    memSizeMib: 256,
    tags: ["built"],
    onEvent: (event) => events.push(event),
    ...options,
  });
  const { image } = (await readImage(processPaths(), "built", built.arch))!;
  const files = readErofs(image.rootfsPath);
  const cached = events.flatMap((event) => (event.type === "done" ? [event.cached] : []));
  return { cached, files };
}

async function running(): Promise<string[]> {
  return (await SmolVM.list()).map(({ name }) => name);
}

describe("the sandboxes of a build", { timeout: scaled(120_000) }, () => {
  test("go with it, also one that was started for what an image is, when that cannot be put together", async () => {
    const controller = new AbortController();
    await expect(
      build("FROM minimal\nRUN true\n", {
        signal: controller.signal,
        onProgress: ({ message }) => {
          if (message.includes("build-stage-")) controller.abort();
        },
      }),
    ).rejects.toMatchObject({ code: "ABORTED" });
    expect(await running()).toEqual([]);
  });

  test("give what their caches hold to the next one, also when a later step is known", async () => {
    const mount = "RUN --mount=type=cache,id=c,target=/c";
    const text = `FROM minimal\n${mount} echo x >> /c/count\n${mount} cp /c/count /count\n`;
    expect((await build(text)).cached).toEqual([false, false]);
    const { buildSteps, buildCaches } = imageLayout(processPaths());
    for (const name of readdirSync(buildSteps)) {
      const path = join(buildSteps, name);
      if (JSON.parse(readFileSync(path, "utf8")).layer === undefined) rmSync(path);
    }
    expect((await build(text)).cached).toEqual([false, true]);
    const tar = readdirSync(buildCaches).find((name) => name.endsWith(".tar"))!;
    expect(readFileSync(join(buildCaches, tar), "latin1")).toContain("x\nx\n\0");
  });

  test("have what a cache holds after the stages before", async () => {
    const mount = "RUN --mount=type=cache,id=stages,target=/c";
    const { files } = await build(`FROM minimal AS before
${mount} echo first >> /c/count && touch /done
FROM minimal
COPY --from=before /done /done
${mount} cp /c/count /count && echo second >> /c/count
`);
    expect(files.get("count")?.size).toBe("first\n".length);
    const { buildCaches } = imageLayout(processPaths());
    const kept = readdirSync(buildCaches).map((name) => readFileSync(join(buildCaches, name), "latin1"));
    expect(kept.filter((tar) => tar.includes("first\nsecond\n\0"))).toHaveLength(1);
  });

  test("hold the image that is copied from for the architecture of each stage", async () => {
    const layout = join(home, "layout");
    const manifests = [ARCH, OTHER].map((arch) => {
      const architecture = GO_ARCH[arch];
      const layers = [[{ path: "of", content: arch }]];
      writeLayout(layout, { layers, architecture });
      const { manifests } = JSON.parse(readFileSync(join(layout, "index.json"), "utf8"));
      return { ...manifests[0], annotations: {}, platform: { os: "linux", architecture } };
    });
    writeFileSync(join(layout, "index.json"), JSON.stringify({ schemaVersion: 2, manifests }));
    const { files } = await build(`FROM --platform=linux/${GO_ARCH[OTHER]} minimal AS other
COPY --from=oci:${layout} /of /other
FROM minimal
COPY --from=oci:${layout} /of /own
COPY --from=other /other /other
`);
    const sizes = ["own", "other"].map((path) => files.get(path)?.size);
    expect(sizes).toEqual([ARCH.length, OTHER.length]);
  });
});
