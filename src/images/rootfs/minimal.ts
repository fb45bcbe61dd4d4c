import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { Deadline } from "../../util/deadline.ts";
import type { Apt } from "../debian/apt.ts";
import { type TarEntry, writeTar } from "../formats/tar.ts";
import type { PackageVersion } from "../store/manifest.ts";
import { sourceOf } from "./debian.ts";
import { tarToSquashfs } from "./squashfs.ts";

/** The one package that the minimal image is made of: every program in one static file. */
export const MINIMAL_PACKAGE = "busybox-static";

/** What busybox is called by in the minimal image; Debian's busybox-static has them all. */
export const MINIMAL_COMMANDS: readonly string[] = (
  "[ ar arch ash awk base64 basename bc bunzip2 busybox bzcat bzip2 cal cat chgrp chmod chown chroot clear cmp cp " +
  "cpio cut date dd df diff dirname dmesg dos2unix du echo ed egrep env expand expr factor fallocate false fgrep find " +
  "fold free ftpget ftpput getopt grep groups gunzip gzip head hexdump hostid hostname id ifconfig ip " +
  "ipcalc kill killall last less link ln logger logname losetup ls lsmod lsscsi lzcat lzma md5sum mkdir mkfifo mknod " +
  "mktemp more mount mv nc netstat nl nologin nproc nsenter nslookup od paste patch pidof ping ping6 " +
  "printf ps pwd readlink realpath renice reset rev rm rmdir route run-parts sed seq setsid sh sha1sum " +
  "sha256sum sha3sum sha512sum shred shuf sleep sort stat strings stty su sync sysctl tac tail tar taskset tee " +
  "telnet test tftp time timeout top touch tr traceroute true truncate tty umount uname unexpand uniq unix2dos unlink " +
  "unlzma unshare unxz unzip uptime usleep uudecode uuencode vi w watch wc wget which who whoami xargs xxd xz xzcat " +
  "yes zcat"
).split(" ");

/**
 * Builds the minimal image: busybox, users root and nobody, the directories that programs expect. Nothing of the guest's
 * architecture runs while it is built.
 * @throws SmolVMError IMAGE_BUILD_FAILED, DEPENDENCY_MISSING
 */
export async function buildMinimalRootfs(
  apt: Apt,
  { workDir, target, deadline }: { workDir: string; target: string; deadline: Deadline },
): Promise<PackageVersion[]> {
  const unpacked = join(workDir, "busybox");
  await apt.unpack(await apt.download(MINIMAL_PACKAGE), unpacked);
  const tarball = join(workDir, "rootfs.tar");
  const entries = minimalEntries({
    busybox: await readFile(join(unpacked, "bin/busybox")),
    copyright: await readFile(join(unpacked, "usr/share/doc", MINIMAL_PACKAGE, "copyright")),
  });
  await writeFile(tarball, writeTar(entries, await apt.archiveTime()));
  await tarToSquashfs(tarball, target, deadline);
  const control = await apt.show(MINIMAL_PACKAGE);
  const version = control.get("Version") ?? "";
  return [
    { name: MINIMAL_PACKAGE, version, source: sourceOf(MINIMAL_PACKAGE, version, control.get("Source")) },
  ];
}

/** What is in the minimal image. Pure. */
export function minimalEntries(files: { busybox: Uint8Array; copyright: Uint8Array }): TarEntry[] {
  const directory = (path: string, mode = 0o755): TarEntry => ({ path, mode, kind: "directory" });
  const file = (path: string, content: string | Uint8Array, mode = 0o644): TarEntry => ({
    path,
    mode,
    kind: "file",
    data: Buffer.from(content as Uint8Array),
  });
  const link = (path: string, target: string): TarEntry => ({ path, mode: 0o777, kind: "symlink", target });
  return [
    directory("."),
    ...[
      "dev",
      "etc",
      "home",
      "media",
      "mnt",
      "opt",
      "proc",
      "run",
      "srv",
      "sys",
      "usr",
      "usr/bin",
      "usr/local",
    ].map((path) => directory(path)),
    ...[
      "usr/local/bin",
      "usr/sbin",
      "usr/lib",
      "usr/share",
      "usr/share/doc",
      "var",
      "var/lib",
      "var/log",
    ].map((path) => directory(path)),
    directory("root", 0o700),
    directory("tmp", 0o1777),
    directory("var/tmp", 0o1777),
    link("bin", "usr/bin"),
    link("sbin", "usr/sbin"),
    link("lib", "usr/lib"),
    link("var/run", "/run"),
    file(
      "etc/passwd",
      "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n",
    ),
    file("etc/group", "root:x:0:\ntty:x:5:\nnogroup:x:65534:\n"),
    file("etc/shadow", "root:*:19000:0:99999:7:::\nnobody:*:19000:0:99999:7:::\n", 0o640),
    file("etc/hosts", "127.0.0.1\tlocalhost\n::1\tlocalhost\n"),
    file("etc/shells", "/bin/sh\n/bin/ash\n"),
    file("etc/profile", "export PS1='\\u@\\h:\\w\\$ '\n"),
    file(
      "etc/os-release",
      'ID=smolvm-minimal\nNAME="SmolVM minimal"\nPRETTY_NAME="SmolVM minimal (busybox)"\n',
    ),
    file("usr/share/doc/busybox-static.copyright", files.copyright),
    file("usr/bin/busybox", files.busybox, 0o755),
    ...MINIMAL_COMMANDS.filter((name) => name !== "busybox").map((name) =>
      link(`usr/bin/${name}`, "busybox"),
    ),
    link("usr/sbin/nologin", "../bin/busybox"),
  ];
}
