import { execFileSync, spawnSync } from "node:child_process";
import {
  appendFileSync,
  chmodSync,
  cpSync,
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  realpathSync,
  renameSync,
  rmdirSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { BACKEND_FEATURES } from "../../src/backends/features.ts";
import type { BackendName } from "../../src/config/spec.ts";
import { SmolVM } from "../../src/index.ts";
import { BACKENDS, small } from "../helpers/backends.ts";
import { useTempHome } from "../helpers/home.ts";
import { shellOf } from "../helpers/shell-of.ts";
import { SPEED_FACTOR } from "../helpers/speed.ts";
import { until } from "../helpers/wait.ts";

const home = useTempHome();

/** What POSIX programs do with files, told in one line each. */
const POSIX = `
import fcntl, mmap, os, stat, sys, time
os.chdir("/rw")
def say(*words): print(*words)
open("a", "w").write("one")
open("b", "w").write("two")
os.rename("b", "a"); say("rename over", open("a").read(), os.path.exists("b"))
f = open("gone", "w+"); f.write("kept"); f.flush(); os.unlink("gone"); f.seek(0); say("unlinked and open", f.read(), os.fstat(f.fileno()).st_size); f.close()
with open("log", "a") as f: f.write("x" * 10)
with open("log", "a") as f: f.write("y")
say("append", open("log").read()[-2:], os.path.getsize("log"))
os.truncate("log", 3); say("truncate", open("log").read())
os.link("log", "log2"); say("hard link", os.stat("log").st_nlink, os.stat("log").st_ino == os.stat("log2").st_ino)
os.symlink("../somewhere", "link"); say("symlink", os.readlink("link"), stat.S_ISLNK(os.lstat("link").st_mode))
fd = os.open("map", os.O_RDWR | os.O_CREAT); os.truncate(fd, 8192)
m = mmap.mmap(fd, 8192); m[4096:4101] = b"mmap!"; m.flush(); m.close(); os.close(fd)
say("mmap", open("map", "rb").read()[4096:4101])
fd = os.open("sparse", os.O_RDWR | os.O_CREAT); os.pwrite(fd, b"end", 1 << 30); reader = os.open("sparse", os.O_RDONLY); say("sparse", os.fstat(fd).st_size, os.fstat(fd).st_blocks < 1024)
m = mmap.mmap(fd, 1 << 20); m[500000] = 1; say("in a mapping", os.lseek(reader, 0, os.SEEK_DATA) <= 500000); m.close()
os.close(fd); say("holes", 4096 < os.lseek(reader, 0, os.SEEK_DATA) <= 500000, os.lseek(reader, 600000, os.SEEK_DATA) >= 1 << 29, os.pread(reader, 1, 500000)); os.close(reader)
fd = os.open("sparse", os.O_RDWR); os.posix_fallocate(fd, 0, 65536); say("fallocate", os.fstat(fd).st_blocks * 512 >= 65536); os.close(fd)
try: os.setxattr("a", "user.tag", b"value"); say("xattr", os.getxattr("a", "user.tag"), os.listxattr("a"))
except OSError as e: say("xattr", e.errno)
os.utime("a", ns=(1234567890123456789, 1234567891987654321)); say("times", os.stat("a").st_mtime_ns)
os.chmod("a", 0o640); say("mode", oct(os.stat("a").st_mode & 0o7777))
say("owner", os.stat("a").st_uid, os.stat("a").st_gid)
fd1 = os.open("lock", os.O_RDWR | os.O_CREAT); fd2 = os.open("lock", os.O_RDWR)
fcntl.flock(fd1, fcntl.LOCK_EX)
try: fcntl.flock(fd2, fcntl.LOCK_EX | fcntl.LOCK_NB); say("flock", "twice")
except BlockingIOError: say("flock", "once")
s = os.statvfs("."); say("statfs", s.f_blocks > 0 and s.f_bavail <= s.f_blocks)
os.mkdir(b"odd \\xff\\n"); say("odd name", os.listdir(os.fsencode("/rw")).count(b"odd \\xff\\n")); os.rmdir(b"odd \\xff\\n")
os.mkdir("d"); open("d/x", "w").close()
try: os.rmdir("d")
except OSError as e: say("not empty", e.errno)
try: os.mknod("fifo", stat.S_IFIFO | 0o600)
except OSError as e: say("fifo", e.errno)
try: os.mknod("dev", stat.S_IFCHR | 0o600, os.makedev(1, 3))
except OSError as e: say("device", e.errno)
os.chmod("a", 0o4755); say("set-uid", oct(os.stat("a").st_mode & 0o7000))
try: os.chown("a", 1234, 1234)
except OSError as e: say("chown", e.errno)
`;

/** Waits until inotify tells of a change of a file. */
const WATCH_FILE = `
import ctypes, os, struct, sys
libc = ctypes.CDLL(None)
fd = libc.inotify_init1(0)
libc.inotify_add_watch(fd, sys.argv[1].encode(), 0x2)
print("watching")
os.read(fd, 4096)
print("changed")
`;

describe.each(BACKENDS)("directories of the host on %s", (backend) => {
  let vm: SmolVM;
  let dir: string;
  const host = (...names: string[]): string => join(dir, ...names);
  const sh = shellOf(() => vm);

  beforeAll(async () => {
    dir = realpathSync(mkdtempSync(join(tmpdir(), "smolvm-mounts-")));
    for (const name of ["ro/below", "rw", "over/sub", "inner", "later"])
      mkdirSync(host(name), { recursive: true });
    writeFileSync(host("ro", "file"), "of the host\n");
    writeFileSync(host("over", "kept"), "kept\n");
    writeFileSync(host("over", "changed"), "before\n");
    writeFileSync(host("over", "removed"), "");
    writeFileSync(host("single"), "one file\n");
    vm = await SmolVM.create(
      small(backend, {
        mounts: [
          { host: host("ro"), guest: "/ro" },
          { host: host("rw"), guest: "/rw", mode: "rw" },
          { host: host("inner"), guest: "/ro/below", mode: "rw" },
          { host: host("over"), guest: "/over", mode: "overlay" },
          { host: host("single"), guest: "/etc/single.conf" },
        ],
      }),
    );
  });
  afterAll(async () => {
    await vm?.delete({ force: true });
    rmSync(dir, { recursive: true, force: true });
  });

  test("are read, as what they are", async () => {
    expect(
      await sh("cat /ro/file; ls /ro; cat /etc/single.conf; touch /ro/x 2>&1 | grep -o 'Read-only.*'"),
    ).toBe("of the host\nbelow\nfile\none file\nRead-only file system\n");
    expect(existsSync(host("ro", "x"))).toBe(false);
  });

  test("what the guest writes is the host's at once, and the other way round", async () => {
    expect(
      await sh("echo new >/rw/made; mkdir /rw/dir; echo deep >/rw/dir/deep; echo x >/ro/below/inner"),
    ).toBe("");
    expect(readFileSync(host("rw", "made"), "utf8")).toBe("new\n");
    expect(readFileSync(host("rw", "dir", "deep"), "utf8")).toBe("deep\n");
    expect(readFileSync(host("inner", "inner"), "utf8")).toBe("x\n");
    expect(existsSync(host("ro", "below", "inner"))).toBe(false);
    appendFileSync(host("rw", "made"), "more\n");
    renameSync(host("rw", "dir", "deep"), host("rw", "dir", "moved"));
    expect(await sh("cat /rw/made; ls /rw/dir; rm -r /rw/dir /rw/made")).toBe("new\nmore\nmoved\n");
    expect(existsSync(host("rw", "dir"))).toBe(false);
  });

  test("programs find what POSIX promises", async () => {
    const { stdout, stderr } = await vm.run(["python3", "-c", POSIX]);
    expect(stderr).toBe("");
    expect(stdout.trimEnd().split("\n")).toEqual([
      "rename over two False",
      "unlinked and open kept 4",
      "append xy 11",
      "truncate xxx",
      "hard link 2 True",
      "symlink ../somewhere True",
      "mmap b'mmap!'",
      "sparse 1073741827 True",
      "in a mapping True",
      "holes True True b'\\x01'",
      "fallocate True",
      // A tmpfs of the host's has none before Linux 6.6.
      expect.stringMatching(/^xattr (b'value' \['user.tag'\]|95)$/),
      "times 1234567891987654321",
      "mode 0o640",
      "owner 0 0",
      "flock once",
      "statfs True",
      "odd name 1",
      "not empty 39",
      "fifo 1",
      "device 1",
      "set-uid 0o0",
      "chown 1",
    ]);
    expect(statSync(host("rw", "a")).uid).toBe(process.getuid?.());
    expect(readlinkSync(host("rw", "link"))).toBe("../somewhere");
    expect(lstatSync(host("rw", "a")).mode & 0o7000).toBe(0);
    expect(await sh("rm -rf /rw/*; ls -A /rw")).toBe("");
  });

  test("what is the same for all files is not asked of the host", async () => {
    const asked = async (): Promise<number> => {
      const mount = (await vm.mounts.list()).find(({ guest }) => guest === "/rw");
      return mount?.served?.requests ?? 0;
    };
    const script = `
import os, fcntl, termios
f = open("/rw/asked", "w"); before = os.stat("/rw/asked").st_size
for _ in range(200):
    for name in ("security.capability", "system.posix_acl_access", "trusted.x"):
        try: os.getxattr("/rw/asked", name)
        except OSError as e: assert e.errno == 95, e
    try: fcntl.ioctl(f, termios.TCGETS, bytes(64))
    except OSError as e: assert e.errno == 25, e
os.unlink("/rw/asked"); print("done")`;
    const before = await asked();
    expect((await vm.run(["python3", "-c", script])).stdout).toBe("done\n");
    expect((await asked()) - before).toBeLessThan(50);
  });

  test("where nothing happens the guest's agent sleeps", async () => {
    const said = await sh(
      "for i in 1 2; do sed -n 's/^voluntary_ctxt_switches://p' /proc/1/status; sleep 3; done",
    );
    const [before, after] = said.trim().split(/\s+/).map(Number);
    expect(after! - before!).toBeLessThan(10);
  });

  test("the agent comes first, but while it serves nothing but files", async () => {
    const place = "cut -d' ' -f19 /proc/1/stat";
    const many = "i=0; while [ $i -lt 50 ]; do echo x >/rw/often; rm /rw/often; i=$((i+1)); done";
    expect(await sh(`${place}; ${many}; ${place}`)).toBe("-20\n0\n");
    expect(await sh(place)).toBe("-20\n");
  });

  test("who looks at some files of a directory one by one is told of the others", async () => {
    const dirs = host("rw", "looked");
    mkdirSync(dirs);
    for (let i = 0; i < 60; i++) writeFileSync(join(dirs, String(i)), "x".repeat(i));
    const asked = async (): Promise<number> =>
      (await vm.mounts.list()).find(({ guest }) => guest === "/rw")?.served?.requests ?? 0;
    const before = await asked();
    // What nobody has listed is listed after four questions; the host decides that, and the guest's helper does it.
    const some = "for i in 0 1 2 3; do [ -e $i ] || exit 1; done";
    const all = "i=0; while [ $i -lt 60 ]; do [ -e $i ] || exit 1; i=$((i + 1)); done";
    expect(await sh(`cd /rw/looked; ${some}; sleep 1; ${all}; stat -c %s 59`)).toBe("59\n");
    expect((await asked()) - before).toBeLessThan(40);
    // Nothing of it is believed longer than before.
    writeFileSync(join(dirs, "59"), "new");
    await until("it is told of", async () => (await sh("stat -c %s /rw/looked/59")) === "3\n" || undefined);
    await sh("rm -rf /rw/looked"); // the guest's own doing is no news for it
  });

  test("how often the host is asked for each of many small files is what docs/mounts.md says", async () => {
    for (const name of ["counted", "unknown"]) {
      mkdirSync(host("rw", name));
      for (let i = 0; i < 200; i++) writeFileSync(host("rw", name, String(i)), "content\n");
    }
    const asked = async (): Promise<number> =>
      (await vm.mounts.list()).find(({ guest }) => guest === "/rw")?.served?.requests ?? 0;
    const each = async (what: string, dir = "/rw/counted"): Promise<number> => {
      const script = `import os\nos.chdir("${dir}")\nfor n in map(str, range(200)):\n    ${what}`;
      const before = await asked();
      await vm.run(["python3", "-c", script], { check: true });
      return ((await asked()) - before) / 200;
    };
    const write = (name: string): string => `f = open(${name}, "w"); f.write("new"); f.close()`;
    const counts = {
      "listed with stat, nothing known": await each(
        'n == "0" and [entry.stat() for entry in os.scandir(".")]',
      ),
      "stat of what was listed": await each("os.stat(n)"),
      "read, nothing known": await each("open(n).read()", "/rw/unknown"),
      "read for the second time": await each("open(n).read()", "/rw/unknown"),
      "read, as before": await each("open(n).read()", "/rw/unknown"),
      "written, a new file": await each(write('"new" + n')),
      "written, a new file in a new directory": await each(
        `n == "0" and os.mkdir("made"); ${write('"made/" + n')}`,
      ),
      "stat after it was written": await each('os.stat("new" + n)'),
      "read after it was written": await each('open("new" + n).read()'),
      "saved by renaming": await each(`${write('"t" + n')}; os.rename("t" + n, n)`),
      unlink: await each('os.unlink("new" + n)'),
    };
    const most = [0.4, 0, 4, 3, 2, 4, 3, 1, 3, 7, 2];
    for (const [index, [what, count]] of Object.entries(counts).entries())
      expect(count, `${what}: ${JSON.stringify(counts)}`).toBeLessThan(most[index]! + 0.15);
    expect(await sh("rm -r /rw/counted /rw/unknown")).toBe("");
  });

  test("attributes of a directory come with what changes them, and are right", async () => {
    const script = `
import os
os.mkdir("/rw/many")
for n in range(200):
    with open(f"/rw/many/{n}", "w") as f: f.write("x")
for n in range(200): os.unlink(f"/rw/many/{n}")
os.mkdir("/rw/many/below"); os.chmod("/rw/many", 0o750); s = os.stat("/rw/many"); print(s.st_nlink, oct(s.st_mode), s.st_mtime_ns)`;
    const asked = async (): Promise<number> =>
      (await vm.mounts.list()).find(({ guest }) => guest === "/rw")?.served?.requests ?? 0;
    const before = await asked();
    const { stdout } = await vm.run(["python3", "-c", script], { check: true });
    // Made, written, closed, removed, forgotten: that a name is not in a directory that was made just now is known.
    expect((await asked()) - before).toBeLessThan(200 * 5.5);
    const told = () => {
      const { nlink, mode, mtimeNs } = statSync(host("rw", "many"), { bigint: true });
      return `${nlink} 0o${mode.toString(8)} ${mtimeNs}\n`;
    };
    expect(stdout).toBe(told());
    // Also where the guest has changed it last, and then the host does.
    const stat = `import os; s = os.stat("/rw/many"); print(s.st_nlink, oct(s.st_mode), s.st_mtime_ns)`;
    const seen = async (): Promise<string> => (await vm.run(["python3", "-c", stat])).stdout;
    for (const change of [
      () => mkdirSync(host("rw", "many", "more")),
      () => chmodSync(host("rw", "many"), 0o700),
      () => rmdirSync(host("rw", "many", "more")),
    ]) {
      await sh("mkdir /rw/many/x; rmdir /rw/many/x");
      change();
      await until("the guest sees what the host has changed", async () => (await seen()) === told());
    }
    expect(await sh("mkdir /rw/many/new; ls /rw/many/new/file 2>&1 | grep -c 'No such file'")).toBe("1\n");
    writeFileSync(host("rw", "many", "new", "file"), "of the host\n");
    await until("the guest sees what the host has made in a new directory", async () =>
      (await sh("cat /rw/many/new/file 2>&1 || :")).includes("of the host"),
    );
    await sh("rm -r /rw/many");
  });

  test("an overlay's writes stay in the sandbox, over its end as well", async () => {
    expect(
      await sh(
        "echo after >/over/changed; rm /over/removed; echo made >/over/sub/made; cat /over/kept; ls -R /over",
      ),
    ).toBe("kept\n/over:\nchanged\nkept\nsub\n\n/over/sub:\nmade\n");
    expect(readFileSync(host("over", "changed"), "utf8")).toBe("before\n");
    expect(existsSync(host("over", "removed"))).toBe(true);
    expect(existsSync(host("over", "sub", "made"))).toBe(false);
    writeFileSync(host("over", "new"), "of the host\n");
    expect(await sh("cat /over/new")).toBe("of the host\n");
    await vm.stop();
    await vm.start();
    expect(await sh("cat /over/changed /over/sub/made; ls /over; cat /ro/file")).toBe(
      "after\nmade\nchanged\nkept\nnew\nsub\nof the host\n",
    );
  });

  test("what was changed in an overlay is told, and brought to the host where that is wanted", async () => {
    const changes = async (): Promise<string[]> =>
      (await vm.mounts.diff("/over")).map(({ kind, path, type }) => `${kind} ${type} ${path}`);
    expect(await changes()).toEqual([
      "changed file changed",
      "removed file removed",
      "created file sub/made",
    ]);
    await sh(
      "mkdir /over/dir; ln -s kept /over/dir/link; rm -r /over/sub; mkdir /over/sub; echo x >/over/sub/again",
    );
    writeFileSync(host("over", "sub", "hidden"), "");
    expect(await changes()).toEqual([
      "changed file changed",
      "created directory dir",
      "created symlink dir/link",
      "removed file removed",
      "created file sub/again",
      "removed file sub/hidden",
    ]);
    await expect(vm.mounts.apply("/over", { paths: ["kept"] })).rejects.toMatchObject({
      code: "FILE_NOT_FOUND",
    });
    await expect(vm.mounts.diff("/ro")).rejects.toMatchObject({ code: "MOUNT_NOT_FOUND" });
    expect((await vm.mounts.apply("/over", { paths: ["dir/", "changed"] })).map(({ path }) => path)).toEqual([
      "changed",
      "dir",
      "dir/link",
    ]);
    expect(readFileSync(host("over", "changed"), "utf8")).toBe("after\n");
    expect(readlinkSync(host("over", "dir", "link"))).toBe("kept");
    expect(existsSync(host("over", "removed"))).toBe(true);
    expect((await vm.mounts.apply("/over")).length).toBeGreaterThan(2);
    expect(existsSync(host("over", "removed"))).toBe(false);
    expect(readdirSync(host("over", "sub"))).toEqual(["again"]);
    // A link of the host's is no way out.
    await sh("mkdir /over/out; echo x >/over/out/file");
    symlinkSync(home, host("over", "out"));
    await expect(vm.mounts.apply("/over", { paths: ["out/file"] })).rejects.toMatchObject({
      code: "FILE_UNSAFE",
    });
    rmSync(host("over", "out"));
  });

  test("a file that an editor replaces is the new one", async () => {
    writeFileSync(host("single.new"), "replaced\n");
    renameSync(host("single.new"), host("single"));
    await until("it is the new one", async () => (await sh("cat /etc/single.conf")) === "replaced\n");
    expect(await sh("ls /etc/single.conf/.. 2>&1 | head -1")).toMatch(/Not a directory/);
  });

  test("a program that watches such a file is told of its changes", async () => {
    const watcher = vm.spawn(["python3", "-u", "-c", WATCH_FILE, "/etc/single.conf"]);
    let said = "";
    for await (const { data } of watcher) {
      said += Buffer.from(data).toString();
      if (said === "watching\n") appendFileSync(host("single"), "more\n");
    }
    expect(said).toBe("watching\nchanged\n");
    expect((await sh("cat /etc/single.conf")).endsWith("\nmore\n")).toBe(true);
  });

  test("links of the host lead nowhere but within the guest", async () => {
    symlinkSync("/etc/hostname", host("rw", "absolute"));
    symlinkSync("../single", host("rw", "up"));
    expect(
      await sh(
        "cat /rw/absolute | wc -l; cat /etc/hostname | cmp - /rw/absolute; cat /rw/up 2>&1 | grep -o 'No such.*'",
      ),
    ).toBe("1\nNo such file or directory\n");
    rmSync(host("rw", "absolute"));
    rmSync(host("rw", "up"));
  });

  test("changes on the host reach the guest's watchers", async () => {
    const seen: string[] = [];
    const watch = await vm.files.watch("/ro");
    const reading = (async () => {
      for await (const { kind, path } of watch) seen.push(`${kind} ${path}`);
    })();
    const told = async (what: string, change: () => void): Promise<number> => {
      seen.length = 0;
      const from = performance.now();
      change();
      await until(what, () => seen.includes(what));
      return performance.now() - from;
    };
    const times = [
      await told("created new", () => writeFileSync(host("ro", "new"), "")),
      await told("changed new", () => appendFileSync(host("ro", "new"), "more")),
      await told("changed new", () => chmodSync(host("ro", "new"), 0o600)),
      await told("renamed newer", () => renameSync(host("ro", "new"), host("ro", "newer"))),
      await told("removed newer", () => rmSync(host("ro", "newer"))),
      await told("created dir", () => mkdirSync(host("ro", "dir"))),
      await told("removed dir", () => rmSync(host("ro", "dir"), { recursive: true })),
    ];
    expect(Math.max(...times)).toBeLessThan(2000 * SPEED_FACTOR); // how fast: bench row 18
    watch.close();
    await reading;
  });

  test("a watcher of a directory further down hears of changes, also where nobody has listed it", async () => {
    mkdirSync(host("ro", "far", "down"), { recursive: true });
    writeFileSync(host("ro", "far", "down", "there"), "");
    const watch = await vm.files.watch("/ro/far/down");
    appendFileSync(host("ro", "far", "down", "there"), "more");
    for await (const { kind, path } of watch) if (`${kind} ${path}` === "changed there") break;
    watch.close();
    rmSync(host("ro", "far"), { recursive: true });
  });

  test("when more changes than the host's kernel keeps, watchers and caches are right all the same", async () => {
    mkdirSync(host("ro", "much"));
    for (const name of ["a", "b", "same", "gone", "replaced"])
      writeFileSync(host("ro", "much", name), "old\n");
    expect(await sh("cd /ro/much && cat * && ls && [ ! -e absent ]")).toBe(
      `${"old\n".repeat(5)}a\nb\ngone\nreplaced\nsame\n`,
    );
    const seen = new Set<string>();
    const watch = await vm.files.watch("/ro/much");
    const reading = (async () => {
      for await (const { kind, path } of watch) seen.add(`${kind} ${path}`);
    })();
    const servers = execFileSync("pgrep", ["-f", `files-[^ ]* serve .*${home}`], { encoding: "utf8" });
    const signal = (name: string): void => {
      for (const pid of servers.trim().split("\n")) process.kill(Number(pid), name);
    };
    const overflows = async () =>
      (await vm.mounts.list()).find(({ guest }) => guest === "/ro")?.served?.overflows ?? 0;
    const before = await overflows();
    signal("SIGSTOP");
    try {
      const most = Number(readFileSync("/proc/sys/fs/inotify/max_queued_events", "utf8"));
      for (let i = 0; i < most / 2 + 100; i++)
        for (const name of ["a", "b"]) appendFileSync(host("ro", "much", name), "x");
      writeFileSync(host("ro", "much", "same"), "new\n");
      rmSync(host("ro", "much", "gone"));
      writeFileSync(host("ro", "new"), "new\n");
      renameSync(host("ro", "new"), host("ro", "much", "replaced"));
      writeFileSync(host("ro", "much", "absent"), "new\n");
    } finally {
      signal("SIGCONT");
    }
    const wanted = ["changed same", "removed gone", "created absent", "changed a"];
    await until(
      "watchers have heard",
      () => wanted.every((one) => seen.has(one)) && [...seen].some((one) => one.endsWith("replaced")),
    );
    expect(await overflows()).toBeGreaterThan(before);
    expect(await sh("cd /ro/much && ls && cat absent replaced same && wc -c <a")).toBe(
      `a\nabsent\nb\nreplaced\nsame\nnew\nnew\nnew\n${statSync(host("ro", "much", "a")).size}\n`,
    );
    watch.close();
    await reading;
    rmSync(host("ro", "much"), { recursive: true });
  });

  test("with strict coherence nothing is believed", async () => {
    writeFileSync(host("later", "strict"), "0");
    await vm.mounts.add({ host: host("later"), guest: "/strict", coherence: "strict" });
    const child = vm.spawn("cd /strict; while read -r name; do cat $name; ls | wc -l; done");
    const output = child[Symbol.asyncIterator]();
    for (let round = 1; round < 20; round++) {
      writeFileSync(host("later", "strict"), `${round} `);
      if (round === 10) writeFileSync(host("later", "another"), "");
      child.stdin.write("strict\n");
      let said = "";
      while (!said.endsWith("\n")) said += Buffer.from((await output.next()).value!.data).toString();
      expect(said).toBe(`${round} ${round < 10 ? 1 : 2}\n`);
    }
    await child.kill("SIGKILL");
    await child.wait().catch(() => {});
    await vm.mounts.remove("/strict", { force: true });
    for (const name of readdirSync(host("later"))) rmSync(host("later", name));
  });

  test("come and go while it runs", async () => {
    writeFileSync(host("later", "x"), "later\n");
    const added = await vm.mounts.add({ host: host("later"), guest: "/srv/later", mode: "rw" });
    expect(added).toMatchObject({ guest: "/srv/later", mode: "rw", mounted: true });
    expect(await sh("cat /srv/later/x")).toBe("later\n");
    // Many short answers and then the longest: what is granted for answers must leave room for it.
    writeFileSync(host("later", "blob"), "x".repeat(300_000));
    expect(
      await sh(
        "i=0; while [ $i -lt 150 ]; do [ -e /srv/later/no$i ]; i=$((i+1)); done; cat /srv/later/blob | wc -c",
      ),
    ).toBe("300000\n");
    expect((await vm.mounts.list()).map(({ guest, mounted }) => `${guest} ${mounted}`)).toEqual([
      "/ro true",
      "/rw true",
      "/ro/below true",
      "/over true",
      "/etc/single.conf true",
      "/srv/later true",
    ]);
    const user = vm.spawn(["sleep", "1000"], { cwd: "/srv/later" });
    await user.pid;
    await expect(vm.mounts.remove("/srv/later")).rejects.toMatchObject({ code: "VM_BUSY" });
    expect(await sh("cat /srv/later/x")).toBe("later\n");
    await user.kill("SIGKILL");
    await user.wait().catch(() => {});
    await vm.mounts.remove("/srv/later");
    expect(await sh("ls -A /srv/later")).toBe("");
    await expect(vm.mounts.remove("/srv/later")).rejects.toMatchObject({ code: "MOUNT_NOT_FOUND" });
    await expect(vm.mounts.add({ host: host("later"), guest: "/proc/x" })).rejects.toMatchObject({
      code: "CONFIG_INVALID",
    });
    expect((await vm.mounts.list()).some(({ guest }) => guest === "/proc/x")).toBe(false);
  });

  test("wait for one that is paused to go on", async () => {
    await vm.pause();
    await expect(vm.mounts.add({ host: host("later"), guest: "/paused" })).rejects.toMatchObject({
      code: "VM_STATE",
    });
    await vm.resume();
    expect(await sh("cat /ro/file")).toBe("of the host\n");
  });

  test.runIf(BACKEND_FEATURES[backend as BackendName].snapshots)(
    "one that goes on from a snapshot has what its restorer shares with it and nothing else, also of what it had open",
    async () => {
      writeFileSync(host("rw", "open"), Buffer.alloc(16 << 20, "x"));
      const megabyte = "dd bs=1M count=1 iflag=skip_bytes skip=4M <&3 2>&1 | tail -1";
      const loop = `while :; do if [ -e /root/go ]; then ${megabyte} >/root/new; rm /root/go; mv /root/new /root/said; fi; sleep 0.05; done`;
      await sh(`(exec 3</rw/open; cd /rw; ${loop}) >/dev/null 2>&1 & echo mine >/over/mine`);
      const read = async (of: SmolVM): Promise<string> => {
        await of.run("rm -f /root/said; : >/root/go");
        return await until(
          "it has read",
          async () => (await of.run("cat /root/said || :")).stdout.match(/.*(copied|not connected).*/)?.[0],
        );
      };
      expect(await read(vm)).toContain("copied");
      await vm.snapshot("mounted");
      const overlay = { host: host("over"), guest: "/over", mode: "overlay" } as const;
      const copies = [
        await SmolVM.restore("mounted"),
        await SmolVM.restore("mounted", { mounts: [{ host: host("ro"), guest: "/rw" }, overlay] }),
      ];
      try {
        const [without, withOthers] = copies as [SmolVM, SmolVM];
        expect(await without.mounts.list()).toEqual([]);
        expect((await without.run("cat /rw/open /ro/file 2>&1 | grep -c 'not connected'")).stdout).toBe(
          "2\n",
        );
        expect(await read(without)).toContain("not connected");
        expect((await withOthers.mounts.list()).map(({ guest }) => guest)).toEqual(["/rw", "/over"]);
        expect((await withOthers.run("cat /rw/file /over/kept /over/mine")).stdout).toBe(
          "of the host\nkept\nmine\n",
        );
        expect(await read(withOthers)).toContain("not connected");
        // Whoever it was taken of goes on with all of it.
        expect(await read(vm)).toContain("copied");
        expect(await sh("cat /ro/file; echo new >/rw/new; rm /rw/new /over/mine")).toBe("of the host\n");
      } finally {
        for (const copy of copies) await copy.delete({ force: true });
        await SmolVM.snapshots.delete("mounted");
        await sh("pkill -f root/go");
        rmSync(host("rw", "open"));
      }
    },
  );

  test.runIf(BACKEND_FEATURES[backend as BackendName].snapshots)(
    "programs that read and write in a mount all the time are frozen for a snapshot and a fork, and go on, in the copies too",
    async () => {
      const dir = host("rw", "busy");
      mkdirSync(dir);
      const turn = (n: number): string =>
        `dd if=/dev/zero of=/rw/busy/${n}.$1 bs=256k count=4; cat /rw/busy/${n}.$1 >/dev/null; rm /rw/busy/${n}.$1; date +%s.%N >/root/turn${n}`;
      const loops = [1, 2, 3, 4].map((n) => `(while :; do set -- $(cat /root/who); ${turn(n)}; done) &`);
      await sh(`echo first >/root/who; (${loops.join(" ")}) >/dev/null 2>&1`);
      const goesOn = async (of: SmolVM): Promise<void> => {
        const turns = async (): Promise<string> => (await of.run("cat /root/turn[1-4]")).stdout;
        const before = (await turns()).split("\n");
        await until("all go on", async () => {
          const now = (await turns()).split("\n");
          return now.length === 5 && now.every((turn, n) => turn === "" || turn !== before[n])
            ? true
            : undefined;
        });
      };
      const mounts = [{ host: host("rw"), guest: "/rw", mode: "rw" }] as const;
      const copies: SmolVM[] = [];
      try {
        await goesOn(vm);
        await vm.snapshot("busy");
        await goesOn(vm);
        copies.push(await SmolVM.restore("busy", { mounts }));
        copies.push(...(await vm.fork({ mounts })));
        for (const [n, copy] of copies.entries()) {
          await copy.run(`echo copy${n} >/root/who`);
          await goesOn(copy);
        }
        await goesOn(vm);
      } finally {
        for (const copy of copies) await copy.delete({ force: true });
        await SmolVM.snapshots.delete("busy").catch(() => {});
        await sh("pkill -f root/who; while pgrep -x dd >/dev/null; do sleep 0.1; done");
        rmSync(dir, { recursive: true });
      }
    },
  );

  test.runIf(BACKEND_FEATURES[backend as BackendName].snapshots)(
    "what is open goes on in copies that are given the same directory, and is stale where the host's file has changed",
    async () => {
      const dirs = host("rw", "kept");
      mkdirSync(dirs);
      for (const [name, text] of [
        ["same", "1111222233334444"],
        ["changed", "aaaabbbbccccdddd"],
        ["here", "old\n"],
        ["written", ""],
        ["removed", "rrrrRRRRssssSSSS"],
        ["replaced", "ppppPPPPqqqqQQQQ"],
      ] as const)
        writeFileSync(join(dirs, name), text);
      // As it is, but for which files they are.
      const other = host("other");
      cpSync(dirs, join(other, "kept"), { recursive: true, preserveTimestamps: true });
      writeFileSync(join(other, "kept", "here"), "other\n");
      const four = "dd bs=4 count=1 status=none"; // busybox's head has one error for all
      const say = `${four} <&3; echo; ${four} <&4; echo; cat here; echo more >&5; ${four} <&7; echo; ${four} <&6; echo`;
      const loop = `while :; do if [ -e /root/go ]; then { ${say}; } >/root/new 2>&1; rm /root/go; mv /root/new /root/said; fi; sleep 0.05; done`;
      await sh(
        `(cd /rw/kept; exec 3<same 4<changed 5>>written 6<removed 7<replaced; rm removed; ${loop}) >/dev/null 2>&1 &`,
      );
      const ask = async (of: SmolVM): Promise<string[]> => {
        await of.run("rm -f /root/said; : >/root/go");
        const said = await until("it has answered", async () => {
          const { stdout, exitCode } = await of.run("cat /root/said");
          return exitCode === 0 ? stdout : undefined;
        });
        return said.split("\n").filter((line) => line !== "");
      };
      const mounts = [{ host: host("rw"), guest: "/rw", mode: "rw" }] as const;
      const copies: SmolVM[] = [];
      try {
        expect(await ask(vm)).toEqual(["1111", "aaaa", "old", "pppp", "rrrr"]);
        expect(readFileSync(join(dirs, "written"), "utf8")).toBe("more\n");
        await vm.snapshot("open");
        writeFileSync(join(dirs, "changed"), "of another length");
        writeFileSync(join(dirs, "here"), "new\n");
        writeFileSync(join(dirs, "new"), "ppppPPPPqqqqQQQQ");
        renameSync(join(dirs, "new"), join(dirs, "replaced"));
        const restored = await SmolVM.restore("open", { mounts });
        copies.push(restored);
        const [same, changed, here, replaced, removed] = await ask(restored);
        expect([same, here]).toEqual(["2222", "new"]);
        for (const stale of [changed, removed, replaced]) expect(stale).toMatch(/Stale file handle/);
        expect(readFileSync(join(dirs, "written"), "utf8")).toBe("more\nmore\n");
        expect((await restored.run("cat /rw/kept/changed")).stdout).toBe("of another length");
        // In another directory the paths are what is there now, and no file is the one that was open.
        const elsewhere = await SmolVM.restore("open", {
          mounts: [{ host: other, guest: "/rw", mode: "rw" }],
        });
        copies.push(elsewhere);
        const there = await ask(elsewhere);
        expect(there.filter((line) => !/Stale file handle|echo:/.test(line))).toEqual(["other"]);
        expect(there.length).toBeGreaterThanOrEqual(5);
        expect(readFileSync(join(other, "kept", "written"), "utf8")).toBe("");
        // The one that it was taken of goes on with what it has open, as on any file system.
        expect((await ask(vm))[0]).toBe("2222");
        const [child] = await vm.fork({ mounts });
        copies.push(child!);
        expect((await ask(child!))[0]).toBe("3333");
        expect(await ask(vm)).toEqual(["3333", "er l", "new", "qqqq", "ssss"]);
      } finally {
        for (const copy of copies) await copy.delete({ force: true });
        await SmolVM.snapshots.delete("open").catch(() => {});
        await sh("pkill -f root/go");
        for (const made of [dirs, other]) rmSync(made, { recursive: true });
      }
    },
  );

  test("a server that is killed means errors, not hangs, and a new mount works", async () => {
    const pids = execFileSync("pgrep", ["-f", `files-[^ ]* serve .*${home}`], { encoding: "utf8" });
    await sh("echo own >/over/own");
    const writer = vm.run("while echo x >>/rw/writes; do :; done; echo ended");
    await until(
      "it writes",
      () => existsSync(host("rw", "writes")) && statSync(host("rw", "writes")).size > 0,
    );
    for (const pid of pids.trim().split("\n")) spawnSync("kill", ["-9", pid]);
    expect((await writer).stdout).toBe("ended\n");
    expect(await sh("cat /rw/writes 2>&1 | grep -o 'not connected'")).toBe("not connected\n");
    expect((await vm.mounts.list()).every(({ mounted }) => !mounted)).toBe(true);
    await vm.mounts.add({ host: host("rw"), guest: "/rw", mode: "rw" });
    expect(await sh("tail -n 1 /rw/writes; rm /rw/writes; ls -A /rw")).toBe("x\n");
    // Of an overlay only what is below is gone: what is there of the guest's own is still answered for.
    const overlay = { host: host("over"), guest: "/over", mode: "overlay" } as const;
    expect(await sh("cat /over/unknown 2>&1 | grep -o 'not connected'; cat /over/own")).toBe(
      "not connected\nown\n",
    );
    await vm.mounts.add(overlay);
    expect(await sh("cat /over/own /over/kept; grep -c ' /over ' /proc/mounts")).toBe("own\nkept\n1\n");
  });
});
