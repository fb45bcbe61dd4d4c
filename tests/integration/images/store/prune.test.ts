import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, utimesSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { keepCache } from "../../../../src/builder/machine/caches.ts";
import { keepStageImagesWithin, touchStageImage } from "../../../../src/builder/stages/stage-images.ts";
import { writeDurably } from "../../../../src/host/files/write-durably.ts";
import { composeImage } from "../../../../src/images/boot/compose.ts";
import { emptyDocument } from "../../../../src/images/layer/config-document.ts";
import { LayerFile } from "../../../../src/images/layer/layer-file.ts";
import { keepDownloadsWithin } from "../../../../src/images/store/downloads.ts";
import type { Image } from "../../../../src/images/store/image.ts";
import { kernelLayout } from "../../../../src/images/store/kernel-layout.ts";
import { listKernels, useKernel } from "../../../../src/images/store/kernel-store.ts";
import { imageLayout } from "../../../../src/images/store/layout.ts";
import { findUnused, type InUse, removeReplaced, removeUnused } from "../../../../src/images/store/prune.ts";
import { stageImageName } from "../../../../src/images/store/reference.ts";
import { listImages, readImage } from "../../../../src/images/store/store.ts";
import { removeUnfinished } from "../../../../src/images/store/unfinished.ts";
import { Deadline } from "../../../../src/util/deadline.ts";
import { cli, Terminal } from "../../../helpers/cli.ts";
import { layerTar } from "../../../helpers/layers.ts";
import { addSmallImage, addSmallKernel } from "../../../helpers/small-image.ts";

let home: string;
let cacheDir: string;
beforeEach(() => {
  home = mkdtempSync(join(tmpdir(), "smt-prune-"));
  cacheDir = join(home, "cache");
});
afterEach(() => rmSync(home, { recursive: true, force: true }));

const NOTHING: InUse = { digests: new Set(), paths: new Set() };
const deadline = (): Deadline => Deadline.of("testing", { timeoutMs: 60_000 });

const SHA256 = "abc1".repeat(16);

/** A store with an image of each kind, two kernels of which one is chosen, an initramfs and a source package. */
async function filled() {
  const old = await addSmallImage(cacheDir, "debian", "old");
  const now = await addSmallImage(cacheDir, "debian", "new");
  const chosen = await addSmallKernel(cacheDir, "one");
  const other = await addSmallKernel(cacheDir, "two");
  await useKernel({ cacheDir }, chosen.name);
  const initrd = join(imageLayout({ cacheDir }).initrds, `${SHA256}.cpio`);
  const source = kernelLayout({ cacheDir }).source(SHA256);
  for (const path of [initrd, source]) {
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, "12345");
  }
  return { old, now, chosen, other, initrd, source };
}

describe("what no sandbox uses", () => {
  test("is all but what is used and the kernel that was chosen", async () => {
    const { old, now, chosen, other, initrd, source } = await filled();
    const names = async (inUse: InUse): Promise<string[]> =>
      (await findUnused({ cacheDir }, inUse)).map(({ kind, name }) => `${kind} ${name}`).sort();
    expect(await names(NOTHING)).toEqual([
      `image ${old.image.digest.slice(0, 12)} (without a name)`,
      "image debian for x86_64",
      `initramfs ${SHA256}.cpio`,
      `kernel ${other.name}`,
      `source ${SHA256}.deb`,
    ]);
    const used = { digests: new Set([now.image.digest]), paths: new Set([initrd, other.path]) };
    const removed = await removeUnused({ cacheDir }, async () => used, { deadline: deadline() });
    expect(removed.map(({ path }) => path)).toEqual([
      imageLayout({ cacheDir }).image(old.image.digest),
      source,
    ]);
    expect(await names(used)).toEqual([]);
    expect((await listImages({ cacheDir })).map(({ digest }) => digest)).toEqual([now.image.digest]);
    expect((await listKernels({ cacheDir })).map(({ name }) => name).sort()).toEqual(
      [chosen.name, other.name].sort(),
    );
    expect(readdirSync(imageLayout({ cacheDir }).work)).toEqual([]);
  });

  test("and is used by a sandbox made meanwhile is put back", async () => {
    const { now } = await filled();
    let asked = 0;
    // The first question is what to remove; the second comes when the first thing was moved aside.
    const inUse = async (): Promise<InUse> =>
      asked++ === 0 ? NOTHING : { ...NOTHING, digests: new Set([now.image.digest]) };
    await removeUnused({ cacheDir }, inUse, { deadline: deadline() });
    expect((await listImages({ cacheDir })).map(({ digest }) => digest)).toEqual([now.image.digest]);
  });

  test("stays for as long as a kernel is built with it", async () => {
    const { other, source } = await filled();
    writeFileSync(kernelLayout({ cacheDir }).buildLock, JSON.stringify(await self()));
    const paths = (await findUnused({ cacheDir }, NOTHING)).map(({ path }) => path);
    expect(paths).not.toContain(source);
    expect(paths).not.toContain(dirname(other.path));
  });
});

test("layers of an image that was made here stay as long as it does, and go with it", async () => {
  await addSmallImage(cacheDir, "debian", "new");
  const image = await made("mine");
  const { blobs, buildStep } = imageLayout({ cacheDir });
  await writeDurably(buildStep("key"), JSON.stringify({ layer: { descriptor: image.origin!.layers[0] } }));
  const before = readdirSync(blobs).sort();
  const used = { ...NOTHING, digests: new Set([image.digest]) };
  await removeUnused({ cacheDir }, async () => used, { deadline: deadline() });
  expect(readdirSync(blobs).sort()).toEqual(before);
  await removeUnused({ cacheDir }, async () => NOTHING, { deadline: deadline() });
  expect(readdirSync(blobs)).toEqual([]);
  expect(existsSync(buildStep("key"))).toBe(false);
});

test("what builds keep is listed by its kind and id, pruned by age, and its layers with their image", async () => {
  await addSmallImage(cacheDir, "debian", "new");
  const { buildStep, buildCaches, blobs } = imageLayout({ cacheDir });
  const image = await made("mine");
  await writeDurably(buildStep("key"), JSON.stringify({ layer: { descriptor: image.origin!.layers[0] } }));
  const content = async function* (): AsyncGenerator<Buffer> {
    yield Buffer.alloc(3 * 1024);
  };
  for (const id of ["apt", "/root/.cache"]) await keepCache({ cacheDir }, id, "x86_64", content());
  const old = readdirSync(buildCaches).find((name) => name.endsWith(".tar"))!;
  utimesSync(join(buildCaches, old), 0, 0);
  const env = { SMOLVM_HOME: home };
  const listed = await cli(["image", "ls"], { env });
  expect(listed.stderr).toMatch(
    /Kept besides, to be used again: 3 layers and manifests made here \(\S+\), 2 caches of RUN --mount \(6K\); \S+ of at most 20G/,
  );
  const prune = async (...more: string[]) => (await cli(["image", "prune", ...more], { env })).text;
  const all = await prune("--dry-run");
  expect(all).toMatch(/^cache +3K +apt for x86_64$/m);
  expect(all).toMatch(/^cache +3K +\/root\/.cache for x86_64$/m);
  expect(all.match(/^layer /gm)).toHaveLength(3);
  expect(all).not.toContain("download");
  expect(await prune("-f", "--until", "24h")).toMatch(/^KIND.*\ncache.*\n$/);
  expect(readdirSync(buildCaches).sort()).toEqual([
    expect.stringMatching(/json$/),
    expect.stringMatching(/tar$/),
  ]);
  expect(await prune("-f", "--keep-storage", "1G")).toBe("");
  expect(readdirSync(blobs)).toHaveLength(3);
  await prune("-f");
  expect(readdirSync(buildCaches)).toEqual([]);
  expect(readdirSync(blobs)).toEqual([]);
  expect(existsSync(buildStep("key"))).toBe(false);
});

test("caches of builds count for what is kept at most", async () => {
  const content = async function* (): AsyncGenerator<Buffer> {
    yield Buffer.alloc(1000);
  };
  await keepCache({ cacheDir }, "apt", "x86_64", content());
  const { buildCaches } = imageLayout({ cacheDir });
  const [tar] = readdirSync(buildCaches).filter((name) => name.endsWith(".tar"));
  await keepDownloadsWithin({ cacheDir }, 999, new Set());
  expect(readdirSync(buildCaches)).toContain(tar); // it was used just now
  utimesSync(join(buildCaches, tar!), 0, 0);
  await keepDownloadsWithin({ cacheDir }, 999, new Set());
  expect(readdirSync(buildCaches)).not.toContain(tar);
});

test("what a build that was killed has left is removed, and nothing of one that runs", async () => {
  await addSmallImage(cacheDir, "debian", "new");
  const { blobs } = imageLayout({ cacheDir });
  mkdirSync(blobs, { recursive: true });
  // The first is a number above all that Linux gives.
  writeFileSync(join(blobs, "layer.4194304.0123abcd.tmp"), "x");
  writeFileSync(join(blobs, `layer.${process.pid}.0123abcd.tmp`), "x");
  await removeUnfinished({ cacheDir });
  expect(readdirSync(blobs).filter((name) => name.endsWith(".tmp"))).toEqual([
    `layer.${process.pid}.0123abcd.tmp`,
  ]);
});

test("of what stages of builds boot from those stay that were used last, and what is in use", async () => {
  await addSmallImage(cacheDir, "debian", "new");
  const names = ["a", "b", "c", "d"].map((letter) => stageImageName(letter.repeat(64)));
  const sizes = new Map<string, number>();
  for (const [index, name] of names.entries()) {
    const image = await made(name);
    sizes.set(image.digest, image.sizeBytes);
    utimesSync(imageLayout({ cacheDir }).ref(name, "x86_64"), index, index);
  }
  const [size] = [...sizes.values()] as [number];
  await touchStageImage({ cacheDir }, names[0]!, "x86_64");
  const used = (await readImage({ cacheDir }, names[1]!, "x86_64"))!.image.digest;
  const left = async (): Promise<string[]> =>
    (await listImages({ cacheDir })).map(({ name }) => name).filter((name) => name !== "debian");
  await keepStageImagesWithin({ cacheDir }, (digest) => (digest === used ? ["box"] : []), 2 * size);
  expect(await left()).toEqual([names[0], names[1], names[3]]);
  await keepStageImagesWithin({ cacheDir }, () => [], 1);
  expect(await left()).toEqual([names[0]]);
});

test("what a build has replaced goes, unless it has another name, is used, or was not built", async () => {
  await addSmallImage(cacheDir, "debian", "new");
  const one = await made("one");
  const layout = imageLayout({ cacheDir });
  const gone = (image: Image): boolean => !existsSync(image.directory);
  const remove = (image: Image, used: string[] = []): Promise<boolean> =>
    removeReplaced({ cacheDir }, image.digest, async () => ({ digests: new Set(used) }), deadline());
  expect(await remove(one)).toBe(false);
  rmSync(layout.ref("one", "x86_64"));
  expect(await remove(one, [one.digest])).toBe(false);
  let asked = 0;
  // A sandbox is created of it meanwhile.
  const late = async () => ({ digests: new Set(asked++ === 0 ? [] : [one.digest]) });
  expect(await removeReplaced({ cacheDir }, one.digest, late, deadline())).toBe(false);
  expect(gone(one)).toBe(false);
  expect(await remove(one)).toBe(true);
  expect(gone(one)).toBe(true);
  expect(await remove(one)).toBe(false);
  const { image } = (await readImage({ cacheDir }, "debian", "x86_64"))!;
  rmSync(layout.ref("debian", "x86_64"));
  expect([await remove(image), gone(image)]).toEqual([false, false]);
});

/** An image of one layer that says when it was made: each is another. */
async function made(name: string): Promise<Image> {
  const file = await LayerFile.create({ cacheDir });
  await file.write(layerTar([{ path: "a", content: name }]));
  const layer = await file.finish();
  const document = {
    ...emptyDocument("x86_64"),
    rootfs: { type: "layers" as const, diff_ids: [layer.diffId] },
  };
  const options = { arch: "x86_64" as const, name, made: "build" as const, deadline: deadline() };
  return (await composeImage({ cacheDir }, { document, layers: [layer] }, options)).image;
}

describe("image prune", () => {
  const env = (): { env: Record<string, string> } => ({ env: { SMOLVM_HOME: home } });

  test("says what it would remove, asks, and removes nothing without an answer", async () => {
    await filled();
    const dry = await cli(["image", "prune", "--dry-run"], env());
    expect(dry).toMatchObject({ code: 0 });
    expect(dry.text).toMatch(/^KIND +SIZE +NAME\n(image.*\n){2}kernel.*\nsource.*\ninitramfs.*\n$/);
    const refused = await cli(["image", "prune"], env());
    expect(refused.code).toBe(2);
    expect(refused.stderr).toContain("smolvm image prune --dry-run; smolvm image prune -f");
    const terminal = Terminal.cli(["image", "prune"], env());
    await terminal.shows(/Remove these .* from the cache\? \[y\/N\]/);
    terminal.type("n\n");
    expect(await terminal.ended).toBe(1);
    expect(await listImages({ cacheDir })).toHaveLength(1);
  });

  test("removes it when told to, and then has nothing to do", async () => {
    await filled();
    expect(await cli(["image", "prune", "-f"], env())).toMatchObject({ code: 0 });
    expect(await listImages({ cacheDir })).toEqual([]);
    expect(await listKernels({ cacheDir })).toHaveLength(1);
    const again = await cli(["image", "prune"], env());
    expect(again).toMatchObject({ code: 0, text: "", stderr: expect.stringContaining("Nothing to remove") });
  });
});

test("gc removes what a killed kernel build left, and nothing of one that runs", async () => {
  const layout = kernelLayout({ cacheDir });
  const leave = (holder: object): void => {
    mkdirSync(join(layout.work, "0123456789abcdef", "source"), { recursive: true });
    writeFileSync(layout.buildLock, JSON.stringify(holder));
  };
  leave(await self());
  expect(await removeUnfinished({ cacheDir })).toEqual([]);
  leave({ pid: 1, startTime: "1", bootId: "another boot" });
  expect(await removeUnfinished({ cacheDir })).toEqual([
    join(layout.work, "0123456789abcdef"),
    layout.buildLock,
  ]);
  const run = await cli(["gc"], { env: { SMOLVM_HOME: home } });
  expect(run).toMatchObject({ code: 0, text: "Nothing was left behind.\n" });
});

test("a kernel build that is killed leaves what gc removes", async () => {
  const env = { SMOLVM_HOME: home };
  const layout = kernelLayout({ cacheDir });
  const killed = await cli(["image", "kernel", "build"], {
    env: { ...env, SMOLVM_FAILPOINT: "kernel source" },
  });
  expect(killed).toMatchObject({ signal: "SIGKILL" });
  const left = readdirSync(layout.work);
  expect(left).toHaveLength(1);
  const { text } = await cli(["gc"], { env });
  expect(text).toBe(`image: ${join(layout.work, left[0]!)}\nimage: ${layout.buildLock}\n`);
  expect(readdirSync(layout.work)).toEqual([]);
});

async function self(): Promise<object> {
  const { identify } = await import("../../../../src/host/process/process-identity.ts");
  return identify(process.pid);
}
