#!/usr/bin/env bash
# Packs the npm package, installs it into an empty folder with a given Node.js, and uses it there: command line and SDK.
#
#   scripts/test-package.sh 22
set -euo pipefail
cd "$(dirname "$0")/.."
log_dir=$(mktemp -d)
folder=$(mktemp -d)
trap 'rm -rf "$folder" "$log_dir"' EXIT
# shellcheck source=scripts/lib.sh
. scripts/lib.sh

major=${1:?the major version of Node.js to test with}
npm pack --silent --pack-destination "$folder" >"$folder/packed"
tarball=$folder/$(cat "$folder/packed")
note "$(basename "$tarball"), $(($(stat -c %s "$tarball") / 1024)) KiB"

mkdir "$folder/app"
cd "$folder/app"
# npm runs a package's install script only if it is allowed to; this one puts the binary in place.
echo '{"name": "app", "private": true, "type": "module", "allowScripts": {"node": true}}' >package.json
npm install --silent --no-audit --no-fund --prefer-offline "$tarball" "node@$major" </dev/null >"$log_dir/install.log" 2>&1 ||
  die "npm install failed: $(tail -n 10 "$log_dir/install.log")" "npm install $tarball node@$major"
PATH="$folder/app/node_modules/.bin:$PATH"
case $(node --version) in
  "v$major."*) note "Node.js $(node --version)" ;;
  *) die "this is Node.js $(node --version), not $major" "npm view node@$major version" ;;
esac

# A Node that is too old is told so by both, in words and not by what it does not know.
if [ "$major" -lt 22 ]; then
  too_old="smolvm needs Node.js 22.18 or newer; this is $(node --version | tr -d v)"
  smolvm ls 2>"$log_dir/stderr" && die "smolvm ls succeeded"
  grep -qF "error: $too_old" "$log_dir/stderr" || die "smolvm ls said: $(cat "$log_dir/stderr")"
  echo 'import "smolvm";' >sdk.js
  node sdk.js 2>"$log_dir/stderr" && die "importing the SDK succeeded"
  grep -qF "SmolVMError: $too_old" "$log_dir/stderr" || die "importing the SDK said: $(cat "$log_dir/stderr")"
  note "refused: ok"
  exit 0
fi

native=$(find node_modules -name '*.node' -not -path 'node_modules/node*' -print)
[ -z "$native" ] || die "the package brings native modules: $native"

# Nothing may be said on stderr but progress, which --quiet silences: no warnings of Node's.
output=$(smolvm run --quiet --network off -- echo hi 2>"$log_dir/stderr") ||
  die "smolvm run failed: $(cat "$log_dir/stderr")"
[ "$output" = hi ] || die "smolvm run printed '$output' instead of 'hi'"
[ ! -s "$log_dir/stderr" ] || die "smolvm run wrote to stderr: $(cat "$log_dir/stderr")"
note "smolvm run: ok"

# It brings the set-up's scripts, in the way that they find each other.
smolvm setup --dry-run >"$log_dir/setup" 2>&1 || die "smolvm setup --dry-run failed: $(cat "$log_dir/setup")"
note "smolvm setup: ok"

cat >sdk.js <<'JS'
import { SmolVM } from "smolvm";
import { resolveBackend } from "smolvm/backends";
const vm = await SmolVM.create({ backend: resolveBackend("qemu"), network: "off" });
try {
  const { stdout, exitCode } = await vm.run("echo from the SDK; exit 7");
  if (stdout !== "from the SDK\n" || exitCode !== 7) throw new Error(JSON.stringify({ stdout, exitCode }));
} finally {
  await vm.delete();
}
JS
node sdk.js || die "the SDK failed"
note "SDK: ok"

# Bundled, the library finds what the package brings by Node's own way to it, and says so where there is none.
[ "$major" = 24 ] || exit 0
npm install --silent --no-audit --no-fund --prefer-offline esbuild@0.25.12 rolldown@1.2.19 </dev/null >"$log_dir/install.log" 2>&1 ||
  die "npm install failed: $(tail -n 10 "$log_dir/install.log")" "npm install esbuild rolldown"
mkdir -p "$folder/alone" out
echo '{"type": "module"}' >"$folder/alone/package.json"
bundled() {
  local name=$1
  node "out/$name" || die "the SDK failed in the bundle $name"
  # In a directory from which the package is not found.
  cp -r "out/$(dirname "$name")/." "$folder/alone/"
  (cd "$folder/alone" && node "$(basename "$name")") 2>"$log_dir/stderr" && die "the bundle $name ran without the package"
  grep -q "DEPENDENCY_MISSING\|npm install smolvm" "$log_dir/stderr" || die "the bundle $name said: $(cat "$log_dir/stderr")"
  note "bundled as $name: ok"
}
sed -e 's/^import.*backends.*$//' -e 's/resolveBackend("qemu")/"qemu"/' sdk.js >bundle.js
# CommonJS has no await at the top.
sed -e 's/^import { SmolVM } from "smolvm";$/import { SmolVM } from "smolvm"; (async () => {/' bundle.js >bundle-cjs.js
echo '})();' >>bundle-cjs.js
esbuild=node_modules/.bin/esbuild
"$esbuild" bundle-cjs.js --bundle --platform=node --log-level=error --outfile=out/esbuild.cjs
bundled esbuild.cjs
"$esbuild" bundle.js --bundle --platform=node --format=esm --log-level=error --outfile=out/esbuild.mjs
bundled esbuild.mjs
node_modules/.bin/rolldown bundle.js --platform node --format esm --dir out/rolldown >"$log_dir/rolldown.log" 2>&1 ||
  die "rolldown failed: $(tail -n 5 "$log_dir/rolldown.log")"
bundled rolldown/bundle.js
