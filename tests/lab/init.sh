#!/bin/busybox sh
# shellcheck shell=dash
# PID 1 of the lab's initramfs: loads the modules, makes a root of the host's own files (read-only, over 9p) under a
# writable layer in memory, and goes on there with enter.sh. Words on the kernel's command line: lab.job=DIR lab.script=FILE
b=/bin/busybox
$b mkdir -p /proc /sys /dev /host /layer /newroot
$b mount -t proc proc /proc
$b mount -t sysfs sysfs /sys
$b mount -t devtmpfs devtmpfs /dev
die() { echo "lab: $*"; $b sleep 1; $b reboot -f; }
while read -r module; do
  # One that this kernel or machine does not want is noticed by what then does not work.
  $b insmod "/modules/$module" 2>/dev/null || echo "lab: $module was not loaded"
done </modules/order
$b mount -t 9p -o trans=virtio,version=9p2000.L,ro,msize=512000,cache=loose host /host || die "no host over 9p"
$b mount -t tmpfs -o mode=0755,size=75% layer /layer || die "no memory for the writable layer"
$b mkdir /layer/upper /layer/work
$b mount -t overlay -o lowerdir=/host,upperdir=/layer/upper,workdir=/layer/work root /newroot || die "no overlay"
for directory in proc sys dev; do $b mount -o move "/$directory" "/newroot/$directory"; done
# The kernel gives its unknown words with a value to PID 1 as environment, but for those with a dot.
for word in $($b cat /newroot/proc/cmdline); do
  case $word in
    lab.job=*) LAB_JOB=${word#*=} ;;
    lab.script=*) script=${word#*=} ;;
  esac
done
export LAB_JOB
exec $b switch_root /newroot /bin/bash "$script"
