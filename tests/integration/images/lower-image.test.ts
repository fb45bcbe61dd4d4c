import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { Progress } from "../../../src/config/progress.ts";
import { composeImage } from "../../../src/images/boot/compose.ts";
import { emptyDocument, type RunConfig } from "../../../src/images/layer/config-document.ts";
import { LayerFile, type MadeLayer } from "../../../src/images/layer/layer-file.ts";
import { lowerImage } from "../../../src/images/lower-image.ts";
import type { ImageManifest } from "../../../src/images/oci/manifest.ts";
import type { Image } from "../../../src/images/store/image.ts";
import { imageLayout } from "../../../src/images/store/layout.ts";
import { inspectImage } from "../../../src/images/store/store.ts";
import { Deadline } from "../../../src/util/deadline.ts";
import { layerTar } from "../../helpers/layers.ts";
import { addSmallImage } from "../../helpers/small-image.ts";

let directory: string;
beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), "smt-lower-"));
});
afterAll(() => rmSync(directory, { recursive: true, force: true }));

interface Store {
  readonly cacheDir: string;
  readonly layers: readonly MadeLayer[];
}

/** A store with three layers and an image of ours. */
async function store(name: string): Promise<Store> {
  const cacheDir = join(directory, name);
  await addSmallImage(cacheDir, "debian");
  const layers: MadeLayer[] = [];
  for (const path of ["a", "b", "c"]) {
    const file = await LayerFile.create({ cacheDir });
    await file.write(layerTar([{ path, content: Buffer.alloc(10_000, path) }]));
    layers.push(await file.finish());
  }
  return { cacheDir, layers };
}

async function made(
  { cacheDir, layers }: Store,
  name: string,
  count: number,
  config: RunConfig = {},
  onMessage?: (message: string) => void,
): Promise<Image> {
  const parts = layers.slice(0, count);
  const rootfs = { type: "layers" as const, diff_ids: parts.map(({ diffId }) => diffId) };
  const document = { ...emptyDocument("x86_64"), config, rootfs };
  const deadline = Deadline.of("testing", { timeoutMs: 30_000 });
  const options = {
    arch: "x86_64",
    name,
    made: "build",
    deadline,
    onProgress: (progress: Progress) => onMessage?.(progress.message),
  } as const;
  return (await composeImage({ cacheDir }, { document, layers: parts }, options)).image;
}

test("an image is made over the one of the store that has most of its layers, and is the same bytes", async () => {
  const here = await store("here");
  const { cacheDir, layers } = here;
  const lower = (volumes: string[] = [], diffIds = layers.map(({ diffId }) => diffId)) => {
    const manifest = { layers: layers.map(({ descriptor }) => descriptor) } as unknown as ImageManifest;
    const document = { config: { volumes }, diffIds } as unknown as Parameters<typeof lowerImage>[2];
    return lowerImage({ cacheDir }, manifest, document, "x86_64");
  };
  expect(await lower()).toBeUndefined();
  const one = await made(here, "one", 1);
  expect(await lower()).toMatchObject({ path: one.rootfsPath, layers: 1 });
  const two = await made(here, "two", 2, { Volumes: { "/v": {} } });
  expect(await lower(["/v"])).toMatchObject({ path: two.rootfsPath, layers: 2 });
  // One that has a volume which this one has not, and one whose layers are called otherwise, do not serve.
  expect(await lower()).toMatchObject({ path: one.rootfsPath, layers: 1 });
  expect(await lower([], [`sha256:${"0".repeat(64)}`])).toBeUndefined();

  const over = await made(here, "three", 3, { Volumes: { "/v": {} } });
  const alone = await made(await store("elsewhere"), "three", 3, { Volumes: { "/v": {} } });
  expect(readFileSync(over.rootfsPath).equals(readFileSync(alone.rootfsPath))).toBe(true);

  // What says how its layers were called was pruned.
  rmSync(imageLayout({ cacheDir }).blob(two.origin!.configDigest));
  rmSync(imageLayout({ cacheDir }).blob(over.origin!.configDigest));
  expect(await lower(["/v"])).toMatchObject({ path: one.rootfsPath, layers: 1 });
});

test("an image that is damaged is told of, and what is made over it is not: its layers are unpacked again", async () => {
  const here = await store("damaged");
  const one = await made(here, "one", 1);
  const bytes = readFileSync(one.rootfsPath);
  bytes[bytes.indexOf("aaaaaaaa") + 4000]! ^= 1;
  writeFileSync(one.rootfsPath, bytes);
  const messages: string[] = [];
  const two = await made(here, "two", 2, {}, (message) => messages.push(message));
  expect(messages.filter((message) => message.includes("damaged"))).toEqual([
    "the image 'one' is damaged (smolvm image inspect 'one' --verify): unpacking all layers of two instead",
  ]);
  const alone = await made(await store("undamaged"), "two", 2);
  expect(readFileSync(two.rootfsPath).equals(readFileSync(alone.rootfsPath))).toBe(true);
  await expect(inspectImage(here, "one", "x86_64", { verify: true })).rejects.toMatchObject({
    code: "IMAGE_INVALID",
  });
  expect((await inspectImage(here, "two", "x86_64", { verify: true })).verified).toBe(true);
});
