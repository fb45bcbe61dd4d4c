#!/bin/bash
# PID 1 of the lab, in its root: mounts what a host has, runs the job's command and tells how it ended. What the host
# gave is in LAB_JOB: argv, env (both NUL-separated), cwd, needed (directories, a line each), shares ("TAG DIR" lines).
# The lab's ports: lab.control (lines to the host: ready, beat, exit N), lab.out and lab.err (the command's output).
mount -t devpts -o mode=0620,ptmxmode=0666 devpts /dev/pts 2>/dev/null || { mkdir -p /dev/pts && mount -t devpts devpts /dev/pts; }
mkdir -p /dev/shm && mount -t tmpfs -o mode=1777 shm /dev/shm
mount -t tmpfs -o mode=0755 run /run
# /tmp is fast and the lab's own, but for what of the job's lies there on the host.
mapfile -t needed <"$LAB_JOB/needed"
for n in "${!needed[@]}"; do
  mkdir "/run/lab-$n" && mount --bind "${needed[n]}" "/run/lab-$n"
done
mount -t tmpfs -o mode=1777,size=60% tmp /tmp
for n in "${!needed[@]}"; do
  [ -d "${needed[n]}" ] || { mkdir -p "${needed[n]}" && mount --bind "/run/lab-$n" "${needed[n]}"; }
done
mount -t cgroup2 cgroup2 /sys/fs/cgroup
ln -sf /proc/self/fd /dev/fd
for name in stdin:0 stdout:1 stderr:2; do ln -sf "/proc/self/fd/${name#*:}" "/dev/${name%:*}"; done
mkdir -p /dev/net
# As udev has them on any distribution.
chgrp kvm /dev/kvm 2>/dev/null && chmod 0660 /dev/kvm
chmod 0666 /dev/net/tun /dev/fuse 2>/dev/null
# Emulated, waiting by spinning takes the time away from what is waited for.
echo 0 >/sys/module/kvm/parameters/halt_poll_ns
ip link set lo up
# An address in a network, as a host has one.
ip link add lan type dummy && ip address add 192.168.78.1/24 dev lan && ip link set lan up
hostname lab 2>/dev/null || echo lab >/proc/sys/kernel/hostname
echo 1 >/proc/sys/kernel/panic

port() {
  local entry
  for entry in /sys/class/virtio-ports/*; do
    [ "$(<"$entry/name")" = "$1" ] && echo "/dev/${entry##*/}"
  done
}
exec 7>"$(port lab.control)"
while read -r tag directory; do
  mkdir -p "$directory"
  mount -t 9p -o trans=virtio,version=9p2000.L,rw,msize=512000,cache=none "$tag" "$directory" || echo "lab: no $directory"
done <"$LAB_JOB/shares"
echo ready >&7
# Louder than anything that runs here: its silence means that the lab itself stands still.
(
  renice -n -10 $BASHPID >/dev/null
  while sleep 1; do read -r up _ </proc/uptime && echo "beat $up" >&7; done
) &

mkfifo /run/lab-out /run/lab-err
cat </run/lab-out >"$(port lab.out)" &
out=$!
cat </run/lab-err >"$(port lab.err)" &
err=$!
mapfile -d '' -t argv <"$LAB_JOB/argv"
mapfile -d '' -t env <"$LAB_JOB/env"
(
  exec 7>&- </dev/null >/run/lab-out 2>/run/lab-err
  cd "$(<"$LAB_JOB/cwd")" || exit 125
  exec env -i "${env[@]}" "${argv[@]}"
) &
command=$!
wait "$command"
code=$?
# What the command left running may hold its output open: it has a moment for its last words.
(sleep 2 && kill "$out" "$err") 2>/dev/null &
wait "$out" "$err"
echo "exit $code" >&7
while sleep 1; do :; done
