#!/usr/bin/env bash
# Fetches Rust's standard library for another architecture, for a Debian whose rustc is not rustup's: the package of the
# same version, from the same archive, verified by apt; nothing is installed. Prints the sysroot that has it.
#
#   scripts/cross-rust-std.sh aarch64
set -euo pipefail
cd "$(dirname "$0")/.."

arch=${1:?the architecture, e.g. aarch64}
case $arch in aarch64) debian_arch=arm64 ;; x86_64) debian_arch=amd64 ;; *) exit 2 ;; esac
own=$(rustc --print sysroot)
# The package that this rustc's own library is from, e.g. libstd-rust-web-dev 1.85.0+dfsg1-1~deb12u2.
package=$(dpkg-query -S "$own/lib/rustlib/$(uname -m)-unknown-linux-gnu/lib" 2>/dev/null | sed 's/[:,].*//' | head -n 1)
[ -n "$package" ] || exit 1
version=$(dpkg-query -W -f '${Version}' "$package")

sysroot=$PWD/target/rust-std/$version
if [ ! -e "$sysroot/complete" ]; then
  rm -rf "$sysroot"
  # An apt of its own, which knows no other architecture: the machine's is left as it is.
  mkdir -p "$sysroot"/apt/state/lists/partial "$sysroot"/apt/cache/archives/partial "$sysroot/lib/rustlib"
  : >"$sysroot/apt/status"
  apt=(apt-get -q -o "APT::Architecture=$debian_arch" -o "APT::Architectures=$debian_arch" -o "Dir::State=$sysroot/apt/state"
    -o "Dir::State::status=$sysroot/apt/status" -o "Dir::Cache=$sysroot/apt/cache" -o "APT::Sandbox::User=$(id -un)" -o Acquire::Retries=3)
  {
    "${apt[@]}" update
    cd "$sysroot/apt"
    "${apt[@]}" download "$package=$version"
  } >"$sysroot/log" 2>&1 </dev/null || {
    tail -n 5 "$sysroot/log" >&2
    exit 1
  }
  dpkg-deb -x "$sysroot"/apt/*.deb "$sysroot/apt/package"
  mv "$sysroot/apt/package/usr/lib/rustlib"/* "$sysroot/lib/rustlib/"
  ln -s "$own/lib/rustlib/$(uname -m)-unknown-linux-gnu" "$sysroot/lib/rustlib/"
  rm -rf "$sysroot/apt"
  touch "$sysroot/complete"
fi
printf '%s\n' "$sysroot"
