#!/usr/bin/env bash
# Installs smolvm and guest bundles from tarballs into an empty folder and runs sandboxes there, with nothing on PATH but
# Node.js and QEMU, and with Debian's tools made unusable: nothing may be built.
#
#   scripts/test-guest-bundle.sh x64 arm64
#   scripts/test-guest-bundle.sh x64=smolvm-guest-x64-0.1.0.tgz     a bundle that `npm run pack:guest` wrote
set -euo pipefail
cd "$(dirname "$0")/.."
log_dir=$(mktemp -d)
folder=$(mktemp -d)
trap 'rm -rf "$folder" "$log_dir"' EXIT
# shellcheck source=scripts/lib.sh
. scripts/lib.sh
PATH="$PWD/node_modules/.bin:$PATH"

[ "$#" -gt 0 ] || set -- x64 arm64
npm pack --silent --pack-destination "$folder" >"$folder/packed"
tarballs=("$folder/$(cat "$folder/packed")")
guests=()
for argument in "$@"; do
  guest=${argument%%=*}
  case $guest in x64) arch=x86_64 ;; arm64) arch=aarch64 ;; *) die "no guest bundle for '$guest'" "$0 x64 arm64" ;; esac
  guests+=("$arch")
  bundle=${argument#"$guest"}
  bundle=${bundle#=}
  if [ -z "$bundle" ]; then
    bundle=$folder/smolvm-guest-$guest.tgz
    ./bin/smolvm image export --arch "$arch" debian "$bundle" </dev/null 2>&1 | sed 's/^/    /' ||
      die "the bundle could not be packed" "./bin/smolvm image export --arch $arch debian FILE"
  fi
  tarballs+=("$(realpath "$bundle")")
  note "$(basename "$bundle"), $(($(stat -c %s "$bundle") / 1024 / 1024)) MiB"
done

mkdir "$folder/app" "$folder/bin"
cd "$folder/app"
echo '{"name": "app", "private": true, "type": "module"}' >package.json
npm install --silent --no-audit --no-fund --prefer-offline "${tarballs[@]}" </dev/null >"$log_dir/install.log" 2>&1 ||
  die "npm install failed: $(tail -n 10 "$log_dir/install.log")" "npm install ${tarballs[*]}"
# The agent comes from the bundle as well.
rm node_modules/smolvm/native/agent-*

ln -s "$(node -p process.execPath)" "$folder/bin/node"
for arch in "${guests[@]}"; do ln -s "$(command -v "qemu-system-$arch")" "$folder/bin/"; done

# isolated COMMAND...: with these programs on PATH only, a home of its own, and every tool that builds images gone
isolated() {
  local namespace=(unshare --mount)
  [ "$(id -u)" -eq 0 ] || namespace=(unshare --user --map-root-user --mount)
  # shellcheck disable=SC2016 # expanded inside
  "${namespace[@]}" /bin/sh -c '
    for tool in apt-get apt-cache dpkg dpkg-deb mmdebstrap debootstrap tar2sqfs mksquashfs mke2fs qemu-img gcc make; do
      for directory in /usr/bin /usr/sbin /bin /sbin; do
        [ ! -e "$directory/$tool" ] || mount --bind /dev/null "$(readlink -f "$directory/$tool")" 2>/dev/null || :
      done
    done
    folder=$1
    shift
    exec env -i PATH="$folder/bin" HOME="$folder/home" SMOLVM_HOME="$folder/home" "$@"' sh "$folder" "$@"
}

! isolated /usr/bin/dpkg --version >/dev/null 2>&1 || die "dpkg still works in here: the test would prove nothing"

for arch in "${guests[@]}"; do
  command=(node node_modules/smolvm/dist/cli/bin.js run --quiet --arch "$arch" --network off --)
  output=$(isolated "${command[@]}" sh -c 'uname -m; python3 -c "print(6*7)"; git --version >&2' </dev/null 2>"$log_dir/stderr") ||
    die "the main job failed for $arch: $(cat "$log_dir/stderr")"
  [ "$output" = "$arch"$'\n42' ] || die "the main job printed '$output' for $arch"
  note "$arch: ok, kernel $(isolated "${command[@]}" uname -r </dev/null)"
done

cat >sdk.js <<'JS'
import { SmolVM } from "smolvm";
for (const arch of process.argv.slice(2)) {
  const vm = await SmolVM.create({ arch, network: "off" });
  try {
    const { stdout, exitCode } = await vm.run("uname -m; exit 7");
    if (stdout !== `${arch}\n` || exitCode !== 7) throw new Error(JSON.stringify({ stdout, exitCode }));
  } finally {
    await vm.delete({ force: true });
  }
}
JS
isolated node sdk.js "${guests[@]}" </dev/null || die "the SDK failed"
note "SDK: ok"
listed=$(isolated node node_modules/smolvm/dist/cli/bin.js image ls --quiet </dev/null | sort -u)
[ "$listed" = debian ] || die "the store holds '$listed'"
