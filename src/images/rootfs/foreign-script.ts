import type { Arch } from "../../config/spec.ts";

/** What finishing a root file system in a guest needs to know. */
export interface ForeignPlan {
  readonly arch: Arch;
  /** seconds since 1970: the newest time that a file may have */
  readonly sourceDateEpoch: number;
}

/** Where the two disks of the guest are. */
const INPUT_DISK = "/dev/disk/by-id/virtio-extra-0";
const OUTPUT_DISK = "/dev/disk/by-id/virtio-extra-1";

/** These come first, in this order: what other packages' scripts take for granted (as in debootstrap's order). */
const FIRST = ["base-passwd", "base-files", "dpkg", "libc6", "perl-base", "mawk", "debconf"];

/**
 * The script that finishes a root file system inside a guest of its architecture: the essential packages' files are laid out, so
 * that dpkg runs, then dpkg unpacks and configures all of them properly. The result is written to the output disk as tar;
 * the last line that is printed is its size in bytes. Runs in the minimal image (busybox). Pure.
 *
 * The input disk is a tar with trees/*.tar (files of essential packages), debs/*.deb (all packages) and root/ (files to be
 * put in as they are).
 */
export function finishScript({ arch, sourceDateEpoch }: ForeignPlan): string {
  const lib64 = arch === "x86_64" ? "mkdir -p usr/lib64 && ln -s usr/lib64 lib64" : ":";
  return `set -eu
umask 022
in=/mnt/in root=/mnt/root
mkdir -p $in $root
tar -x -f ${INPUT_DISK} -C $in
cd $root
mkdir -p usr/bin usr/sbin usr/lib
for name in bin sbin lib; do ln -s usr/$name $name; done
${lib64}
echo "laying out the essential packages"
for tree in $in/trees/*.tar; do tar -x -f "$tree"; rm "$tree"; done
# dpkg will put back what it is told to keep of these.
rm -rf usr/share/man usr/share/info usr/share/locale usr/share/doc
cp -a $in/root/. .
mv $in/debs debs
mkdir -p proc sys dev var/lib/dpkg
touch var/lib/dpkg/status var/lib/dpkg/available
# A package must not start anything.
printf '#!/bin/sh\\nexit 101\\n' > usr/sbin/policy-rc.d
chmod 755 usr/sbin/policy-rc.d
mount -t proc proc proc
mount -t sysfs sysfs sys
mount -o bind /dev dev
# Whole paths: busybox would run its own dpkg by the name.
inside() {
  env -i PATH=/usr/sbin:/usr/bin HOME=/root TERM=dumb LC_ALL=C DEBIAN_FRONTEND=noninteractive \\
    DEBCONF_NONINTERACTIVE_SEEN=true DEBCONF_NOWARNINGS=yes chroot $root "$@" </dev/null
}
for name in ${FIRST.join(" ")}; do
  echo "installing $name"
  set -- debs/"$name"_*.deb
  inside /usr/bin/dpkg --force-depends --force-unsafe-io --install "/$1" >/dev/null 2>/tmp/err || { cat /tmp/err >&2; exit 1; }
done
echo "unpacking all packages"
inside /usr/bin/dpkg --force-depends --force-unsafe-io --unpack --recursive /debs >/dev/null 2>/tmp/err || { cat /tmp/err >&2; exit 1; }
echo "configuring all packages"
inside /usr/bin/dpkg --force-unsafe-io --configure --pending
umount dev sys proc
rm -rf debs usr/sbin/policy-rc.d etc/hostname etc/resolv.conf usr/share/python3/debpython/__pycache__
rm -f var/lib/dpkg/*-old var/cache/debconf/*-old var/log/dpkg.log var/log/alternatives.log var/log/bootstrap.log
find var/cache/apt var/lib/apt/lists -type f -exec rm -f {} +
rm -rf run/* tmp/*
echo "packing"
chroot $root /usr/bin/tar --create --sort=name --numeric-owner --one-file-system --xattrs --format=posix \\
  --pax-option=exthdr.name=%d/PaxHeaders/%f,delete=atime,delete=ctime \\
  --clamp-mtime --mtime=@${sourceDateEpoch} --directory=/ . > /mnt/root.tar
dd if=/mnt/root.tar of=${OUTPUT_DISK} bs=1048576 conv=fsync 2>/dev/null || dd if=/mnt/root.tar of=${OUTPUT_DISK} bs=1048576
sync
stat -c %s /mnt/root.tar
`;
}
