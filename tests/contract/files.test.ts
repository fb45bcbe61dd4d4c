import { createHash, randomBytes } from "node:crypto";
import {
  chmodSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join, posix } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { SmolVM } from "../../src/index.ts";
import { BACKENDS, small } from "../helpers/backends.ts";
import { useTempHome } from "../helpers/home.ts";
import { until } from "../helpers/wait.ts";

useTempHome();

describe.each(BACKENDS)("files on %s", (backend) => {
  let vm: SmolVM;
  let local: string;
  beforeAll(async () => {
    local = mkdtempSync(join(tmpdir(), "smolvm-files-"));
    vm = await SmolVM.create(small(backend));
  });
  afterAll(async () => {
    await vm.delete({ force: true });
    rmSync(local, { recursive: true });
  });

  test("make the round trip byte for byte", async () => {
    const content = randomBytes(4096);
    await vm.files.write("/root/blob", content);
    const { stdout } = await vm.run(["sha256sum", "/root/blob"]);
    expect(stdout.slice(0, 64)).toBe(createHash("sha256").update(content).digest("hex"));
    expect(Buffer.compare(await vm.files.read("/root/blob"), content)).toBe(0);
    await vm.files.write("/root/text", "grüße\n");
    expect(await vm.files.readText("/root/text")).toBe("grüße\n");
  });

  test("are listed, made, renamed and removed", async () => {
    await vm.files.mkdir("/root/tree/deep", { parents: true });
    await vm.files.write("/root/tree/a", "1");
    expect((await vm.files.list("/root/tree")).map(({ name, path }) => [name, path])).toEqual([
      ["a", "/root/tree/a"],
      ["deep", "/root/tree/deep"],
    ]);
    expect((await vm.files.list("/root", { depth: 2 })).map(({ path }) => path)).toContain("/root/tree/deep");
    await vm.files.rename("/root/tree/a", "/root/tree/b");
    expect(await vm.files.exists("/root/tree/a")).toBe(false);
    expect(await vm.files.stat("/root/tree/b")).toMatchObject({ type: "file", size: 1 });
    await expect(vm.files.remove("/root/tree")).rejects.toMatchObject({ code: "FILE_EXISTS" });
    await vm.files.remove("/root/tree", { recursive: true });
    await expect(vm.files.read("/root/tree/b")).rejects.toMatchObject({ code: "FILE_NOT_FOUND" });
  });

  test("are told apart by type, with inode and birth, and errors by errno", async () => {
    await vm.run("mkdir -p /root/kinds; cd /root/kinds; mkfifo pipe; : > file");
    const entries = await vm.files.list("/root/kinds");
    expect(entries.map(({ name, type }) => [name, type])).toEqual([
      ["file", "file"],
      ["pipe", "fifo"],
    ]);
    const { inode, birthtime } = await vm.files.stat("/root/kinds/file");
    expect((await vm.run("stat -c %i /root/kinds/file")).stdout).toBe(`${inode}\n`);
    expect(Math.abs(birthtime!.getTime() - Date.now())).toBeLessThan(600_000);
    expect((await vm.files.stat("/dev/null")).type).toBe("characterDevice");
    expect((await vm.files.stat("/dev/vda")).type).toBe("blockDevice");
    await expect(vm.files.read("/root")).rejects.toMatchObject({ details: { errno: "EISDIR" } });
    await expect(vm.files.remove("/root/kinds")).rejects.toMatchObject({ details: { errno: "ENOTEMPTY" } });
  });

  test("are written if nobody has changed them, the image's own too", async () => {
    for (const path of ["/etc/hostname", "/root/mine", "/etc/passwd"]) {
      const content = path === "/etc/passwd" ? await vm.files.readText(path) : "one\n";
      if (path === "/root/mine") await vm.files.write(path, content);
      const { version } = await vm.files.stat(path);
      const written = await vm.files.write(path, content, { ifVersion: version });
      await vm.run(["touch", "-d", "2001-01-01", path]);
      await expect(vm.files.write(path, "lost", { ifVersion: written.version })).rejects.toMatchObject({
        code: "FILE_CHANGED",
        details: { current: { path } },
      });
      expect(await vm.files.readText(path)).toBe(content);
    }
    await expect(vm.files.write("/root/mine", "", { exclusive: true })).rejects.toMatchObject({
      code: "FILE_EXISTS",
      details: { errno: "EEXIST" },
    });
  });

  test("are copied in the guest, the image's own too", async () => {
    await vm.files.copy("/etc", "/root/etc", { recursive: true });
    const compared = await vm.run(
      "cd /root/etc && find . -type f -exec cmp {} /etc/{} ';' | head; ls -A /etc | wc -l; ls -A | wc -l",
    );
    const [there, here] = compared.stdout.split("\n");
    expect([compared.stderr, there]).toEqual(["", here]);
    await vm.run("dd if=/dev/urandom of=/root/big bs=1M count=8 status=none");
    expect((await vm.files.copy("/root/big", "/root/copy")).bytes).toBe(8 * 1024 * 1024);
    expect((await vm.run("cmp /root/big /root/copy")).exitCode).toBe(0);
    await vm.files.copy("/root/copy", "/run/copy"); // to another file system
    expect((await vm.run("cmp /root/big /run/copy; rm /run/copy /root/big /root/copy")).stdout).toBe("");
    await expect(vm.files.copy("/root", "/root/etc/x", { recursive: true })).rejects.toMatchObject({
      details: { errno: "EINVAL" },
    });
  });

  test("of a relative path are where commands run", async () => {
    const directory = (await vm.run("pwd")).stdout.trim();
    expect(await vm.files.write("relative", "x")).toMatchObject({ path: posix.join(directory, "relative") });
    expect((await vm.run("cat relative")).stdout).toBe("x");
    await using other = await SmolVM.create(small(backend, { workdir: "/srv/app", user: "nobody" }));
    await other.run("echo 1 > made");
    expect((await other.files.list(".")).map(({ path }) => path)).toEqual(["/srv/app/made"]);
    expect(await other.files.readText("made")).toBe("1\n");
  });

  test("are written by the dozen in one request", async () => {
    const many = Array.from({ length: 100 }, (_, n) => ({ path: `many/${n % 7}/${n}`, content: `${n}` }));
    await vm.files.writeMany(many);
    expect((await vm.run("cd many && find . -type f | wc -l && cat 1/99")).stdout).toBe("100\n99");
  });

  test("are told once by a watch when they are written by us", async () => {
    await vm.files.mkdir("/srv/ours");
    await using watch = await vm.files.watch("/srv/ours");
    await vm.files.write("/srv/ours/a", "1");
    await vm.files.write("/srv/ours/a", "2");
    await vm.files.write("/srv/ours/end", "");
    const said: string[] = [];
    for await (const { kind, path } of watch) {
      said.push(`${kind} ${path}`);
      if (path === "end") break;
    }
    expect(said).toEqual(["created a", "changed a", "created end"]);
  });

  test("that are directories keep contents, modes, times and links both ways", async () => {
    const source = join(local, "source");
    mkdirSync(join(source, "sub"), { recursive: true });
    writeFileSync(join(source, "sub", "program"), "#!/bin/sh\necho ran\n");
    chmodSync(join(source, "sub", "program"), 0o755);
    writeFileSync(join(source, "data"), randomBytes(300_000));
    utimesSync(join(source, "data"), 1_600_000_000, 1_600_000_000);
    symlinkSync("sub/program", join(source, "link"));
    await vm.files.upload(source, "/root/copy");
    expect((await vm.run("/root/copy/link; stat -c '%a %Y' /root/copy/data")).stdout).toBe(
      "ran\n644 1600000000\n",
    );
    const back = join(local, "back");
    await vm.files.download("/root/copy", back);
    expect(Buffer.compare(readFileSync(join(back, "data")), readFileSync(join(source, "data")))).toBe(0);
    expect(statSync(join(back, "sub", "program")).mode & 0o777).toBe(0o755);
    expect(statSync(join(back, "data")).mtimeMs).toBe(1_600_000_000_000);
  });

  test("are watched: what a command does to them is told, by name, as it happens", async () => {
    await vm.files.mkdir("/srv/watched");
    await using watch = await vm.files.watch("/srv/watched", { recursive: true });
    /** what is told after a command, up to the event at `last`; how often something changed depends on who is faster */
    const told = async (command: string, last: string): Promise<string[]> => {
      await vm.run(command, { cwd: "/srv/watched" });
      const said: string[] = [];
      for (;;) {
        const { value } = await watch.next();
        const { kind, path, from } = value!;
        if (kind !== "changed") said.push(`${kind} ${from === undefined ? "" : `${from} -> `}${path}`);
        if (path === last) return said;
      }
    };
    expect(await told("mkdir sub; echo 1 > sub/a", "sub/a")).toEqual(["created sub", "created sub/a"]);
    expect(await told("mv sub sub2; rm sub2/a; touch end", "end")).toEqual([
      ...["renamed sub -> sub2", "removed sub2/a", "created end"],
    ]);
    await expect(vm.files.watch("/srv/none")).rejects.toMatchObject({ code: "FILE_NOT_FOUND" });
    await expect(vm.files.watch("/root", { user: "nobody" })).rejects.toMatchObject({
      code: "FILE_PERMISSION",
    });
  });

  test("are done by workers that wait: root's from the beginning, and those of the users who were here last", async () => {
    /** uids of the agent's children that are no commands */
    const workers = async (): Promise<string[]> => {
      const line =
        "for p in /proc/[0-9]*; do echo $(grep -hE '^(Name|PPid|Uid)' $p/status 2>/dev/null); done";
      const { stdout } = await vm.run(line);
      return [...stdout.matchAll(/^Name: init PPid: 1 Uid: (\d+)/gm)].map((match) => match[1]!).sort();
    };
    await using fresh = await SmolVM.create(small(backend));
    await until("one was forked ahead", async () => {
      const { stdout } = await fresh.run("grep -hE '^(Name|PPid)' /proc/[0-9]*/status | tr '\\n' ' '");
      return /Name: init PPid: 1 /.test(stdout.replaceAll(/\s+/g, " "));
    });
    const users = [1001, 1002, 1003, 1004].map((id) => `u${id}:x:${id}:${id}::/:/bin/sh`);
    await vm.run(`printf '%s\\n' ${users.join(" ")} >>/etc/passwd`);
    for (const id of [1001, 1002, 1003, 1004, 1002]) await vm.files.stat("/", { user: `u${id}` });
    expect(await workers()).toEqual(["0", "1002", "1004"]);
  });

  test("belong to who the user is now, whoever that was for the request before", async () => {
    const owner = async (): Promise<string> => {
      await vm.files.write("/tmp/owned", "x", { user: "app" });
      return (await vm.run("stat -c %u:%g /tmp/owned; rm /tmp/owned")).stdout.trim();
    };
    await vm.run("echo app:x:1234:1234::/home/app:/bin/sh >> /etc/passwd");
    expect([await owner(), await owner()]).toEqual(["1234:1234", "1234:1234"]);
    await vm.run("sed -i s/^app:x:1234:1234/app:x:2345:1234/ /etc/passwd");
    expect(await owner()).toBe("2345:1234");
    await vm.run("mkdir -m 770 /tmp/ours; chgrp 777 /tmp/ours");
    await expect(vm.files.list("/tmp/ours", { user: "app" })).rejects.toMatchObject({
      code: "FILE_PERMISSION",
    });
    await vm.run("echo team:x:777:app >> /etc/group");
    expect(await vm.files.list("/tmp/ours", { user: "app" })).toEqual([]);
  });

  test("belong to the user they are written as, who may not write everywhere", async () => {
    await vm.files.write("/tmp/theirs", "x", { user: "nobody" });
    expect((await vm.run("stat -c %U /tmp/theirs")).stdout).toBe("nobody\n");
    await expect(vm.files.write("/etc/theirs", "x", { user: "nobody" })).rejects.toMatchObject({
      code: "FILE_PERMISSION",
    });
  });
});
