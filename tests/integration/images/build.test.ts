import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { afterAll, describe, expect, test } from "vitest";
import { buildImage } from "../../../src/images/build.ts";
import { MINIMAL_COMMANDS } from "../../../src/images/rootfs/minimal.ts";
import { imageLayout } from "../../../src/images/store/layout.ts";
import { inspectImage, listImages } from "../../../src/images/store/store.ts";
import { Deadline } from "../../../src/util/deadline.ts";
import { scaled } from "../../helpers/speed.ts";

const CHILD = join(import.meta.dirname, "../../helpers/image-child.ts");
const cacheDir = mkdtempSync(join(tmpdir(), "smt-build-"));
const dirs = { cacheDir };
const layout = imageLayout(dirs);
afterAll(() => rmSync(cacheDir, { recursive: true, force: true }));

const within = (ms: number): Deadline => Deadline.of("building", { timeoutMs: scaled(ms) });

/** Another process that builds the image; what it printed. */
async function buildElsewhere(arch: string): Promise<{ built: boolean; digest: string; stages: string[] }> {
  const child = spawn(process.execPath, [CHILD, "build", cacheDir, "minimal", arch], {
    stdio: ["ignore", "pipe", "pipe"],
  });
  const [stdout, stderr] = await Promise.all([text(child.stdout), text(child.stderr), once(child, "exit")]);
  return { ...(JSON.parse(stdout) as { built: boolean; digest: string }), stages: stderr.trim().split("\n") };
}

// Real packages from a Debian mirror, as a user gets them; in this order, because a build takes its time.
describe("building an image", { timeout: scaled(600_000) }, () => {
  test("happens once when two processes want the same at once; the other waits and uses it", async () => {
    // what a build that was killed left behind
    mkdirSync(join(layout.work, "0123456789abcdef"), { recursive: true });
    writeFileSync(join(layout.work, "0123456789abcdef", "half"), "x");
    writeFileSync(layout.buildLock, JSON.stringify({ pid: 1, startTime: "0", bootId: "another" }));

    const results = await Promise.all([buildElsewhere("aarch64"), buildElsewhere("aarch64")]);
    expect(results.map(({ built }) => built).sort()).toEqual([false, true]);
    expect(results[0].digest).toBe(results[1].digest);
    expect(results.find(({ built }) => !built)?.stages).toEqual(["wait"]);
    expect(results.find(({ built }) => built)?.stages).toEqual(
      expect.arrayContaining(["packages", "kernel", "rootfs", "disk", "store"]),
    );
    expect(readdirSync(layout.work)).toEqual([]);
    expect(existsSync(layout.buildLock)).toBe(false);
    expect(await listImages(dirs)).toHaveLength(1);
  });

  test("gives files that are what the manifest says, packages with versions, and busybox with every command", async () => {
    const { manifest, image, verified } = await inspectImage(dirs, "minimal", "aarch64", { verify: true });
    expect(verified).toBe(true);
    const version = expect.stringMatching(/^1:\d/);
    expect(manifest.packages).toEqual([
      { name: "busybox-static", version, source: { name: "busybox", version } },
    ]);
    expect(manifest.kernel.packageName).toBe(`linux-image-${image.kernelVersion}`);
    const listing = execFileSync("rdsquashfs", ["--describe", image.rootfsPath], { encoding: "utf8" });
    const lines = listing.trim().split("\n");
    for (const command of MINIMAL_COMMANDS.filter((name) => name !== "busybox")) {
      expect(lines).toContain(`slink usr/bin/${command} 0777 0 0 busybox`);
    }
    for (const line of lines) expect(line).toMatch(/^(file|dir|slink) \S+ \d+ 0 0( \S+)?$/);
  });

  test("again does nothing, and by force gives the same bytes", async () => {
    const first = await buildImage(dirs, "minimal", { arch: "aarch64", deadline: within(60_000) });
    expect(first.built).toBe(false);
    const again = await buildImage(dirs, "minimal", {
      arch: "aarch64",
      deadline: within(300_000),
      force: true,
    });
    expect(again.built).toBe(true);
    expect(again.image.digest).toBe(first.image.digest);
  });

  test("that is aborted stops, and leaves the store as it was", async () => {
    const abort = new AbortController();
    const building = buildImage(dirs, "minimal", {
      arch: "x86_64",
      deadline: Deadline.of("building", { signal: abort.signal }),
      onProgress: ({ stage }) => {
        if (stage === "kernel") abort.abort();
      },
    });
    await expect(building).rejects.toMatchObject({ code: "ABORTED" });
    expect(readdirSync(layout.work)).toEqual([]);
    expect(existsSync(layout.buildLock)).toBe(false);
    expect((await listImages(dirs)).map(({ arch }) => arch)).toEqual(["aarch64"]);
  });

  test("from a mirror that does not answer says so, with what to do", async () => {
    const building = buildImage(dirs, "minimal", {
      arch: "x86_64",
      deadline: within(120_000),
      mirror: "http://127.0.0.1:9/debian", // the discard port: nothing listens
    });
    await expect(building).rejects.toMatchObject({
      code: "IMAGE_BUILD_FAILED",
      message: expect.stringContaining("apt-get"),
      hint: expect.stringContaining("mirror"),
    });
    expect(readdirSync(layout.work)).toEqual([]);
  });
});
