/**
 * What programs find in a sandbox's file system, against what they find in a Debian 12 that was booted as usual (systemd 252 and
 * udev): the modes, owners and mount options here were read off one.
 */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { SmolVM } from "../../src/index.ts";
import { BACKENDS, small } from "../helpers/backends.ts";
import { useTempHome } from "../helpers/home.ts";

useTempHome();

/** `stat -c '%a %U:%G %F'` there. */
const MODES: Readonly<Record<string, string>> = {
  "/": "755 root:root directory",
  "/run": "755 root:root directory",
  "/run/lock": "1777 root:root directory",
  "/tmp": "1777 root:root directory",
  "/var/tmp": "1777 root:root directory",
  "/root": "700 root:root directory",
  "/home": "755 root:root directory",
  "/dev": "755 root:root directory",
  "/dev/pts": "755 root:root directory",
  "/dev/pts/ptmx": "0 root:root character special file",
  "/dev/shm": "1777 root:root directory",
  "/dev/mqueue": "1777 root:root directory",
  "/dev/null": "666 root:root character special file",
  "/dev/zero": "666 root:root character special file",
  "/dev/full": "666 root:root character special file",
  "/dev/random": "666 root:root character special file",
  "/dev/urandom": "666 root:root character special file",
  "/dev/kmsg": "644 root:root character special file",
  "/proc": "555 root:root directory",
  "/sys": "555 root:root directory",
};

/** Their group there is tty, which says nothing where everybody may do everything. */
const OPEN_TO_ALL = ["/dev/tty", "/dev/ptmx"];

const LINKS: Readonly<Record<string, string>> = {
  "/dev/fd": "/proc/self/fd",
  "/dev/stdin": "/proc/self/fd/0",
  "/dev/stdout": "/proc/self/fd/1",
  "/dev/stderr": "/proc/self/fd/2",
  "/dev/core": "/proc/kcore",
  "/var/run": "/run",
  "/var/lock": "/run/lock",
};

/** File system and options of each mount there, less sizes and inode counts (a machine's own) and times of access. */
const MOUNTS: Readonly<Record<string, string>> = {
  "/dev": "devtmpfs rw,nosuid,mode=755",
  "/dev/pts": "devpts rw,nosuid,noexec,gid=5,mode=620,ptmxmode=000",
  "/dev/shm": "tmpfs rw,nosuid,nodev",
  "/dev/mqueue": "mqueue rw,nosuid,nodev,noexec",
  "/run": "tmpfs rw,nosuid,nodev,mode=755",
  "/run/lock": "tmpfs rw,nosuid,nodev,noexec",
  "/proc": "proc rw,nosuid,nodev,noexec", // and no hidepid
  "/sys": "sysfs rw,nosuid,nodev,noexec",
  "/sys/fs/cgroup": "cgroup2 rw,nosuid,nodev,noexec",
};
const OF_THE_MACHINE = /^(size=|nr_inodes=|inode64$|relatime$|noatime$|nsdelegate$|memory_recursiveprot$)/;

describe.each(BACKENDS)("a sandbox on %s has, as a booted Debian,", (backend) => {
  let vm: SmolVM;
  beforeAll(async () => {
    vm = await SmolVM.create(small(backend));
  });
  afterAll(async () => {
    await vm.delete({ force: true });
  });

  /** Standard output of a command that must succeed. */
  async function output(command: string | readonly string[]): Promise<string> {
    return (await vm.run(typeof command === "string" ? command : [...command], { check: true })).stdout;
  }

  test("directories and devices of the same modes and owners", async () => {
    const paths = Object.keys(MODES);
    const lines = (await output(["stat", "-c", "%a %U:%G %F", ...paths])).trimEnd().split("\n");
    expect(Object.fromEntries(paths.map((path, i) => [path, lines[i]]))).toEqual(MODES);
    expect(await output(["stat", "-c", "%a", ...OPEN_TO_ALL])).toBe("666\n666\n");
  });

  test("the same links", async () => {
    const links = await output(`for link in ${Object.keys(LINKS).join(" ")}; do readlink $link; done`);
    // Debian's images have some of them absolute, Alpine's relative.
    const absolute = links.replaceAll(/^(\.\.\/)+/gm, "/");
    expect(absolute.trimEnd().split("\n")).toEqual(Object.values(LINKS));
  });

  test("the same file systems, mounted with the same options, and all of them shared", async () => {
    const text = await output("cat /proc/self/mountinfo");
    const found: Record<string, string> = {};
    for (const line of text.trimEnd().split("\n")) {
      const [before = "", after = ""] = line.split(" - ");
      const [, , , , point = "", options = ""] = before.split(" ");
      const [kind, , ofTheKind = ""] = after.split(" ");
      const all = new Set(`${options},${ofTheKind}`.split(","));
      if (point in MOUNTS)
        found[point] = `${kind} ${[...all].filter((option) => !OF_THE_MACHINE.test(option)).join(",")}`;
      expect(before, point).toMatch(/ shared:\d+$/);
    }
    expect(found).toEqual(MOUNTS);
  });

  test("terminals that belong to their user and to the group tty, and standard streams that its user can open by name", async () => {
    const echo = "echo out >/dev/stdout; echo err >/dev/stderr; cat /dev/stdin";
    const run = await vm.run(echo, { user: "nobody", stdin: "in\n" });
    expect(run).toMatchObject({ stdout: "out\nin\n", stderr: "err\n" });

    const shown = vm.spawn('stat -c "%a %U:%G" $(tty)', {
      pty: { cols: 80, rows: 24 },
      user: "nobody",
    });
    let text = "";
    for await (const { data } of shown) text += Buffer.from(data).toString();
    expect(text.trim()).toBe("620 nobody:tty");
  });

  test("places where everybody may lock, and make files", async () => {
    const script =
      "for d in /run/lock /tmp /var/tmp /dev/shm; do (set -C; flock $d/l echo $d || echo no) ; done";
    expect(await output("true")).toBe("");
    const { stdout } = await vm.run(script, { user: "nobody" });
    expect(stdout).toBe("/run/lock\n/tmp\n/var/tmp\n/dev/shm\n");
  });
});

describe.each(BACKENDS)("the root of a sandbox on %s", (backend) => {
  let vm: SmolVM;
  beforeAll(async () => {
    vm = await SmolVM.create(small(backend, { diskSizeMib: 64 }));
  });
  afterAll(async () => {
    await vm.delete({ force: true });
  });

  test("lets directories of the image be renamed, by commands and by the library, and remembers it", async () => {
    // The same directory, and no copy of it, which mv makes where it may not rename.
    const moved = await vm.run("stat -c %i /usr/share; mv /usr/share /usr/moved; stat -c %i /usr/moved");
    const [inode, after] = moved.stdout.split("\n");
    expect([moved.stderr, after]).toEqual(["", inode]);
    await vm.files.rename("/opt", "/opt2");
    const before = (await vm.run("ls /usr/moved | wc -l; ls -d /usr/share /opt", {})).stdout;
    expect(Number(before)).toBeGreaterThan(5);
    await vm.files.rename("/usr/moved", "/usr/share");
    await vm.stop();
    await vm.start();
    expect((await vm.run("ls /usr/share | wc -l; ls -d /opt /opt2")).stdout).toBe(`${before}/opt2\n`);
  });

  test("copies no content of the image's files for a new mode or owner", async () => {
    const used = async () =>
      Number((await vm.run("sync; df -Pk / | awk 'NR == 2 {print $3}'", { check: true })).stdout);
    const big = (
      await vm.run("find /usr/bin /usr/lib -type f -size +3000k | head -1", { check: true })
    ).stdout.trim();
    const sum = (await vm.run(["sha256sum", big], { check: true })).stdout;
    const before = await used();
    await vm.run(["chmod", "700", big], { check: true });
    await vm.run(["chown", "nobody", big], { check: true });
    expect((await used()) - before).toBeLessThan(1024); // KiB
    expect((await vm.run(["stat", "-c", "%a %U", big])).stdout).toBe("700 nobody\n");
    await vm.run(`printf x | dd of='${big}' bs=1 conv=notrunc`, { check: true });
    expect((await vm.run(["sha256sum", big])).stdout).not.toBe(sum);
    expect((await used()) - before).toBeGreaterThan(3000);
  });

  test("is not where memory is: a rename between the two says what is so, and what to do", async () => {
    await vm.files.write("/tmp/here", "x");
    await expect(vm.files.rename("/tmp/here", "/dev/shm/there")).rejects.toMatchObject({
      code: "FILE_CROSS_DEVICE",
      message: expect.stringMatching(/different file systems/),
      hint: expect.stringMatching(/mv/),
    });
  });

  test("holds as many files as it has blocks, and says when it is full", async () => {
    const inodes = Number((await vm.run("stat -f -c %c /", { check: true })).stdout);
    expect(inodes).toBe((64 * 1024) / 4); // of 4 KiB
    await vm.run("fallocate -l 45M /large", { check: true });
    await expect(vm.files.write("/more", Buffer.alloc(10 * 2 ** 20))).rejects.toMatchObject({
      code: "NO_SPACE",
      message: expect.stringMatching(/: the sandbox's disk is full/),
      hint: expect.stringMatching(/diskSizeMib/),
    });
  });

  test("has file systems in memory beside it, which say of themselves that they are full, and of what", async () => {
    await vm.run("mkdir /small && mount -t tmpfs -o size=64k,nr_inodes=4 none /small", { check: true });
    await expect(vm.files.write("/small/large", Buffer.alloc(100_000))).rejects.toMatchObject({
      code: "NO_SPACE",
      message: expect.stringMatching(/in the sandbox's memory, is full/),
      hint: expect.stringMatching(/memSizeMib/),
    });
    for (const name of ["1", "2", "3"]) await vm.files.write(`/small/${name}`, "");
    await expect(vm.files.mkdir("/small/4")).rejects.toMatchObject({
      code: "NO_SPACE",
      message: expect.stringMatching(/in the sandbox's memory, has no room for more files/),
    });
  });
});
