#!/usr/bin/env bash
# First process of a machine whose files are in ROOT, in namespaces of its own (scripts/dev/fresh-debian.sh): mounts what a
# machine has, changes to ROOT for good and runs the command there, as a login of that user would, with these variables.
#
#   enter-root.sh ROOT USER HOME COMMAND [NAME=VALUE...]
set -euo pipefail
root=$1 user=$2 home=$3 command=$4
shift 4
hostname "$(<"$root/etc/hostname")"
mount --bind "$root" "$root" # pivot_root wants a mount
mount -t proc proc "$root/proc"
mount -t sysfs sysfs "$root/sys"
mount --rbind /sys/fs/cgroup "$root/sys/fs/cgroup"
mount -t tmpfs -o mode=755 tmpfs "$root/run"
mkdir -p "$root/run/lock" "$root/usr/lib/modules"
chmod 1777 "$root/run/lock"
if [ -d /lib/modules ]; then mount --bind -o ro /lib/modules "$root/usr/lib/modules"; fi

# device NAME MAJOR MINOR MODE OWNER:GROUP, as udev has them
device() {
  mkdir -p "$(dirname "$root/dev/$1")"
  mknod -m "$4" "$root/dev/$1" c "$2" "$3"
  chroot "$root" chown "$5" "/dev/$1"
}
# host_device NAME MODE OWNER:GROUP: if this machine has it
host_device() {
  if [ -c "/dev/$1" ]; then device "$1" "$((0x$(stat -c %t "/dev/$1")))" "$((0x$(stat -c %T "/dev/$1")))" "$2" "$3"; fi
}
mount -t tmpfs -o mode=755 tmpfs "$root/dev"
device null 1 3 666 root:root
device zero 1 5 666 root:root
device full 1 7 666 root:root
device random 1 8 666 root:root
device urandom 1 9 666 root:root
device tty 5 0 666 root:tty
host_device kvm 660 root:kvm
host_device net/tun 666 root:root
host_device fuse 666 root:root
host_device vhost-net 660 root:kvm
host_device vhost-vsock 660 root:kvm
mkdir "$root/dev/pts" "$root/dev/shm"
mount -t devpts -o newinstance,gid=5,mode=620,ptmxmode=666 devpts "$root/dev/pts"
mount -t tmpfs -o mode=1777 tmpfs "$root/dev/shm"
ln -s pts/ptmx "$root/dev/ptmx"
ln -s /proc/self/fd "$root/dev/fd"
for name in stdin:0 stdout:1 stderr:2; do ln -s "fd/${name#*:}" "$root/dev/${name%:*}"; done

# Not chroot, in which nobody may make a user namespace.
mkdir -p "$root/.old"
cd "$root"
pivot_root . .old
cd /
umount -l /.old
rmdir /.old

path=/usr/local/bin:/usr/bin:/bin
[ "$user" != root ] || path=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
# shellcheck disable=SC2016 # expanded by that shell
# Not the last command's exec: this process stays, to reap what loses its parent.
setpriv --reuid "$user" --regid "$user" --init-groups \
  env -i "$@" "PATH=$path" "HOME=$home" "USER=$user" "LOGNAME=$user" SHELL=/bin/bash LANG=C.UTF-8 \
  bash -c 'cd ~/smolvm && eval "$0"' "$command" || exit $?
