import { mkdirSync, mkdtempSync, readdirSync, rmSync, utimesSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { pullImage } from "../../../../src/images/pull.ts";
import { LayoutSource } from "../../../../src/images/registry/layout-source.ts";
import { keepDownloadsWithin } from "../../../../src/images/store/downloads.ts";
import { imageLayout } from "../../../../src/images/store/layout.ts";
import { removeImage } from "../../../../src/images/store/store.ts";
import { Deadline } from "../../../../src/util/deadline.ts";
import { cli } from "../../../helpers/cli.ts";
import { writeLayout } from "../../../helpers/layers.ts";
import { addSmallImage } from "../../../helpers/small-image.ts";

let home: string;
let blobs: string;
beforeEach(() => {
  home = mkdtempSync(join(tmpdir(), "smt-downloads-"));
  ({ blobs } = imageLayout({ cacheDir: join(home, "cache") }));
});
afterEach(() => rmSync(home, { recursive: true, force: true }));

const NAMES = ["a", "b", "c", "d"].map((letter) => letter.repeat(64)) as [string, string, string, string];

/** Downloads of 1,000 bytes, used so many hours ago. */
function downloads(hours: readonly number[]): void {
  mkdirSync(blobs, { recursive: true });
  hours.forEach((ago, index) => {
    const path = join(blobs, NAMES[index]!);
    writeFileSync(path, Buffer.alloc(1000));
    const at = Date.now() / 1000 - ago * 3600;
    utimesSync(path, at, at);
  });
}

const kept = (): string[] => readdirSync(blobs).map((name) => name[0]!);

test("downloads are kept within their bound: those go first that were used the longest time ago", async () => {
  downloads([2, 5, 3, 4]);
  await keepDownloadsWithin({ cacheDir: join(home, "cache") }, 2500, new Set());
  expect(kept()).toEqual(["a", "c"]);
});

test("what another pull may need at this moment stays, and what is no longer needed goes at once", async () => {
  downloads([0, 0, 5]);
  await keepDownloadsWithin({ cacheDir: join(home, "cache") }, 0, new Set([NAMES[1]]));
  expect(kept()).toEqual(["a"]);
});

test("layers of an image that was made here stay: nobody else has them", async () => {
  const cacheDir = join(home, "cache");
  const basis = await addSmallImage(cacheDir, "debian");
  const layout = join(home, "layout");
  writeLayout(layout, { layers: [[{ path: "f", content: "x" }]] });
  const source = new LayoutSource({ kind: "oci", directory: layout, tag: undefined, name: "mine" });
  const deadline = Deadline.of("pulling", { timeoutMs: 60_000 });
  const options = { arch: "x86_64", reference: "mine", basis: async () => basis, deadline } as const;
  await pullImage({ cacheDir }, source, { ...options, name: "mine", made: "commit" });
  expect(kept()).toHaveLength(3);
  const all = new Set(readdirSync(blobs));
  await keepDownloadsWithin({ cacheDir }, 0, all);
  expect(kept()).toHaveLength(3);
  await removeImage({ cacheDir }, "mine", "x86_64", () => []);
  await keepDownloadsWithin({ cacheDir }, 0, all);
  expect(kept()).toEqual([]);
});

test("a pull leaves no more than the settings say, and image ls tells what is kept", async () => {
  await addSmallImage(join(home, "cache"), "debian");
  const layout = join(home, "layout");
  writeLayout(layout, { layers: [[{ path: "f", content: "x" }]] });
  downloads([5, 6]);
  const env = { SMOLVM_HOME: home };
  const listed = async (more = {}) => (await cli(["image", "ls"], { env: { ...env, ...more } })).stderr;
  expect(await listed()).toContain("2 downloads of registries (2K); 2K of at most 20G (default)");
  writeFileSync(join(home, "images.json"), JSON.stringify({ downloadsMax: "3K" }));
  expect(await listed()).toContain("at most 3K (");
  const pulled = await cli(["image", "pull", `oci:${layout}`], {
    env: { ...env, SMOLVM_DOWNLOADS_MAX: "0" },
  });
  expect(pulled.code).toBe(0);
  expect(readdirSync(blobs)).toEqual([]);
  const wrong = await cli(["image", "pull", `oci:${layout}`], {
    env: { ...env, SMOLVM_DOWNLOADS_MAX: "much" },
  });
  expect(wrong.stderr).toContain("'SMOLVM_DOWNLOADS_MAX' has 'much', which is no size such as 20G");
});

test("an image whose name another has got is listed without one, and pruned unless something uses it", async () => {
  await addSmallImage(join(home, "cache"), "debian");
  const layout = join(home, "layout");
  const env = { SMOLVM_HOME: home };
  const ls = async (...args: string[]) => await cli(["image", "ls", ...args], { env });
  const pulled = async (content: string): Promise<string> => {
    writeLayout(layout, { layers: [[{ path: "f", content }]] });
    expect(await cli(["image", "pull", `oci:${layout}`], { env })).toMatchObject({ code: 0 });
    const { data: images } = JSON.parse((await ls("--json")).text);
    return images.find(({ name }: { name: string }) => name.startsWith("oci:")).digest;
  };
  const first = await pulled("one");
  expect((await ls()).stderr).not.toContain("no name");
  const second = await pulled("two");
  const listed = await ls();
  expect(listed.stderr).toContain("One image has no name any more, as others have it: smolvm image prune");
  expect(listed.text).toMatch(new RegExp(`^<none> +x86_64 +${first.slice(0, 12)} `, "m"));
  expect((await ls("--quiet")).text).toBe(`debian\noci:${layout}\n`);
  await cli(["image", "tag", `oci:${layout}`, "mine"], { env });
  expect(await pulled("three")).not.toBe(second);
  // It has another name.
  expect((await ls()).text.match(/^<none>/gm)).toHaveLength(1);
  const prune = await cli(["image", "prune", "--dry-run"], { env });
  expect(prune.text).toContain(`${first.slice(0, 12)} (without a name)`);
  await cli(["image", "prune", "-f"], { env });
  expect((await ls()).text).not.toContain("<none>");
});

test("image inspect shows how an image was made, layer by layer", async () => {
  await addSmallImage(join(home, "cache"), "debian");
  const layout = join(home, "layout");
  writeLayout(layout, {
    layers: [[{ path: "f", content: "x" }], [{ path: "g", content: "y" }]],
    history: [
      { created_by: "ADD  rootfs.tar /" },
      { created_by: "ENV A=1", empty_layer: true },
      { created_by: "RUN make" },
    ],
  });
  const env = { SMOLVM_HOME: home };
  await cli(["image", "pull", `oci:${layout}`], { env });
  const { text } = await cli(["image", "inspect", `oci:${layout}`], { env });
  expect(text).toMatch(
    /^LAYER +PACKED +MADE BY\nsha256:\w{12} +\d+\S* +ADD rootfs.tar \/\n +ENV A=1\nsha256:\w{12} .* RUN make$/m,
  );
});
