#!/usr/bin/env bash
# A whole machine to set up and take apart: this one's root file system under an overlay, in mount, process and network
# namespaces of its own. Nothing of it is seen outside, and all of it is gone with this process. It has neither ordinary users
# nor the group kvm, whatever this one has.
#
#   fake-host.sh FOLDER CHECKOUT CACHE NODE SMOLVM <SCRIPT
#
# FOLDER is empty, CHECKOUT is seen as /checkout, CACHE (images and kernels) is root's, SMOLVM is what NODE runs as the command line.
#
# The script is bash, run in the machine as root, and has these words:
#   $root                  what comes before a path of the machine's: nothing
#   $folder                where the script may keep things that are none of the machine's
#   host COMMAND...        runs it as root
#   $smolvm                the command line under test, as words for host and as
#   as USER COMMAND...     ... as that user with its groups, as a new login would
#   all_packages           what the set-up would install, and this machine lacks, is here: an empty stand-in for each
#   stand_in NAME <TEXT    puts a program in front of the machine's own; TEXT is its body after the line that notes its call
#   calls                  what was asked of the stand-ins, a line for each
#   cpu FLAGS              what /proc/cpuinfo says that the processor can
#   device PATH MAJOR MINOR MODE OWNER
#   changes                every file that differs from this machine's, with its mode, owner and content
set -euo pipefail
folder=$1 checkout=$2 cache=$3 node=$4
# Root logged in by herself.
unset SUDO_USER SUDO_UID SUDO_GID SUDO_COMMAND
mount -t tmpfs tmpfs "$folder"
mkdir "$folder/upper" "$folder/work" "$folder/root" "$folder/cache" "$folder/cache-work"
root=$folder/root
mount -t overlay overlay -o "lowerdir=/,upperdir=$folder/upper,workdir=$folder/work" "$root"
mount -t proc proc "$root/proc"
mount -t sysfs sysfs "$root/sys"
mount -t tmpfs tmpfs "$root/dev"
mount -t tmpfs tmpfs "$root/run"
mount -t tmpfs -o mode=1777 tmpfs "$root/tmp"
mkdir -p "$root/home"
mount -t tmpfs -o mode=755 tmpfs "$root/home"
ln -s /proc/self/fd "$root/dev/fd"
# Where every user gets to, which they need not where they are.
mkdir "$root/checkout"
mount --bind "$checkout" "$root/checkout"
mount -o remount,bind,ro "$root/checkout"
if [ -d "$cache" ]; then
  mkdir -p "$root/root/.cache/smolvm"
  mount -t overlay overlay -o "lowerdir=$cache,upperdir=$folder/cache,workdir=$folder/cache-work" "$root/root/.cache/smolvm"
  # Root takes no template that another user has made.
  templates=$root/root/.cache/smolvm/templates
  [ -O "$templates" ] || rm -rf "$templates"
fi
touch "$root/run/node"
mount --bind "$node" "$root/run/node"
# Not chroot, in which nobody may make a user namespace.
mkdir "$root/.old"
pivot_root "$root" "$root/.old"
cd /
root='' folder=/.old$folder
host() { "$@"; }
device() {
  mkdir -p "$(dirname "$root$1")"
  mknod -m "$4" "$root$1" c "$2" "$3"
  host chown "$5" "$1"
}
device /dev/null 1 3 666 root:root
device /dev/zero 1 5 666 root:root
device /dev/full 1 7 666 root:root
device /dev/tty 5 0 666 root:root
device /dev/random 1 8 666 root:root
device /dev/urandom 1 9 666 root:root
device /dev/net/tun 10 200 666 root:root
ip link set lo up
awk -F: '$3 >= 1000 && $3 < 60000 { print $1 }' /etc/passwd | while read -r name; do userdel "$name"; done
if getent group kvm >/dev/null; then groupdel --force kvm; fi

as() {
  local user=$1
  shift
  host setpriv --reuid "$user" --regid "$(host id -g "$user")" --init-groups env "HOME=/home/$user" "USER=$user" "$@"
}
stand_in() {
  {
    echo '#!/bin/bash'
    echo "# A stand-in for $1 in smolvm's tests: it notes how it was called, and is not the real program."
    echo "echo \"$1 \$*\" >>/run/calls"
    cat
  } >"$root/run/stand-in"
  mkdir -p "$root/run/stand-ins"
  chmod 755 "$root/run/stand-in" && mv "$root/run/stand-in" "$root/run/stand-ins/$1"
}
all_packages() {
  local program
  while read -r program _; do
    case $program in
      /*) [ -e "$program" ] || { mkdir -p "$(dirname "$program")" && touch "$program"; } ;;
      *) command -v "$program" >/dev/null || stand_in "$program" <<<'' ;;
    esac
  done < <(mode=check state_dir=/run bash -c 'for part in lib packages; do . "/checkout/scripts/setup/$part.sh"; done; wanted_packages apt')
}
calls() { cat "$root/run/calls" 2>/dev/null || true; }
cpu() {
  sed "s/^flags\([[:space:]]*\):.*/flags\1: fpu $1/" /.old/proc/cpuinfo >"$folder/cpuinfo"
  mount --bind "$folder/cpuinfo" "$root/proc/cpuinfo"
}
# The backups of shadow's tools (/etc/group-) and apt's caches are theirs.
changes() {
  (cd "$folder/upper"  && find . \( -path ./checkout -o -path ./.old -o -name '*-' -path './etc/*' -o -path ./etc/.pwd.lock \) -prune -o ! -type d -print | sort |
    while read -r path; do
      if cmp -s "$path" "/.old/$path" && [ "$(stat -c '%a %u %g' "$path")" = "$(stat -c '%a %u %g' "/.old/$path")" ]; then continue; fi
      echo "$(stat -c '%A %u:%g' "$path") $path $([ -f "$path" ] && sha256sum <"$path" | cut -c 1-12)"
    done)
}
PATH="/run/stand-ins:$PATH:/usr/local/sbin:/usr/sbin:/sbin"
export PATH
# shellcheck disable=SC2034 # for the script
smolvm="/run/node $5"
script=$(cat)
exec </dev/null
eval "$script"
