import { chmodSync, chownSync, mkdtempSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { imageLayout } from "../../../../src/images/store/layout.ts";
import {
  findByRecipe,
  inspectImage,
  listImages,
  readImage,
  removeImage,
  shareImage,
  unshareImage,
} from "../../../../src/images/store/store.ts";
import { tagImage } from "../../../../src/images/store/tag.ts";
import { imagesUsage } from "../../../../src/images/store/usage.ts";
import { Deadline } from "../../../../src/util/deadline.ts";
import { cli } from "../../../helpers/cli.ts";
import { addSmallImage } from "../../../helpers/small-image.ts";

let home: string;
beforeEach(() => {
  home = mkdtempSync(join(tmpdir(), "smt-shared-"));
});
afterEach(() => rmSync(home, { recursive: true, force: true }));

const ARCH = "x86_64";
const dirs = (user: string) => ({ cacheDir: join(home, user, "cache"), sharedDir: join(home, "machine") });
const deadline = (): Deadline => Deadline.of("testing", { timeoutMs: 60_000 });
const share = (name: string) => shareImage(dirs("root"), name, ARCH, deadline());

describe("an image for all users", () => {
  test("stands behind each user's own, and is not theirs to change", async () => {
    await addSmallImage(dirs("root").cacheDir, "debian", "the machine's");
    const shared = await share("debian");
    const found = await readImage(dirs("ann"), "debian", ARCH);
    expect(found?.image).toMatchObject({ name: "debian", shared: true, digest: shared.digest });
    expect(found!.image.rootfsPath.startsWith(join(home, "machine", "images"))).toBe(true);
    expect((await inspectImage(dirs("ann"), "debian", ARCH, { verify: true })).verified).toBe(true);
    expect((await findByRecipe(dirs("ann"), "test", ARCH))?.image.shared).toBe(true);
    await expect(removeImage(dirs("ann"), "debian", ARCH, () => [])).rejects.toMatchObject({
      code: "CONFIG_INVALID",
      hint: "Root takes it from them: sudo smolvm image rm --shared debian",
    });
    // A name of one's own for it, and an image of one's own of its name.
    await tagImage(dirs("ann"), "debian", "mine", ARCH);
    const own = await addSmallImage(dirs("ann").cacheDir, "debian", "ann's");
    expect((await listImages(dirs("ann"))).map(({ name, shared: all }) => [name, all])).toEqual([
      ["debian", false],
      ["mine", true],
    ]);
    await removeImage(dirs("ann"), "mine", ARCH, () => []);
    await removeImage(dirs("ann"), "debian", ARCH, () => []);
    expect((await readImage(dirs("ann"), "debian", ARCH))?.image.digest).not.toBe(own.image.digest);
  });

  test("can be read by everybody", async () => {
    await addSmallImage(dirs("root").cacheDir, "debian");
    const { directory, digest, rootfsPath } = await share("debian");
    const layout = imageLayout({ cacheDir: join(home, "machine") });
    for (const path of [layout.root, layout.images, layout.refs, directory, join(directory, "seeds")])
      expect(statSync(path).mode & 0o777).toBe(0o755);
    for (const path of [rootfsPath, layout.ref("debian", ARCH), join(layout.image(digest), "manifest.json")])
      expect(statSync(path).mode & 0o777).toBe(0o644);
  });

  test.each<[string, (rootfs: string, directory: string) => void]>([
    ["others may write", (rootfs) => chmodSync(rootfs, 0o666)],
    ["is in a directory that others may write", (_, directory) => chmodSync(directory, 0o777)],
    ["is not as large as it was", (rootfs) => writeFileSync(rootfs, "short")],
    ["is missing", (rootfs) => rmSync(rootfs)],
  ])("of which a file %s is refused, and left out of lists", async (_, change) => {
    await addSmallImage(dirs("root").cacheDir, "debian");
    const { rootfsPath, directory } = await share("debian");
    change(rootfsPath, directory);
    await expect(readImage(dirs("ann"), "debian", ARCH)).rejects.toMatchObject({
      code: "IMAGE_INVALID",
      message: expect.stringContaining("the image for all users is not used"),
    });
    expect(await listImages(dirs("ann"))).toEqual([]);
  });

  const isRoot = process.getuid?.() === 0;
  test.runIf(isRoot)("that belongs to another user than root is refused", async () => {
    await addSmallImage(dirs("root").cacheDir, "debian");
    chownSync((await share("debian")).rootfsPath, 1234, 0);
    await expect(readImage(dirs("ann"), "debian", ARCH)).rejects.toMatchObject({ code: "IMAGE_INVALID" });
  });

  test("goes when root says so, but not while a sandbox runs on it", async () => {
    await addSmallImage(dirs("root").cacheDir, "debian");
    const { rootfsPath, directory } = await share("debian");
    const { spawn } = await import("node:child_process");
    const user = spawn("sh", ["-c", 'exec 3<"$0"; echo; exec sleep 60', rootfsPath]);
    try {
      await new Promise((resolve) => user.stdout.once("data", resolve));
      await expect(unshareImage(dirs("root"), "debian", ARCH)).rejects.toMatchObject({
        code: "IMAGE_IN_USE",
        details: { usedBy: expect.arrayContaining([expect.stringContaining(`process ${user.pid} (uid `)]) },
      });
    } finally {
      user.kill();
      await new Promise((resolve) => user.once("exit", resolve));
    }
    await expect
      .poll(() => unshareImage(dirs("root"), "debian", ARCH).then(() => "gone", String))
      .toBe("gone");
    expect(() => statSync(directory)).toThrow();
    expect(await readImage(dirs("ann"), "debian", ARCH)).toBeUndefined();
    expect((await readImage(dirs("root"), "debian", ARCH))?.image.shared).toBe(false);
  });

  test("is given and taken by the command line, and shown whose it is", async () => {
    const env = { SMOLVM_HOME: join(home, "root"), SMOLVM_SHARED_DIR: join(home, "machine") };
    await addSmallImage(join(home, "root", "cache"), "debian");
    const run = (home_: string, ...args: string[]) =>
      cli(args, { env: { ...env, SMOLVM_HOME: join(home, home_) } });
    expect((await run("root", "image", "share", "debian")).text).toBe("debian\n");
    expect((await run("ann", "image", "ls")).text).toMatch(/^debian .* all users'/m);
    expect((await run("ann", "image", "inspect", "debian")).text).toContain("all users' of this machine");
    const refused = await run("ann", "image", "rm", "debian");
    expect(refused.stderr).toContain("sudo smolvm image rm --shared debian");
    expect((await run("root", "image", "rm", "--shared", "debian")).text).toBe("debian\n");
    expect(JSON.parse((await run("ann", "image", "ls", "--json")).text).data).toEqual([]);
  });
});

test("what images take of the disk, and what of it they share, is counted by files and not by names", async () => {
  const { cacheDir } = dirs("root");
  const one = await addSmallImage(cacheDir, "one", "one");
  const two = await addSmallImage(cacheDir, "two", "two");
  rmSync(two.image.kernelPath);
  const { linkSync } = await import("node:fs");
  linkSync(one.image.kernelPath, two.image.kernelPath);
  const usage = await imagesUsage({ cacheDir });
  const kernel = statSync(one.image.kernelPath).blocks * 512;
  expect(usage.get(one.image.digest)?.sharedBytes).toBe(kernel);
  expect(usage.get(two.image.digest)?.sharedBytes).toBe(kernel);
  expect(usage.get(one.image.digest)!.diskBytes).toBeGreaterThan(kernel);
});
