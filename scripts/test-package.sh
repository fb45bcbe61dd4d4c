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

# A program that goes where there is neither Node nor the package: with the native programs beside it it runs, without it says so.
npm install --silent --no-audit --no-fund --prefer-offline --ignore-scripts postject@1.0.0-alpha.6 "@oven/bun-linux-$(node -p process.arch)@1.4.5" \
  </dev/null >"$log_dir/install.log" 2>&1 ||
  die "npm install failed: $(tail -n 10 "$log_dir/install.log")" "npm install postject bun"
bun=$(echo node_modules/@oven/bun-*/bin/bun)
cat >bundle-sdk.js <<'JS'
import { SmolVM } from "smolvm";
(async () => {
  const vm = await SmolVM.create({ network: "off" });
  try {
    const { stdout } = await vm.run("cat", { stdin: "alone" });
    await vm.files.write("/srv/file", stdout);
    console.log(await vm.files.readText("/srv/file"));
  } finally {
    await vm.delete();
  }
})();
JS
carried() {
  local name=$1 alone=$folder/alone-$1
  mkdir "$alone"
  cp "out/$name" "$alone/"
  (cd "$alone" && "./$name") 2>"$log_dir/stderr" && die "$name ran without the native programs"
  grep -q "npm install smolvm" "$log_dir/stderr" || die "$name said: $(cat "$log_dir/stderr")"
  cp -r node_modules/smolvm/native "$alone/smolvm-native"
  [ "$(cd / && "$alone/$name")" = alone ] || die "$name failed"
  note "$name: ok"
}
"$esbuild" bundle-sdk.js --bundle --platform=node --log-level=error --outfile=out/sea.cjs
echo '{"main": "out/sea.cjs", "output": "out/sea.blob", "disableExperimentalSEAWarning": true}' >sea.json
node --experimental-sea-config sea.json >"$log_dir/sea.log" 2>&1 || die "node's blob: $(cat "$log_dir/sea.log")"
cp "$(node -p process.execPath)" out/node-executable
node_modules/.bin/postject out/node-executable NODE_SEA_BLOB out/sea.blob \
  --sentinel-fuse NODE_SEA_FUSE_fce680ab2cc467b6e072b8b5df1996b2 >"$log_dir/sea.log" 2>&1 || die "postject: $(cat "$log_dir/sea.log")"
carried node-executable
"$bun" build --compile bundle-sdk.js --outfile out/bun-executable >"$log_dir/bun.log" 2>&1 || die "bun build: $(cat "$log_dir/bun.log")"
carried bun-executable

# Bun itself, with the processes in the background, which Bun runs as well.
cat >on-bun.js <<'JS'
import { SmolVM } from "smolvm";
const vm = await SmolVM.create({ network: "off", lifetime: "detached", ttlMs: 600_000 });
try {
  const server = `python3 -c 'import socket; s = socket.create_server(("127.0.0.1", 80)); c = s.accept()[0]; c.send(b"HTTP/1.0 200 OK\\r\\n\\r\\npublished")'`;
  await vm.spawn(server, { detached: true, stdout: "ignore", stderr: "ignore" }).started;
  await vm.run("until grep -q ':0050 00000000:0000 0A' /proc/net/tcp; do sleep 0.1; done", { timeoutMs: 60_000 });
  const { url } = await vm.ports.publish(80);
  console.log(await (await fetch(url)).text());
} finally {
  await vm.delete({ force: true });
}
JS
[ "$("$bun" on-bun.js)" = published ] || die "on Bun, the SDK failed"
note "Bun $("$bun" --version): ok"
# One without node:sqlite says what to do.
npm install --silent --no-audit --no-fund --prefer-offline --ignore-scripts "@oven/bun-linux-$(node -p process.arch)@1.3.14" </dev/null >"$log_dir/install.log" 2>&1 ||
  die "npm install failed: $(tail -n 10 "$log_dir/install.log")" "npm install bun"
"$bun" on-bun.js 2>"$log_dir/stderr" && die "Bun 1.3 ran it"
grep -q "Run it with Bun 1.4 or newer" "$log_dir/stderr" || die "Bun 1.3 said: $(cat "$log_dir/stderr")"
note "Bun $("$bun" --version): refused"
