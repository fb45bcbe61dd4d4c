import { execFile } from "node:child_process";
import { linkSync, mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { processPaths } from "../../src/host/files/paths.ts";
import { pullNamed } from "../../src/images/boot/pull-image.ts";
import type { Image } from "../../src/images/store/image.ts";
import { imageLayout } from "../../src/images/store/layout.ts";
import { readImage, removeImage } from "../../src/images/store/store.ts";
import { SmolVM } from "../../src/index.ts";
import { Deadline } from "../../src/util/deadline.ts";
import { startDockerRegistry } from "../../tests/helpers/docker-registry.ts";
import { builtCli } from "../built-cli.ts";
import type { Setting } from "../setting.ts";
import { checkOutput, interleave, type Measurement, timed, toRow } from "../stats.ts";

const run = promisify(execFile);
/** The fastest that it can be asked for: it cannot leave content as it is. */
const TAR2SQFS = "tar2sqfs -q -f -s -c lz4 -b 65536";

/**
 * Row 19, on the default image as one layer (gzip): unpacking it, against `gzip -dc | tar2sqfs`; pulling it from a registry on this machine, against
 * `skopeo copy` and that; a cold start on what was pulled, against the default image. Needs `npm run build`, docker-registry and skopeo.
 */
export async function images({ target, n = 5 }: Setting): Promise<Measurement[]> {
  const home = mkdtempSync(join(tmpdir(), "smb-images-"));
  const registry = await startDockerRegistry(join(home, "registry"));
  const name = `${registry.host}/debian:1`;
  try {
    // Makes the layer, the first time.
    await run(process.execPath, [builtCli(), "image", "push", "debian", name]);
    const cache = { cacheDir: join(home, "cache") };
    await withBasis(cache.cacheDir);
    const pull = () => pullNamed(cache, name, { arch: "x86_64", deadline: Deadline.of("pulling") });
    const { image } = await pull();
    const keep = (of: Image, to: string): void =>
      linkSync(imageLayout(cache).blob(of.origin!.layers[0]!.digest), to);
    const [kept, small] = [join(home, "layer"), join(home, "small")];
    keep(image, kept);
    const minimal = `${registry.host}/minimal:1`;
    await run(process.execPath, [builtCli(), "image", "push", "minimal", minimal]);
    keep(
      (await pullNamed(cache, minimal, { arch: "x86_64", deadline: Deadline.of("pulling") })).image,
      small,
    );

    const child = async (layer: string): Promise<{ ms: number; maxRssMib: number }> => {
      const words = [join(import.meta.dirname, "..", "images-child.ts"), layer, join(home, "rootfs.erofs")];
      return JSON.parse((await run(process.execPath, words)).stdout);
    };
    const memory = await interleave(n, {
      ours: async () => (await child(kept)).maxRssMib,
      floor: async () => (await child(small)).maxRssMib,
    });
    const unpacking = await interleave(n, {
      ours: async () => (await child(kept)).ms,
      floor: () =>
        timed(() => run("sh", ["-c", `gzip -dc "$0" | ${TAR2SQFS} "$1"`, kept, join(home, "f.sqfs")])),
    });
    const pulling = await interleave(n, {
      ours: async () => {
        await removeImage(cache, name, "x86_64", () => []);
        rmSync(imageLayout(cache).blobs, { recursive: true });
        return timed(pull);
      },
      floor: async () => {
        const to = join(home, "copied");
        rmSync(to, { recursive: true, force: true });
        const copy = `skopeo copy -q --insecure-policy --src-tls-verify=false docker://${name} dir:${to}`;
        const hex = image.origin!.layers[0]!.digest.replace("sha256:", "");
        return timed(() =>
          run("sh", ["-c", `${copy} && gzip -dc ${to}/${hex} | ${TAR2SQFS} "$0"`, join(home, "f.sqfs")]),
        );
      },
    });
    await pullNamed(processPaths(), name, { arch: "x86_64", deadline: Deadline.of("pulling") });
    const cold = (of: string) => () =>
      timed(async () => {
        await using vm = await SmolVM.create({ ...target, image: of, template: "off" });
        checkOutput((await vm.run("echo hi")).stdout, "hi\n");
      });
    const starting = await interleave(n, { ours: cold(name), floor: cold("debian") });
    const what = { row: "19", unit: "ms" } as const;
    return [
      [
        { ...what, name: "unpacking the default image's layer", goal: "<= 1.15 x gzip -dc | tar2sqfs" },
        unpacking,
        1.15,
      ],
      [
        { row: "19", unit: "MiB", name: "of memory for it, at most", goal: "<= 1.5 x for a layer of 1 MiB" },
        memory,
        1.5,
      ],
      [{ ...what, name: "pulling it", goal: "<= 1.15 x skopeo copy and that" }, pulling, 1.15],
      [
        { ...what, name: "cold create on what was pulled", goal: "<= 1.05 x the default image" },
        starting,
        1.05,
      ],
    ].map(([row, samples, most]) => {
      const of = samples as { ours: number[]; floor: number[] };
      return { samples: of, row: toRow(row as never, of, ({ ratio }) => ratio <= (most as number)) };
    });
  } finally {
    await removeImage(processPaths(), name, "x86_64", () => []).catch(() => {}); // it may not have come so far
    await registry.stop();
    rmSync(home, { recursive: true, force: true });
  }
}

/** A store with nothing but an image of ours, of which pulled ones have their kernel. */
async function withBasis(cacheDir: string): Promise<void> {
  const { image } = (await readImage(processPaths(), "minimal", "x86_64"))!;
  const layout = imageLayout({ cacheDir });
  mkdirSync(layout.refs, { recursive: true });
  mkdirSync(layout.images, { recursive: true });
  await run("cp", ["-al", image.directory, layout.image(image.digest)]).catch(() =>
    run("cp", ["-a", image.directory, layout.image(image.digest)]),
  );
  await run("cp", [imageLayout(processPaths()).ref("minimal", "x86_64"), layout.refs]);
}
