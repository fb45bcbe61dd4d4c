#!/usr/bin/env bash
# Packs the guest bundles that a release ships beside the package smolvm: for each architecture an npm package with the
# default image, the fast kernel and the agent. Builds what is missing (a kernel takes 10 to 20 minutes, once).
#
#   npm run pack:guest                      both architectures, into dist-guest/
#   npm run pack:guest -- x64               smolvm-guest-x64 only
#   npm run pack:guest -- arm64 --out DIR   into another directory
set -euo pipefail
cd "$(dirname "$0")/.."
log_dir=$(mktemp -d)
trap 'rm -rf "$log_dir"' EXIT
# shellcheck source=scripts/lib.sh
. scripts/lib.sh

out=dist-guest
names=()
while [ "$#" -gt 0 ]; do
  case $1 in
    x64 | arm64) names+=("$1") ;;
    --out)
      out=${2:-}
      [ -n "$out" ] || die "--out needs a directory" "$0 --out DIR"
      shift
      ;;
    -h | --help) sed -n '2,7s/^# \{0,1\}//p' "$0" && exit 0 ;;
    *) die "unknown argument '$1'" "$0 [x64] [arm64] [--out DIR]" ;;
  esac
  shift
done
[ "${#names[@]}" -gt 0 ] || names=(x64 arm64)

require_linux
require_node
need_kernel_tools
for name in "${names[@]}"; do need_guest_tools "$name"; done
install_system_packages
install_npm_packages
build_native_programs
version=$(node -p 'require("./package.json").version')
packed=()
for name in "${names[@]}"; do
  case $name in x64) arch=x86_64 ;; *) arch=aarch64 ;; esac
  [ -x "native/agent-$arch" ] || die "the agent for $arch was not built" "scripts/build-native.sh $arch"
  build_image debian "$arch"
  ./bin/smolvm image kernel ls --json | grep -q "\"arch\":\"$arch\"" || build_kernel "$arch"
  say "smolvm-guest-$name"
  mkdir -p "$out"
  file=$out/smolvm-guest-$name-$version.tgz
  ./bin/smolvm image export --force --arch "$arch" debian "$file" </dev/null 2>&1 | sed 's/^/    /' ||
    die "packing failed" "./bin/smolvm image export --arch $arch debian $file"
  packed+=("$file")
done
say "Done: npm install smolvm ${packed[*]}"
