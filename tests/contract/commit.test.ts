import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { processPaths } from "../../src/host/files/paths.ts";
import { GO_ARCH } from "../../src/images/oci/platform.ts";
import { imageLayout } from "../../src/images/store/layout.ts";
import { readImage } from "../../src/images/store/store.ts";
import { SmolVM } from "../../src/index.ts";
import { ARCH, BACKENDS, small } from "../helpers/backends.ts";
import { BUSYBOX } from "../helpers/busybox.ts";
import { cli } from "../helpers/cli.ts";
import { forgetImage } from "../helpers/forget-image.ts";
import { useTempHome } from "../helpers/home.ts";
import { KILLED } from "../helpers/killed.ts";
import { type LayerEntry, writeLayout } from "../helpers/layers.ts";

useTempHome();

const LAYER: readonly LayerEntry[] = [
  { path: "./" },
  { path: "bin/" },
  { path: "bin/busybox", content: BUSYBOX, mode: 0o755 },
  { path: "bin/sh", type: "2", target: "busybox" },
  { path: "etc/" },
  { path: "etc/passwd", content: "root:x:0:0::/:/bin/sh\n" },
  { path: "f/" },
  { path: "f/gone", content: "lower" },
  { path: "f/changed", content: "lower", mtime: 1_234_567_890 },
  { path: "f/mode", content: Buffer.alloc(100_000, "m") },
  { path: "replaced/" },
  { path: "replaced/below", content: "lower" },
  { path: "moved/" },
  { path: "moved/in/" },
  { path: "moved/in/it", content: "lower" },
  { path: "moved/link", type: "2", target: "in/it" },
  { path: "becomes-directory", content: "file" },
];

const CHANGE = String.raw`
set -e
export PATH=/bin; for each in rm mkdir mv chmod chown ln mknod mkfifo cp head cat touch; do eval "$each() { busybox $each \"\$@\"; }"; done
rm /f/gone
echo more >> /f/changed
chmod 4711 /f/mode
rm -r /replaced && mkdir /replaced && echo new > /replaced/own
mv /moved /elsewhere && echo new > /elsewhere/in/own && rm /elsewhere/link
rm /becomes-directory && mkdir /becomes-directory && echo x > /becomes-directory/x
mkdir -p /new/deep && echo one > /new/deep/one && ln /new/deep/one /new/again && ln -s ../deep/one /new/deep/link
chown 3000000:70000 /new/deep/one && touch -d '2001-02-03 04:05:06' /new/deep/one
mknod /new/device c 259 70000 && mkfifo /new/fifo
head -c 300000 /dev/urandom > /new/large
: > /new/empty
echo long > "/new/$(busybox printf '%0200d' 7)" && echo bytes > "/new/$(busybox printf '\377')"
mkdir /new/many && for i in $(busybox seq 40); do echo $i > /new/many/$i; done
echo of-this-sandbox >> /etc/hosts; echo kept > /etc/kept
`;

/** All that there is, but for what is of the sandbox itself, and times of directories. */
const LIST = `
export PATH=/bin
busybox find / -xdev ! -path '/etc/host*' ! -path '/etc/resolv.conf' ! -path '/etc/machine-id' | busybox sort | while read -r path; do
  if [ -d "$path" ]; then busybox stat -c '%n %F %a %u:%g' "$path"; else busybox stat -c '%n %F %a %u:%g %h %s %Y %t:%T %N' "$path"; fi
  if [ -f "$path" ] && [ ! -L "$path" ]; then busybox md5sum < "$path"; fi
done`;

let directory: string;
const names: string[] = [
  "committed",
  "committed-again",
  "committed-stopped",
  "committed-moment",
  "committed-killed",
  "committed-at-home",
  "committed-for-others",
];
let base: string;
beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), "smolvm-commit-"));
  writeLayout(directory, {
    layers: [LAYER],
    architecture: GO_ARCH[ARCH],
    config: { Env: ["PATH=/bin", "A=image"], Cmd: ["sh"], Labels: { kept: "yes" } },
  });
  base = `oci:${directory}`;
  names.push(base);
});
afterAll(async () => {
  // The cache is the user's: what was put into it goes, layers and all.
  const paths = processPaths();
  for (const name of names) await forgetImage(paths, name, ARCH);
  rmSync(directory, { recursive: true, force: true });
});

const lines = async (vm: SmolVM): Promise<string[]> =>
  (await vm.run(["busybox", "sh", "-c", LIST], { check: true, env: { PATH: "/bin" } })).stdout.split("\n");

// What is in the image is this machine's busybox.
describe.skipIf(ARCH !== "x86_64").each(BACKENDS)("an image made of a sandbox on %s", (backend) => {
  test("has what its disk had, whatever was done to it, and is one with any other image", async () => {
    await using vm = await SmolVM.create(small(backend, { image: base, env: { OF: "the sandbox" } }));
    await vm.run(CHANGE, { check: true });
    const before = await lines(vm);
    const made = await vm.commit("committed", {
      config: { env: { A: "changed", B: "new" }, cmd: ["busybox", "echo", "hi"], labels: { other: "1" } },
      changes: ["EXPOSE 80", "ENV C=$B"],
    });
    await expect(vm.commit("committed", { changes: ["RUN true"] })).rejects.toMatchObject({
      code: "CONFIG_INVALID",
    });
    expect(made.name).toBe("committed");
    expect((await vm.run("busybox echo goes on")).stdout).toBe("goes on\n");
    await using again = await SmolVM.create(small(backend, { image: "committed" }));
    expect(await lines(again)).toEqual(before);
    expect(await again.files.readText("/etc/hosts")).not.toContain("of-this-sandbox");
    const env = (await again.run(["busybox", "env"])).stdout;
    expect(env).toContain("A=changed");
    expect(env).toContain("B=new");
    expect(env).toContain("C=new");
    expect(env).not.toContain("OF=");
    const { image } = (await readImage(processPaths(), "committed", ARCH))!;
    expect(image.origin).toMatchObject({
      made: "commit",
      manifest: made.digest,
      config: { cmd: ["busybox", "echo", "hi"], labels: { kept: "yes", other: "1" } },
    });
    expect(image.origin!.layers).toHaveLength(2);
    // What others make of it is the same: it is saved, and unpacked again.
    const layout = join(directory, "out");
    expect((await cli(["image", "save", "committed", `oci:${layout}:1`])).code).toBe(0);
    names.push(`oci:${layout}:1`);
    await using back = await SmolVM.create(small(backend, { image: `oci:${layout}:1` }));
    expect(await lines(back)).toEqual(before);
    // One over one that was made so.
    await again.run("busybox rm -r /new/many /elsewhere", { check: true });
    await again.commit("committed-again");
    await using third = await SmolVM.create(small(backend, { image: "committed-again" }));
    expect(await lines(third)).toEqual(await lines(again));
  });

  test("over an image of ours has its commands where they were: in root's home", async () => {
    await using vm = await SmolVM.create(small(backend, { image: "minimal", pull: "missing" }));
    await vm.run("echo here > found", { check: true });
    await vm.commit("committed-at-home");
    await vm.commit("committed-for-others", { config: { user: "nobody" } });
    await using again = await SmolVM.create(small(backend, { image: "committed-at-home" }));
    expect((await again.run("pwd; cat found")).stdout).toBe("/root\nhere\n");
    await using others = await SmolVM.create(small(backend, { image: "committed-for-others" }));
    expect((await others.run("pwd")).stdout).toBe("/\n");
  });

  test("is of one moment, while what runs goes on; of one that is down, too", async () => {
    await using vm = await SmolVM.create(small(backend, { image: base, lifetime: "detached" }));
    try {
      const writer = vm.spawn(
        "i=0; while :; do i=$((i+1)); for f in a b; do echo $i > /$f.n; busybox mv /$f.n /$f; done; if [ $((i % 20)) = 0 ]; then busybox rm -rf /d; busybox mkdir /d; echo $i > /d/$i; fi; done",
      );
      await expect.poll(() => vm.files.exists("/d"), { timeout: 20_000 }).toBe(true);
      await vm.commit("committed-moment");
      const at = Number(await vm.files.readText("/a"));
      await expect
        .poll(async () => Number(await vm.files.readText("/a").catch(() => "0")), { timeout: 20_000 })
        .toBeGreaterThan(at);
      await writer.kill("SIGKILL");
      await writer.wait();
      await using one = await SmolVM.create(small(backend, { image: "committed-moment" }));
      const [a, b] = [await one.files.readText("/a"), await one.files.readText("/b")].map(Number);
      expect([a, a! - 1]).toContain(b);
      await vm.run("echo down > /down", { check: true });
      await vm.stop();
      await vm.commit("committed-stopped");
      expect((await vm.info()).state).toBe("stopped");
      await using down = await SmolVM.create(small(backend, { image: "committed-stopped" }));
      expect(await down.files.readText("/down")).toBe("down\n");
      expect((await SmolVM.list()).map(({ name }) => name)).not.toContainEqual(
        expect.stringMatching(/^commit-/),
      );
    } finally {
      await vm.delete({ force: true });
    }
  });

  const places = ["after hold", "layer made", "before compose", "pull unpacked"];
  test("that is killed leaves its sandbox as it was, and what gc removes; the next one is made", async () => {
    const vm = await SmolVM.create(small(backend, { image: base, lifetime: "detached", name: "kept-on" }));
    try {
      await vm.run("echo kept > /kept", { check: true });
      const counts = vm.spawn("i=0; while :; do i=$((i+1)); echo $i > /count; done");
      await counts.started;
      const commit = ["commit", "kept-on", "committed-killed"];
      for (const place of places) {
        expect(await cli(commit, { env: { SMOLVM_FAILPOINT: place } }), place).toMatchObject(KILLED);
        await SmolVM.gc();
        expect((await vm.info()).state).toBe("running");
        const before = await vm.files.readText("/count");
        await expect.poll(() => vm.files.readText("/count"), { timeout: 20_000 }).not.toBe(before);
        expect((await SmolVM.list()).map(({ name }) => name)).toEqual(["kept-on"]);
        expect(await readImage(processPaths(), "committed-killed", ARCH)).toBeUndefined();
        const { blobs, work } = imageLayout(processPaths());
        expect(readdirSync(blobs).filter((name) => name.endsWith(".tmp"))).toEqual([]);
        expect(readdirSync(work)).toEqual([]);
      }
      expect(await cli(commit)).toMatchObject({ code: 0 });
      await using again = await SmolVM.create(small(backend, { image: "committed-killed" }));
      expect(await again.files.readText("/kept")).toBe("kept\n");
    } finally {
      await vm.delete({ force: true });
    }
  });
});
