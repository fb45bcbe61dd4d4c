import { execFileSync } from "node:child_process";
import {
  chmodSync,
  closeSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  readSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { processPaths } from "../../src/host/files/paths.ts";
import { findImage } from "../../src/images/boot/find.ts";
import { SmolVM } from "../../src/index.ts";
import { ARCH, BACKENDS, hasSlirp, small } from "../helpers/backends.ts";
import { useTempHome } from "../helpers/home.ts";
import { until } from "../helpers/wait.ts";

const home = useTempHome();

const directory: string = mkdtempSync(join(tmpdir(), "smolvm-drives-"));
afterAll(() => rmSync(directory, { recursive: true }));
let count = 0;

/** An empty disk image. */
function image(mib = 4): string {
  const path = join(directory, `disk-${count++}.img`);
  writeFileSync(path, "");
  truncateSync(path, mib * 2 ** 20);
  return path;
}

function head(path: string, bytes: number): string {
  const file = openSync(path, "r");
  const buffer = Buffer.alloc(bytes);
  readSync(file, buffer, 0, bytes, 0);
  closeSync(file);
  return buffer.toString();
}

const DRIVE = "/dev/disk/by-id/virtio-extra-";

describe.each(BACKENDS)("drives on %s", (backend) => {
  afterEach(async () => {
    for (const { name } of await SmolVM.list()) await (await SmolVM.get(name)).delete({ force: true });
  });

  test("are found by their order, and hold what the guest writes after it is gone", async () => {
    const first = image();
    const second = image(8);
    {
      await using vm = await SmolVM.create(
        small(backend, { extraDrives: [{ path: first }, { path: second }] }),
      );
      const sizes = await vm.run(`for i in 0 1; do blockdev --getsize64 ${DRIVE}$i; done`);
      expect(sizes.stdout).toBe(`${4 << 20}\n${8 << 20}\n`);
      await vm.run(`echo first > ${DRIVE}0; echo second > ${DRIVE}1; sync`, { check: true });
      expect((await vm.info()).drives).toEqual([
        { path: first, readOnly: false, device: `${DRIVE}0` },
        { path: second, readOnly: false, device: `${DRIVE}1` },
      ]);
    }
    expect(head(first, 6)).toBe("first\n");
    expect(head(second, 7)).toBe("second\n");
    expect(statSync(first).size).toBe(4 << 20);
  });

  test("that are read-only can be had by several at once, and not be written", async () => {
    const path = image();
    writeFileSync(path, "shared", { flag: "r+" });
    const options = small(backend, { extraDrives: [{ path, readOnly: true }] });
    await using one = await SmolVM.create(options);
    await using two = await SmolVM.create(options);
    for (const vm of [one, two]) {
      expect((await vm.run(`head -c 6 ${DRIVE}0`)).stdout).toBe("shared");
      expect((await vm.run(`echo other > ${DRIVE}0`)).ok).toBe(false);
    }
    expect(head(path, 6)).toBe("shared");
  });

  test("that are written are one running sandbox's, under whatever name, until it stops or its machine dies", async () => {
    const path = image();
    const link = join(directory, "link.img");
    symlinkSync(path, link);
    const name = "writer";
    const writer = await SmolVM.create(small(backend, { name, extraDrives: [{ path }] }));
    const inUse = { code: "DISK_IN_USE", hint: "Stop it first: smolvm stop writer" };
    for (const drive of [{ path: link }, { path, readOnly: true }]) {
      const other = new SmolVM(small(backend, { extraDrives: [drive] }));
      await expect(other.start()).rejects.toMatchObject(inUse);
      await other.delete();
    }
    const waiting = await SmolVM.define(small(backend, { name: "waiting", extraDrives: [{ path: link }] }));
    await expect(waiting.start()).rejects.toMatchObject(inUse);
    await writer.run(`echo stopped > ${DRIVE}0; sync`);
    await writer.stop();
    await waiting.start();
    expect((await waiting.run(`head -n 1 ${DRIVE}0`)).stdout).toBe("stopped\n");
    await expect(writer.start()).rejects.toMatchObject({ hint: "Stop it first: smolvm stop waiting" });
    process.kill((await waiting.info()).pid!, "SIGKILL");
    await until("its machine has died", async () => (await waiting.info()).state === "error");
    await writer.start();
    expect((await writer.run(`head -n 1 ${DRIVE}0`)).stdout).toBe("stopped\n");
  });

  test("of which two want the same one at the same moment go to one of them", async () => {
    const path = image();
    const vms = await Promise.all(
      ["a", "b"].map((name) => SmolVM.define(small(backend, { name, extraDrives: [{ path }] }))),
    );
    const outcomes = await Promise.allSettled(vms.map((vm) => vm.start()));
    expect(outcomes.map(({ status }) => status).sort()).toEqual(["fulfilled", "rejected"]);
    expect(outcomes.find(({ status }) => status === "rejected")).toMatchObject({
      reason: { code: "DISK_IN_USE" },
    });
  });

  /** An image with an ext4 file system, and a file in it. */
  function ext4(): string {
    const path = image(16);
    const tree = mkdtempSync(join(directory, "tree-"));
    writeFileSync(join(tree, "file"), "from the host\n");
    execFileSync("mke2fs", ["-q", "-F", "-t", "ext4", "-d", tree, path]);
    return path;
  }

  test("are mounted where they are wanted, at each start, and left clean", async () => {
    const [data, tools] = [ext4(), join(directory, "tools.squashfs")];
    const { rootfsPath } = await findImage(processPaths(), "debian", ARCH);
    symlinkSync(rootfsPath, tools);
    const extraDrives = [
      { path: data, mountAt: "/srv/my data" },
      { path: tools, readOnly: true, mountAt: "/opt/tools" },
    ];
    await using vm = await SmolVM.create(
      small(backend, { extraDrives, workdir: "/srv/my data/work", user: "nobody" }),
    );
    const { stdout } = await vm.run(
      "pwd; cat ../file; ls -d /opt/tools/usr; id -un; touch made; touch /opt/tools/x",
    );
    expect(stdout).toBe("/srv/my data/work\nfrom the host\n/opt/tools/usr\nnobody\n");
    expect((await vm.info()).drives[0]).toMatchObject({ path: data, mountAt: "/srv/my data" });
    await vm.run("ls made && ! ls /opt/tools/x", { check: true });
    await vm.stop();
    execFileSync("e2fsck", ["-fn", data], { stdio: "pipe" });
    await vm.start();
    await vm.run("ls made", { check: true });
    await vm.stop();
    truncateSync(data, 0);
    truncateSync(data, 16 << 20);
    await expect(vm.start()).rejects.toMatchObject({ code: "IMAGE_INVALID" }); // told before anything boots
  });

  test("without a file system are not mounted, and the refusal says how to make one", async () => {
    const path = image();
    await expect(
      SmolVM.create(small(backend, { extraDrives: [{ path, mountAt: "/data" }] })),
    ).rejects.toMatchObject({
      code: "IMAGE_INVALID",
      message: `extraDrives: '${path}' cannot be mounted: it holds neither an ext4, squashfs nor erofs file system`,
      hint: expect.stringContaining(`mke2fs -t ext4 '${path}'`),
    });
    for (const mountAt of ["data", "/", "/..", 5])
      await expect(
        SmolVM.create(small(backend, { extraDrives: [{ path, mountAt: mountAt as string }] })),
      ).rejects.toMatchObject({ code: "CONFIG_INVALID" });
    const twice = [ext4(), ext4()].map((file) => ({ path: file, mountAt: "/data" }));
    await expect(SmolVM.create(small(backend, { extraDrives: twice }))).rejects.toMatchObject({
      code: "CONFIG_INVALID",
    });
  });

  test("can be as many as eight", async () => {
    const extraDrives = Array.from({ length: 8 }, () => ({ path: image(), readOnly: true }));
    // With a network card where that needs no set-up: some machines have few places for devices.
    const network = hasSlirp(backend) ? "open" : "off";
    await using vm = await SmolVM.create(small(backend, { extraDrives, network }));
    expect((await vm.run(`ls ${DRIVE}* | wc -l`)).stdout.trim()).toBe("8");
  });

  test("that are no raw disks are refused before anything is made", async () => {
    const qcow2 = image();
    writeFileSync(qcow2, Buffer.from("514649fb", "hex"), { flag: "r+" });
    const odd = image();
    writeFileSync(odd, "x", { flag: "a" });
    const empty = join(directory, "empty.img");
    writeFileSync(empty, "");
    const forbidden = image();
    chmodSync(forbidden, 0o444);
    for (const [path, refusal] of [
      [qcow2, { code: "IMAGE_INVALID", hint: `Convert it: qemu-img convert -O raw '${qcow2}' disk.img` }],
      [odd, { code: "IMAGE_INVALID", hint: `Make it larger: truncate -s %512 '${odd}'` }],
      [empty, { code: "IMAGE_INVALID", hint: `Make it larger: truncate -s 1G '${empty}'` }],
      [forbidden, { code: "FILE_PERMISSION", hint: expect.stringContaining(`chmod u+w '${forbidden}'`) }],
      [join(directory, "absent"), { code: "FILE_NOT_FOUND" }],
      [directory, { code: "FILE_TYPE" }],
      ["/dev/null", { code: "FILE_TYPE" }],
    ] as const) {
      const refused = SmolVM.create(small(backend, { extraDrives: [{ path }] }));
      await expect(refused, path).rejects.toMatchObject(refusal);
    }
    const twice = [{ path: image() }, { path: "" }];
    twice[1]!.path = join(directory, ".", twice[0]!.path.slice(directory.length + 1));
    await expect(SmolVM.create(small(backend, { extraDrives: twice }))).rejects.toMatchObject({
      code: "CONFIG_INVALID",
    });
    expect(await SmolVM.list()).toEqual([]);
  });
});

describe.each(BACKENDS)('diskMode "shared" on %s', (backend) => {
  let tree: string;
  beforeAll(async () => {
    const { rootfsPath } = await findImage(processPaths(), "minimal", ARCH);
    tree = join(directory, "tree");
    mkdirSync(tree);
    execFileSync("sh", ["-c", 'sqfs2tar "$1" | tar -x -C "$2"', "sh", rootfsPath, tree]);
  });
  afterEach(async () => {
    for (const { name } of await SmolVM.list()) await (await SmolVM.get(name)).delete({ force: true });
  });

  /** An image that boots, of the user's own. */
  function root(): string {
    const path = image(32);
    execFileSync("mke2fs", ["-q", "-F", "-t", "ext4", "-d", tree, path]);
    return path;
  }

  test("writes to the user's file itself: for the next boot, for the host, and after the sandbox is gone", async () => {
    const rootfsPath = root();
    const before = readdirSync(directory);
    const { ino } = statSync(rootfsPath);
    const vm = await SmolVM.create(small(backend, { rootfsPath, diskMode: "shared", name: "own" }));
    expect(await vm.info()).toMatchObject({ image: "custom", diskMode: "shared", diskSizeMib: 32 });
    expect((await vm.run("grep ' / ' /proc/mounts")).stdout).toMatch(/^\/dev\/vd\w \/ ext4 rw,/m);
    await vm.run("echo kept > /root/file", { check: true });
    await vm.stop();
    execFileSync("e2fsck", ["-fn", rootfsPath], { stdio: "pipe" }); // it was unmounted in order
    expect(execFileSync("debugfs", ["-R", "cat /root/file", rootfsPath], { stdio: "pipe" }).toString()).toBe(
      "kept\n",
    );
    await vm.start();
    expect((await vm.run("cat /root/file")).stdout).toBe("kept\n");
    expect(readdirSync(join(home, "data/smolvm/vms", vm.id)).filter((name) => name.endsWith(".img"))).toEqual(
      [],
    );
    await vm.delete({ force: true });
    expect(statSync(rootfsPath).ino).toBe(ino);
    expect(readdirSync(directory)).toEqual(before);
    // A machine that was killed leaves its journal to the next boot.
    await using next = await SmolVM.create(small(backend, { rootfsPath, diskMode: "shared" }));
    expect((await next.run("cat /root/file")).stdout).toBe("kept\n");
  });

  test("keeps the file from every other sandbox as long as this one exists", async () => {
    const rootfsPath = root();
    const vm = await SmolVM.create(small(backend, { rootfsPath, diskMode: "shared", name: "own" }));
    const others = [
      { rootfsPath, diskMode: "shared" },
      { rootfsPath },
      { extraDrives: [{ path: rootfsPath, readOnly: true }] },
    ] as const;
    for (const other of others)
      await expect(SmolVM.create(small(backend, other))).rejects.toMatchObject({ code: "DISK_IN_USE" });
    await vm.stop();
    for (const other of others) {
      await expect(SmolVM.create(small(backend, other))).rejects.toMatchObject({
        code: "DISK_IN_USE",
        hint: expect.stringContaining("smolvm rm own"),
      });
    }
    await vm.delete();
    expect((await SmolVM.list()).length).toBe(0);
    await using next = await SmolVM.create(small(backend, { rootfsPath }));
    await expect(
      SmolVM.create(small(backend, { rootfsPath, diskMode: "shared" })),
      "while another one reads it",
    ).rejects.toMatchObject({ code: "DISK_IN_USE", hint: `Stop it first: smolvm stop ${next.name}` });
  });

  test("is refused for what cannot be written", async () => {
    const { rootfsPath } = await findImage(processPaths(), "minimal", ARCH);
    const create = (path: string): Promise<SmolVM> =>
      SmolVM.create(small(backend, { rootfsPath: path, diskMode: "shared" }));
    await expect(create(rootfsPath)).rejects.toMatchObject({
      code: "IMAGE_INVALID",
      message: `the root file system '${rootfsPath}' is squashfs, which cannot be written`,
    });
    const readOnly = root();
    chmodSync(readOnly, 0o400);
    await expect(create(readOnly)).rejects.toMatchObject({ code: "FILE_PERMISSION" });
    expect(readFileSync(readOnly).length).toBe(32 << 20);
  });
});
