/**
 * Programs that do to a file system whatever there is to do to one, and look at what comes of it: Debian's stress-ng, in a guest, on a directory of the host. It is fetched on
 * the host, into a directory that the guest has as well. Only with SMOLVM_TEST_LONG, on a Debian 12, whose programs are those of the guest's image.
 */
import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, realpathSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { SmolVM } from "../../../src/index.ts";
import { BACKENDS, HAS_PYTHON, small } from "../../helpers/backends.ts";
import { useTempHome } from "../../helpers/home.ts";
import { scaled } from "../../helpers/speed.ts";

useTempHome();
const LONG = (process.env.SMOLVM_TEST_LONG ?? "") !== "";
const IS_BOOKWORM =
  existsSync("/usr/bin/apt-get") &&
  readFileSync("/etc/os-release", "utf8").includes("VERSION_CODENAME=bookworm");

/** Stressors that use files, and end by themselves after so many operations. */
const STRESSORS = [
  "access chmod chown copy-file dentry dir dirdeep dirmany dnotify fallocate fault fcntl fiemap file-ioctl filename flock fstat getdent handle hdd inode-flags inotify iomix lease",
  "link locka lockf lockofd mknod mmap open readahead rename revio seek sendfile sparsematrix symlink sync-file touch utime verity xattr",
].flatMap((line) => line.split(" "));
const LIBRARIES = "/stress/usr/lib/x86_64-linux-gnu:/stress/lib/x86_64-linux-gnu";

describe.runIf(LONG && HAS_PYTHON && IS_BOOKWORM).each(BACKENDS)(
  "stress-ng on a directory of the host on %s",
  (backend) => {
    let vm: SmolVM;
    let dir: string;

    beforeAll(async () => {
      dir = realpathSync(mkdtempSync(join(tmpdir(), "smolvm-stress-")));
      for (const name of ["work", "packages", "stress"]) mkdirSync(join(dir, name));
      const kinds = ["recommends", "suggests", "conflicts", "breaks", "replaces", "enhances"].map(
        (kind) => `--no-${kind}`,
      );
      const depends = execFileSync("apt-cache", ["depends", "--recurse", ...kinds, "stress-ng"], {
        encoding: "utf8",
      });
      // Those that every Debian has are the guest's own.
      const names = depends.split("\n").filter((line) => /^(lib(?!c6|gcc)|stress|zlib)\S*$/.test(line));
      execFileSync("apt-get", ["download", "-q", ...new Set(names)], {
        cwd: join(dir, "packages"),
        stdio: "ignore",
      });
      for (const file of readdirSync(join(dir, "packages")))
        execFileSync("dpkg", ["-x", join(dir, "packages", file), join(dir, "stress")]);
      vm = await SmolVM.create(
        small(backend, {
          memSizeMib: 1024,
          mounts: [
            { host: join(dir, "work"), guest: "/work", mode: "rw" },
            { host: join(dir, "stress"), guest: "/stress" },
          ],
        }),
      );
    }, scaled(180_000));
    afterAll(async () => {
      await vm?.delete({ force: true });
      rmSync(dir, { recursive: true, force: true });
    });

    test.each(LONG ? STRESSORS : STRESSORS.slice(0, 1))(
      "%s finds nothing wrong",
      async (stressor) => {
        const argv = ["/stress/usr/bin/stress-ng", "--temp-path", "/work", "--verify", "--timeout", "5"];
        const { exitCode, stdout, stderr } = await vm.run(
          [...argv, `--${stressor}`, "1", `--${stressor}-ops`, "200"],
          {
            env: { LD_LIBRARY_PATH: LIBRARIES },
          },
        );
        expect(exitCode, stdout + stderr).toBe(0);
        expect(readdirSync(join(dir, "work"))).toEqual([]);
      },
      scaled(60_000),
    );
  },
);
