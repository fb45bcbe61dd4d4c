import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { type InitrdOptions, prepareInitrd } from "../../../../src/images/kernel/initramfs.ts";
import type { KernelModule } from "../../../../src/images/store/image.ts";

let dir: string;
let modules: KernelModule[];
let options: InitrdOptions;

beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), "smt-initrd-"));
  modules = [
    ["virtio_ring"],
    ["virtio", "virtio_ring"],
    ["virtio_mmio", "virtio"],
    ["virtio_net", "virtio"],
    ["squashfs"],
  ].map(([name, ...depends]) => {
    const path = join(dir, `${name}.ko`);
    writeFileSync(path, `module ${name}`);
    const sha256 = createHash("sha256").update(`module ${name}`).digest("hex");
    return { name: name!, path, sha256, depends };
  });
  options = {
    machine: "microvm",
    nic: false,
    rootfsFormat: "squashfs",
    overlay: true,
    agentPath: join(dir, "agent"),
  };
  writeFileSync(options.agentPath, "the agent");
});
afterEach(() => rmSync(dir, { recursive: true, force: true }));

const prepare = (change: Partial<InitrdOptions> = {}): Promise<string> =>
  prepareInitrd({ cacheDir: dir }, modules, { ...options, ...change });

test("an initramfs is an archive that cpio reads, with agent and modules as they are", async () => {
  const path = await prepare();
  const unpacked = join(dir, "unpacked");
  mkdirSync(unpacked);
  // the device node is left out: an ordinary user may not make it
  execFileSync("sh", ["-c", 'busybox cpio -id init "modules/*" < "$1"', "sh", path], {
    cwd: unpacked,
    stdio: "pipe",
  });
  expect(readFileSync(join(unpacked, "init"), "utf8")).toBe("the agent");
  expect(readFileSync(join(unpacked, "modules/order"), "utf8").split("\n")).toEqual([
    "virtio_ring.ko",
    "virtio.ko",
    "virtio_mmio.ko",
    "squashfs.ko",
    "",
  ]);
  expect(readFileSync(join(unpacked, "modules/virtio.ko"), "utf8")).toBe("module virtio");
});

test("an initramfs is made once, and anew for another agent, network card or module", async () => {
  const first = await prepare();
  expect(await prepare()).toBe(first);
  const withNic = await prepare({ nic: true });
  writeFileSync(options.agentPath, "a newer agent");
  const newer = await prepare();
  expect(new Set([first, withNic, newer]).size).toBe(3);
  writeFileSync(options.agentPath, "the agent");
  expect(await prepare()).toBe(first);
  expect(readdirSync(join(dir, "initrd"))).toHaveLength(3);
});

test("many at once make the same initramfs, and leave no half one", async () => {
  const paths = await Promise.all(Array.from({ length: 8 }, () => prepare()));
  expect(new Set(paths).size).toBe(1);
  expect(readdirSync(join(dir, "initrd"))).toHaveLength(1);
});

test("a missing agent is told with the command that builds it", async () => {
  await expect(prepare({ agentPath: join(dir, "agent-x") })).rejects.toMatchObject({
    code: "DEPENDENCY_MISSING",
    message: "the guest agent 'agent-x' is not built",
    hint: expect.stringContaining("npm run build:native"),
  });
});

test("a module that was changed or lost is told, and nothing is made", async () => {
  writeFileSync(modules[0]!.path, "something else");
  await expect(prepare()).rejects.toMatchObject({ code: "IMAGE_INVALID" });
  rmSync(modules[0]!.path);
  await expect(prepare()).rejects.toMatchObject({ code: "IMAGE_INVALID" });
  expect(existsSync(join(dir, "initrd"))).toBe(false);
});
