#!/bin/bash
# The rows that want a KVM, in the lab (CONTRIBUTING.md):
#   npm run lab -- --timeout 900 --share bench/results bench/lab.sh firecracker|qemu
# Its one processor is emulated, so only ratios mean something, and 8 MiB (two seconds) take as long as 256 elsewhere.
set -e
common="--bare --n 5 --runs 60 --mib 8"
case $1 in
  firecracker) exec node bench/main.ts --rows 10,7,6 --backend firecracker $common ;;
  qemu)
    qemu-system-x86_64 --version >/dev/null # its libraries come from afar the first time
    exec node bench/main.ts --rows 1,3,7,6 --backend qemu --accelerator kvm $common
    ;;
  *) echo "which one? firecracker or qemu" >&2; exit 2 ;;
esac
