#!/usr/bin/env bash
# Packs our QEMU as an npm package that a release ships beside the package smolvm: static, for any x86_64 Linux. Builds it if it is not
# there (about 5 minutes, once).
#
#   npm run pack:qemu                 into dist-qemu/
#   npm run pack:qemu -- --out DIR    into another directory
set -euo pipefail
cd "$(dirname "$0")/.."
log_dir=$(mktemp -d)
trap 'rm -rf "$log_dir"' EXIT
# shellcheck source=scripts/lib.sh
. scripts/lib.sh

out=dist-qemu
while [ "$#" -gt 0 ]; do
  case $1 in
    --out)
      out=${2:-}
      [ -n "$out" ] || die "--out needs a directory" "$0 --out DIR"
      shift
      ;;
    -h | --help) sed -n '2,6s/^# \{0,1\}//p' "$0" && exit 0 ;;
    *) die "unknown argument '$1'" "$0 [--out DIR]" ;;
  esac
  shift
done

require_linux
[ "$(host_arch)" = x86_64 ] || die "our QEMU is built on x86_64 Linux only" "run this on such a machine"
require_node
need_qemu_tools
install_system_packages
install_npm_packages
say "Our QEMU"
./bin/smolvm qemu build --no-use </dev/null 2>&1 | sed 's/^/    /' || die "QEMU could not be built" "./bin/smolvm qemu build"
program=$(./bin/smolvm qemu build --no-use --json </dev/null 2>/dev/null | node -p 'JSON.parse(require("fs").readFileSync(0, "utf8")).data.path')
[ -x "$program" ] || die "there is no QEMU at '$program'" "./bin/smolvm qemu build --force"
say "smolvm-qemu-x64"
cp -a "$(dirname "$(dirname "$program")")" "$log_dir/package"
chmod -R go+rX "$log_dir/package"
node -e '
  const { version, author, repository } = require("./package.json");
  process.stdout.write(JSON.stringify({
    name: "smolvm-qemu-x64", version, author, repository,
    description: "The QEMU of smolvm: small, static, for x86_64 Linux",
    license: "GPL-2.0-only", os: ["linux"], cpu: ["x64"],
    files: ["bin", "share", "recipe", "manifest.json", "SOURCE.md", "COPYING", "COPYING.LIB", "LICENSE", "COPYRIGHT.libslirp", "COPYRIGHT.qboot"],
  }, undefined, 2) + "\n");
' >"$log_dir/package/package.json"
mkdir -p "$out"
file=$(npm pack --silent --pack-destination "$out" "$log_dir/package")
say "Done: npm install smolvm $out/$file"
