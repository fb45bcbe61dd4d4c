#!/usr/bin/env bash
# Builds the native programs into native/: the guest agent, the host-side monitor and the file server, static, for x86-64 and ARM64, and
# the libraries that some QEMUs are started with (monitor/preload/).
#
# With rustup the musl targets are used (and installed where they are missing); the linker is Rust's own, so that no
# cross compiler is needed. Without rustup (Debian's rustc-web, cargo-web and libstd-rust-web-dev) the programs are
# linked statically against glibc, for this machine's architecture, and for the other one if its cross compiler is
# there (gcc-aarch64-linux-gnu and libc6-dev-arm64-cross): the rest of what that takes is fetched with apt.
#
# The monitor for Windows hosts (x86-64) takes rustup and Debian's gcc-mingw-w64-x86-64: where they are not it is left out, and said.
#
#   scripts/build-native.sh            both architectures, and the monitor for Windows
#   scripts/build-native.sh x86_64     only that one
#   scripts/build-native.sh windows    only the monitor for Windows; a failure if that cannot be built
set -euo pipefail
cd "$(dirname "$0")/.."

say() { printf 'build-native: %s\n' "$*"; }
die() {
  printf 'build-native: %s\n' "$*" >&2
  exit 1
}

if [ -d "$HOME/.cargo/bin" ]; then PATH="$PATH:$HOME/.cargo/bin"; fi
host_arch=$(uname -m)
[ "$host_arch" = arm64 ] && host_arch=aarch64
if [ "$#" -gt 0 ]; then arches=("$@"); else arches=(x86_64 aarch64 windows); fi

if ! command -v cargo >/dev/null || ! command -v rustc >/dev/null; then
  die "cargo and rustc are needed. On Debian 12: apt-get install rustc-web cargo-web libstd-rust-web-dev gcc libc6-dev; elsewhere: https://rustup.rs"
fi

# What the programs are made of; doctor looks whether that is still what is here (src/doctor/checks/native-sources.ts).
sources() {
  find Cargo.toml Cargo.lock wire guest monitor fileserver scripts/build-native.sh -type f \
    \( -name '*.rs' -o -name '*.toml' -o -name '*.lock' -o -name '*.sh' \) -print0 | LC_ALL=C sort -z | xargs -0 sha256sum |
    sha256sum | cut -d' ' -f1
}

# The stamp holds that, and by what they are made; when it is unchanged there is nothing to do.
made_of=$(sources)
wanted=$({ rustc --version && printf '%s\n' "$made_of"; } | sha256sum | cut -d' ' -f1)
mkdir -p native

up_to_date() {
  [ -x "native/agent-$1" ] && [ -x "native/monitor-$1" ] && [ -x "native/files-$1" ] && [ -e "native/readonly-memory-$1.so" ] && [ -e "native/public-only-$1.so" ] && [ "$(cat "native/.stamp-$1" 2>/dev/null)" = "$wanted" ]
}

has_target() { [ -d "$(rustc --print sysroot)/lib/rustlib/$1/lib" ]; }

# A build in the target that fits best. Sets `target` and exports what cargo needs; fails if there is none.
choose_target() {
  local arch=$1
  sysroot=''
  target="$arch-unknown-linux-musl"
  local variable
  variable=$(printf '%s' "$target" | tr 'a-z-' 'A-Z_')
  if ! has_target "$target" && command -v rustup >/dev/null; then
    say "installing the Rust target $target"
    rustup target add "$target" >/dev/null
  fi
  if has_target "$target"; then
    if [ -n "$(find "$(rustc --print sysroot)/lib/rustlib" -path '*/bin/rust-lld' -print -quit)" ]; then
      export "CARGO_TARGET_${variable}_LINKER=rust-lld"
      export "CARGO_TARGET_${variable}_RUSTFLAGS=-C linker-flavor=ld.lld -C link-self-contained=yes"
    elif [ "$arch" != "$host_arch" ]; then
      command -v "$arch-linux-gnu-gcc" >/dev/null || return 1
      export "CARGO_TARGET_${variable}_LINKER=$arch-linux-gnu-gcc"
    fi
    return 0
  fi
  target="$arch-unknown-linux-gnu"
  variable=$(printf '%s' "$target" | tr 'a-z-' 'A-Z_')
  local flags="-C target-feature=+crt-static -C relocation-model=static"
  if [ "$arch" = "$host_arch" ]; then
    has_target "$target" || return 1
  else
    command -v "$arch-linux-gnu-gcc" >/dev/null || return 1
    export "CARGO_TARGET_${variable}_LINKER=$arch-linux-gnu-gcc"
    if ! has_target "$target"; then
      say "fetching Rust's standard library for $arch"
      sysroot=$(scripts/cross-rust-std.sh "$arch") || return 1
      flags="$flags --sysroot $sysroot"
    fi
  fi
  export "CARGO_TARGET_${variable}_RUSTFLAGS=$flags"
}

# Copies by rename: a running program keeps its file.
install_program() {
  cp "$1" "$2.new"
  chmod 755 "$2.new"
  mv -f "$2.new" "$2"
}

# Libraries without a C library: of the one in whose program they are loaded they take two functions.
build_preloads() {
  local arch=$1 variable linker name flags=()
  variable=CARGO_TARGET_$(printf '%s' "$target" | tr 'a-z-' 'A-Z_')
  linker=${variable}_LINKER
  if [ "${!linker:-}" = rust-lld ]; then
    flags=(-C linker=rust-lld -C linker-flavor=ld.lld -C link-self-contained=no -C link-args=-nostdlib)
  else
    flags=(-C "linker=${!linker:-cc}" -C "link-args=-nostdlib -nostartfiles")
  fi
  [ -z "${sysroot:-}" ] || flags+=(--sysroot "$sysroot")
  for name in readonly-memory public-only; do
    rustc --edition 2021 --crate-type cdylib --target "$target" -C panic=abort -C opt-level=s -C strip=symbols \
      -C target-feature=-crt-static "${flags[@]}" -o "$out/$name.so" "monitor/preload/${name/-/_}.rs"
    install_program "$out/$name.so" "native/$name-$arch.so"
  done
}

windows_target=x86_64-pc-windows-gnu
windows_linker=x86_64-w64-mingw32-gcc

# What is missing for it, in words; nothing if it can be built.
windows_lacks() {
  if ! has_target "$windows_target" && ! command -v rustup >/dev/null; then
    echo "rustup, for Rust's target $windows_target"
  elif ! command -v "$windows_linker" >/dev/null; then
    echo "the package gcc-mingw-w64-x86-64"
  fi
}

build_for_windows() {
  local program=native/monitor-x86_64.exe
  if [ -e "$program" ] && [ "$(cat native/.stamp-windows 2>/dev/null)" = "$wanted" ]; then
    say "$program is up to date"
    return
  fi
  if ! has_target "$windows_target"; then
    say "installing the Rust target $windows_target"
    rustup target add "$windows_target" >/dev/null
  fi
  say "building for $windows_target"
  CARGO_TARGET_X86_64_PC_WINDOWS_GNU_LINKER=$windows_linker \
    cargo build --quiet --release --locked --target "$windows_target" -p smolvm-monitor
  install_program "${CARGO_TARGET_DIR:-target}/$windows_target/release/smolvm-monitor.exe" "$program"
  printf '%s\n' "$wanted" >native/.stamp-windows
  say "$program $(stat -c %s "$program") bytes"
}

for arch in "${arches[@]}"; do
  if [ "$arch" = windows ]; then
    lacks=$(windows_lacks)
    if [ -z "$lacks" ]; then
      build_for_windows
    elif [ "$#" -gt 0 ]; then
      die "the monitor for Windows needs $lacks"
    else
      say "skipping the monitor for Windows, which needs $lacks; $host_arch is complete without it"
    fi
    continue
  fi
  case $arch in x86_64 | aarch64) ;; *) die "there is no agent for '$arch' (x86_64, aarch64, or windows for its monitor)" ;; esac
  if up_to_date "$arch"; then
    say "native/agent-$arch, native/monitor-$arch and native/files-$arch are up to date"
    continue
  fi
  if ! choose_target "$arch"; then
    if [ "$arch" = "$host_arch" ]; then
      die "rustc has no target for $arch. On Debian 12: apt-get install libstd-rust-web-dev"
    fi
    say "skipping $arch: rustup, or on Debian the package gcc-${arch//_/-}-linux-gnu, would make it possible; $host_arch is complete without it"
    continue
  fi
  say "building for $target"
  cargo build --quiet --release --locked --target "$target" -p smolvm-agent -p smolvm-monitor -p smolvm-files
  out="${CARGO_TARGET_DIR:-target}/$target/release"
  install_program "$out/smolvm-agent" "native/agent-$arch"
  install_program "$out/smolvm-monitor" "native/monitor-$arch"
  install_program "$out/smolvm-files" "native/files-$arch"
  build_preloads "$arch"
  printf '%s\n' "$made_of" >"native/.sources-$arch"
  printf '%s\n' "$wanted" >"native/.stamp-$arch"
  say "native/agent-$arch $(stat -c %s "native/agent-$arch") bytes, native/monitor-$arch $(stat -c %s "native/monitor-$arch") bytes, native/files-$arch $(stat -c %s "native/files-$arch") bytes"
done
