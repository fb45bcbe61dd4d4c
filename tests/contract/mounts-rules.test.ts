/** What docs/mounts.md says of directories of the host besides their content: whose files are, locks, and what else is not shared. */
import { execFile, execFileSync } from "node:child_process";
import {
  chmodSync,
  chownSync,
  linkSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  realpathSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { BACKEND_FEATURES } from "../../src/backends/features.ts";
import type { BackendName } from "../../src/config/spec.ts";
import { SmolVM } from "../../src/index.ts";
import { BACKENDS, small } from "../helpers/backends.ts";
import { CLI } from "../helpers/cli.ts";
import { useTempHome } from "../helpers/home.ts";
import { IN_MOUNT_NAMESPACE } from "../helpers/mount-namespace.ts";
import { shellOf } from "../helpers/shell-of.ts";
import { scaled } from "../helpers/speed.ts";
import { until } from "../helpers/wait.ts";

useTempHome();
const isRoot = process.getuid?.() === 0;

const LOCKS = `
import fcntl, os
fd = os.open("/rw/lock", os.O_RDWR | os.O_CREAT)
fcntl.lockf(fd, fcntl.LOCK_EX, 10, 5)
if os.fork() == 0:
    other = os.open("/rw/lock", os.O_RDWR)
    def lock(*where):
        try: fcntl.lockf(other, fcntl.LOCK_EX | fcntl.LOCK_NB, *where); return "free"
        except (BlockingIOError, PermissionError): return "taken"
    print(lock(1, 14), lock(1, 15), lock(5, 0), lock(1, 5), flush=True); os._exit(0)
os.wait(); fcntl.flock(fd, fcntl.LOCK_EX); print("held", flush=True); input()`;

const ATTRIBUTES = `
import errno, os
open("/rw/attributes", "w").close()
for name in ("trusted.x", "security.x", "system.posix_acl_access"):
    try: os.setxattr("/rw/attributes", name, b"x"); print(name)
    except OSError as e: print(errno.errorcode[e.errno])
os.unlink("/rw/attributes")`;

/** Reads from files that it has open, and writes to one, whenever there is a file that says so. */
const HOLDER = `
import errno, mmap, os, time
names = ("same", "longer", "as long", "replaced", "removed", "moved", "written to")
fds = {name: os.open("/rw/held/" + name, os.O_RDWR) for name in names}
mapped = mmap.mmap(fds["same"], 0)
def outcome(what):
    try: return what()
    except OSError as e: return errno.errorcode[e.errno]
while True:
    if os.path.exists("/root/go"):
        said = [f"{name}: {outcome(lambda: os.pread(fd, 4, 0).decode())}" for name, fd in fds.items() if name != "written to"]
        said.append(f"written to: {outcome(lambda: os.pwrite(fds['written to'], b'guest', 0))}")
        said.append(f"mapped: {mapped[:4].decode()}")
        with open("/root/new", "w") as f: f.write("\\n".join(said))
        os.unlink("/root/go"); os.rename("/root/new", "/root/said")
    time.sleep(0.05)`;

describe.each(BACKENDS)("the rules of directories of the host on %s", (backend) => {
  let vm: SmolVM;
  let dir: string;
  const host = (...names: string[]): string => join(dir, ...names);
  const sh = shellOf(() => vm);

  beforeAll(async () => {
    dir = realpathSync(mkdtempSync(join(tmpdir(), "smolvm-rules-")));
    for (const name of ["rw", "strict", "outside", "moving"]) mkdirSync(host(name));
    vm = await SmolVM.create(
      small(backend, {
        mounts: [
          { host: host("rw"), guest: "/rw", mode: "rw" },
          { host: host("strict"), guest: "/strict", coherence: "strict" },
        ],
      }),
    );
  }, scaled(60_000));
  afterAll(async () => {
    await vm?.delete({ force: true });
    rmSync(dir, { recursive: true, force: true });
  });

  test.runIf(isRoot)("files of others are nobody's, with what their modes let everybody do", async () => {
    for (const [name, mode] of [
      ["open", 0o644],
      ["closed", 0o600],
    ] as const) {
      writeFileSync(host("rw", name), name);
      chownSync(host("rw", name), 1234, 1234);
      chmodSync(host("rw", name), mode);
    }
    expect(
      await sh("cd /rw; stat -c '%u %g %a' open closed; cat open; cat closed 2>&1 | grep -o 'denied'"),
    ).toBe("65534 65534 644\n65534 65534 600\nopendenied\n");
    // Of the other one the mode cannot be changed by anybody who may not read it, where Linux is older than 6.6.
    expect(await sh("cd /rw; chmod 666 open 2>&1 | grep -o 'not permitted'")).toBe("not permitted\n");
    for (const name of ["open", "closed"]) rmSync(host("rw", name));
  });

  test("locks hold between the guest's processes, and nothing on the host", async () => {
    const holder = vm.spawn(["python3", "-c", LOCKS]);
    let said = "";
    for await (const { data } of holder) {
      said += Buffer.from(data).toString();
      if (!said.endsWith("held\n")) continue;
      execFileSync("flock", ["--nonblock", host("rw", "lock"), "true"]);
      holder.stdin.write("\n");
    }
    // Bytes 5 to 14 are taken.
    expect(said).toBe("taken free free taken\nheld\n");
    rmSync(host("rw", "lock"));
  });

  test("attributes that are not a user's are refused", async () => {
    expect((await vm.run(["python3", "-c", ATTRIBUTES])).stdout).toBe("ENOTSUP\n".repeat(3));
  });

  test("the guest is not told where its directories are on the host", async () => {
    expect(await sh("grep -c ' /rw ' /proc/mounts")).toBe("1\n");
    expect(
      await sh(
        "cat /proc/mounts /proc/*/mountinfo /proc/*/cmdline 2>/dev/null | grep -ac smolvm-rule[s]-; :",
      ),
    ).toBe("0\n");
  });

  test("a file with another name outside of what is shared is believed for no longer than a second", async () => {
    writeFileSync(host("rw", "linked"), "old");
    linkSync(host("rw", "linked"), host("outside", "linked"));
    expect(await sh("cat /rw/linked; stat -c %s /rw/linked")).toBe("old3\n");
    writeFileSync(host("outside", "linked"), "newer");
    await until(
      "it is the new one",
      async () => (await sh("cat /rw/linked; stat -c %s /rw/linked")) === "newer5\n",
    );
    rmSync(host("rw", "linked"));
  });

  test("with strict coherence a shared mapping is refused", async () => {
    writeFileSync(host("strict", "file"), "x".repeat(100));
    const map = `
import errno, mmap, os
try: mmap.mmap(os.open("/strict/file", os.O_RDONLY), 0, mmap.MAP_SHARED, mmap.PROT_READ)
except OSError as e: print(errno.errorcode[e.errno])`;
    expect((await vm.run(["python3", "-c", map])).stdout).toBe("ENODEV\n");
  });

  test.runIf(BACKEND_FEATURES[backend as BackendName].snapshots)(
    "a fork has no directory of the host but those that it is given",
    async () => {
      const [child] = await vm.fork();
      try {
        expect(await child!.mounts.list()).toEqual([]);
        expect((await child!.run("ls /rw 2>&1 | grep -o 'not connected'")).stdout).toBe("not connected\n");
      } finally {
        await child!.delete({ force: true });
      }
    },
  );

  test.runIf(BACKEND_FEATURES[backend as BackendName].snapshots)(
    "what a copy has open is stale in whichever way the host's file has changed, and what is not changed is not",
    async () => {
      const held = (name: string): string => host("rw", "held", name);
      mkdirSync(host("rw", "held"));
      const names = ["same", "longer", "as long", "replaced", "removed", "moved", "written to"];
      for (const name of names) writeFileSync(held(name), "old.");
      const holder = vm.spawn(["python3", "-c", HOLDER]);
      await holder.pid;
      const ask = async (of: SmolVM): Promise<string[]> => {
        await of.run("rm -f /root/said; : >/root/go");
        return await until("it has answered", async () => {
          const { stdout, exitCode } = await of.run("cat /root/said");
          return exitCode === 0 ? stdout.split("\n") : undefined;
        });
      };
      let copy: SmolVM | undefined;
      try {
        const unchanged = names.slice(0, -1).map((name) => `${name}: old.`);
        expect(await ask(vm)).toEqual([...unchanged, "written to: 5", "mapped: old."]);
        writeFileSync(held("written to"), "old.");
        await vm.snapshot("held");
        writeFileSync(held("longer"), "longer");
        writeFileSync(held("as long"), "new.");
        writeFileSync(held("new"), "old.");
        renameSync(held("new"), held("replaced"));
        rmSync(held("removed"));
        renameSync(held("moved"), held("elsewhere"));
        writeFileSync(held("written to"), "host");
        copy = await SmolVM.restore("held", { mounts: [{ host: host("rw"), guest: "/rw", mode: "rw" }] });
        expect(await ask(copy)).toEqual([
          "same: old.",
          ...["longer", "as long", "replaced", "removed", "moved", "written to"].map(
            (name) => `${name}: ESTALE`,
          ),
          "mapped: old.",
        ]);
        expect(readFileSync(held("written to"), "utf8")).toBe("host");
      } finally {
        await copy?.delete({ force: true });
        await SmolVM.snapshots.delete("held").catch(() => {});
        await holder.kill("SIGKILL");
        await holder.wait().catch(() => {});
        rmSync(host("rw", "held"), { recursive: true });
      }
    },
  );

  test("a start fails if a directory is gone or a link has taken its place", async () => {
    await vm.mounts.add({ host: host("moving"), guest: "/moving" });
    await vm.stop();
    renameSync(host("moving"), host("moved"));
    await expect(vm.start()).rejects.toMatchObject({ code: "FILE_NOT_FOUND" });
    symlinkSync("moved", host("moving"));
    await expect(vm.start()).rejects.toMatchObject({ code: "CONFIG_INVALID" });
    rmSync(host("moving"));
    renameSync(host("moved"), host("moving"));
    await vm.start();
    expect((await vm.mounts.list()).every(({ mounted }) => mounted)).toBe(true);
  });

  test("what is mounted below a directory on the host is not shared with it", async () => {
    mkdirSync(host("rw", "below"));
    writeFileSync(host("rw", "below", "beneath"), "");
    // Only the processes of that command see the mount.
    const script = 'mount -t tmpfs x "$1/below" && : >"$1/below/mounted" && shift && exec "$@"';
    const [unshare = "", ...namespace] = IN_MOUNT_NAMESPACE;
    const run = [
      "run",
      "--backend",
      backend,
      "--network",
      "off",
      "--memory",
      "256M",
      "-v",
      `${host("rw")}:/rw`,
    ];
    const { stdout } = await promisify(execFile)(unshare, [
      ...[...namespace, "/bin/sh", "-c", script, "sh", host("rw")],
      ...[...CLI, ...run, "--", "sh", "-c", "ls /rw; ls /rw/below 2>&1"],
    ]);
    expect(stdout).toContain("below\n");
    expect(stdout).not.toContain("mounted");
    rmSync(host("rw", "below"), { recursive: true });
  });
});
