#!/usr/bin/env bash
# Installs what tests need and runs all of them, on real VMs. CI runs exactly this.
#
#   ./scripts/test.sh           everything but the tests that take many minutes
#   ./scripts/test.sh --long    those too
#   ./scripts/test.sh [--long] --only TEXT [--only TEXT]...
#                               only the stages whose name contains one of these, and what all need (set-up, kernel, QEMU)
#
# Each stage has a time budget and prints the time it took. The last line is "N passed, N failed, N skipped" over all
# stages; the exit code is 0 only if nothing failed and no test that was expected to run was skipped. As an ordinary user, whom
# sudo must ask for no password, all but the lab runs; that is said at the end, and counts as skipped.
set -euo pipefail
cd "$(dirname "$0")/.."
log_dir=$(mktemp -d)
builds_job=''
# A command that fails in here would be the script's exit code.
clean_up() {
  if [ -n "$builds_job" ]; then end_builds; fi
  rm -rf "$log_dir"
}
trap clean_up EXIT
# shellcheck source=scripts/lib.sh
. scripts/lib.sh

long=''
only=()
while [ $# -gt 0 ]; do
  case $1 in
    --long) long=1 ;;
    --only)
      [ -n "${2:-}" ] || die "--only needs a part of a stage's name" "$0 --help"
      only+=("$2")
      shift
      ;;
    -h | --help) sed -n '2,11s/^# \{0,1\}//p' "$0" && exit 0 ;;
    *) die "unknown argument '$1'" "$0 [--long] [--only TEXT]..." ;;
  esac
  shift
done
if [ -n "$long" ]; then export SMOLVM_TEST_LONG=1; else unset SMOLVM_TEST_LONG; fi

passed=0 failed=0 skipped=0
problems=()
left_out=''
asked=0 not_asked=0
started_all=$SECONDS

# count PASSED FAILED SKIPPED
count() {
  passed=$((passed + $1))
  failed=$((failed + $2))
  skipped=$((skipped + $3))
}

# stage NAME BUDGET_S FUNCTION [ARGS...]: runs it, if it is asked for
stage() {
  if is_asked "$1"; then
    asked=$((asked + 1))
    run_stage "$@"
  else
    not_asked=$((not_asked + 1))
  fi
}

is_asked() {
  local text
  [ "${#only[@]}" -eq 0 ] && return
  for text in "${only[@]}"; do [[ $1 == *"$text"* ]] && return; done
  return 1
}

# run_stage NAME BUDGET_S FUNCTION [ARGS...]: what it counts is in $log_dir/count ("PASSED FAILED SKIPPED"), and no
# count is one test that passed or failed with the exit code
run_stage() {
  local name=$1 budget=$2 function=$3 code=0 started=$SECONDS
  shift 3
  say "$name"
  rm -f "$log_dir/count"
  "$function" "$budget" "$@" || code=$?
  if [ -s "$log_dir/count" ]; then
    local numbers
    read -r -a numbers <"$log_dir/count"
    count "${numbers[0]}" "${numbers[1]}" "${numbers[2]}"
    # A runner that fails without a failed test (it crashed, or ran out of time) is a failure all the same.
    if [ "$code" -ne 0 ] && [ "${numbers[1]}" -eq 0 ]; then count 0 1 0; fi
    [ "$code" -eq 0 ] || problems+=("$name: ${numbers[1]} failed, exit code $code")
  elif [ "$code" -eq 0 ]; then
    count 1 0 0
  else
    count 0 1 0
    local over=''
    if [ "$code" -eq 124 ]; then over=" (its budget of $budget s is over)"; fi
    problems+=("$name: exit code $code$over")
  fi
  note "$((SECONDS - started)) s"
}

# limited BUDGET_S COMMAND...: the whole process group ends with its budget
limited() {
  local budget=$1
  shift
  timeout --kill-after=20 "$budget" "$@" </dev/null
}

# report PROJECT REPORT.json...: counts what vitest reported; what it has to tell is said here, and once more at the very end
report() {
  local code=0
  node scripts/test-report.ts "$@" >"$log_dir/count" 2>"$log_dir/telling" || code=$?
  cat "$log_dir/telling" >&2
  cat "$log_dir/telling" >>"$log_dir/told"
  return "$code"
}

# vitest_project BUDGET_S PROJECT [FILES...]; what uses real machines on a host that may be busy has a second attempt, which is told
vitest_project() {
  local budget=$1 project=$2 code=0 retries=()
  shift 2
  if [ "$project" != unit ]; then retries=(--retry=1); fi
  local json="$log_dir/$project.json"
  rm -f "$json"
  limited "$budget" vitest run --project "$project" --reporter=default --reporter=json --outputFile.json="$json" "${retries[@]}" "$@" ||
    code=$?
  report "$project" "$json" || code=$?
  return "$code"
}

# contract BUDGET_S VARIABLE=VALUE FILES...: a part of the contract suite on another kernel or architecture
contract() {
  local budget=$1 name=${2%%=*} value=${2#*=} code=0
  shift 2
  export "$name=$value"
  vitest_project "$budget" integration "$@" || code=$?
  unset "$name"
  return "$code"
}

# The kernel takes about ten minutes of two CPUs, our QEMU half of that: they are built, with low priority and one after the other, beside
# what needs no sandbox.
start_builds() {
  {
    build_aside kernel image kernel build
    if [ "$(host_arch)" = x86_64 ]; then build_aside qemu qemu build --no-use; fi
  } &
  builds_job=$!
}

# build_aside NAME ARGUMENTS...: its exit code is the sign that it is done
build_aside() {
  local name=$1 code=0
  shift
  ./bin/smolvm "$@" </dev/null >"$log_dir/$name.log" 2>&1 || code=$?
  echo "$code" >"$log_dir/$name.code"
}

end_builds() {
  pkill -TERM -P "$builds_job" || :
  kill "$builds_job" 2>/dev/null || :
  wait "$builds_job" 2>/dev/null || :
  builds_job=''
}

# built BUDGET_S NAME: waits for what is built aside
built() {
  local left=$1 name=$2
  while [ ! -e "$log_dir/$name.code" ] && [ "$left" -gt 0 ] && [ -n "$builds_job" ]; do
    sleep 1
    left=$((left - 1))
  done
  if [ -e "$log_dir/$name.log" ]; then tail -n 4 "$log_dir/$name.log" | sed 's/^/    /'; fi
  if [ -e "$log_dir/$name.code" ]; then return "$(cat "$log_dir/$name.code")"; fi
  if [ -n "$builds_job" ]; then end_builds; fi
  return 124
}

# own_qemu BUDGET_S FILES...: test files on our QEMU; what was built before
own_qemu() {
  local budget=$1 code=0 program
  shift
  program=$(./bin/smolvm qemu build --no-use --json </dev/null | node -p 'JSON.parse(require("fs").readFileSync(0, "utf8")).data.path') || return 1
  SMOLVM_QEMU=$program vitest_project "$budget" integration "$@" || code=$?
  return "$code"
}

# on_musl BUDGET_S: the contract suite on an image with another C library and busybox for all commands, without the files whose images are their
# own; tests/contract/left-out.ts has what that image cannot run
on_musl() {
  local budget=$1 layout=${XDG_CACHE_HOME:-$HOME/.cache}/smolvm-lab/alpine-3.23 file files=()
  for file in tests/contract/*.test.ts; do
    case $file in
      */build.test.ts | */commit.test.ts | */pulled.test.ts) ;;
      *) files+=("$file") ;;
    esac
  done
  scripts/dev/alpine-image.sh "$layout" && contract "$budget" "SMOLVM_TEST_IMAGE=oci:$layout:alpine" "${files[@]}"
}

foreign_image() {
  local arch=aarch64
  [ "$(host_arch)" = aarch64 ] && arch=x86_64
  limited "$1" ./bin/smolvm image build debian --arch "$arch" 2>&1 | sed 's/^/    /'
}

# lab_tests BUDGET_S BACKENDS FILES...: test files in the lab, a virtual machine with KVM and Firecracker
lab_tests() {
  local budget=$1 backends=$2 results file reports=() code=0
  shift 2
  results=$(mktemp -d -p "$log_dir")
  for file in "$@"; do reports+=("$results/$(basename "$file" .test.ts).json"); done
  # Emulated, and with a virtual machine in it, everything takes some times longer: limits are for what hangs. QEMU is read
  # once before, because its hundred libraries come over 9p, and asking it for its version has a limit of its own.
  SMOLVM_TEST_BACKENDS=$backends SMOLVM_SPEED_FACTOR=10 limited "$budget" \
    node tests/lab/main.ts --timeout "$((budget - 30))" --share "$results" \
    bash -c 'qemu-system-x86_64 --version >/dev/null; exec "$@"' warm node tests/lab/suite.ts "$results" "$@" || code=$?
  # Each file that was asked for has left a report, or is a failure.
  report lab "${reports[@]}" || code=$?
  return "$code"
}

# windows_tests BUDGET_S: as on a Windows host, under wine (tests/windows/)
windows_tests() {
  local budget=$1 code=0 json="$log_dir/windows.json"
  limited "$budget" node tests/windows/main.ts --timeout "$((budget - 20))" --report "$json" || code=$?
  report windows "$json" || code=$?
  return "$code"
}

cargo_tests() {
  local code=0
  # The file server's fuzzer runs for seconds, or for minutes.
  SMOLVM_FILES_FUZZ_SECONDS=${long:+600} limited "$1" cargo test --locked --quiet 2>&1 | tee "$log_dir/cargo.log" || code=$?
  # test result: ok. 12 passed; 0 failed; 1 ignored; ...
  awk '/^test result:/ { p += $4; f += $6; s += $8 } END { print p + 0, f + 0, s + 0 }' "$log_dir/cargo.log" >"$log_dir/count"
  return "$code"
}

shell_scripts() {
  limited "$1" shellcheck -x scripts/*.sh scripts/dev/*.sh scripts/setup/*.sh scripts/setup/network tests/helpers/*.sh tests/lab/*.sh tests/windows/*.sh .ci/run bin/smolvm
}

# smolvm in a checkout boots its image; how long that takes is how slow this machine is
first_sandbox() {
  local budget=$1 started times=() time
  for _ in 1 2 3; do
    started=$(date +%s%N)
    [ "$(limited "$budget" ./bin/smolvm run --quiet --network off -- echo hello)" = hello ] || return 1
    times+=($((($(date +%s%N) - started) / 1000000)))
  done
  time=$(printf '%s\n' "${times[@]}" | sort -n | sed -n 2p)
  # Limits in tests were thought for a machine that does this in 3 s; they are times the factor.
  SMOLVM_SPEED_FACTOR=$(awk -v time="$time" 'BEGIN { f = time / 3000; if (f < 1) f = 1; if (f > 10) f = 10; printf "%.2f", f }')
  export SMOLVM_SPEED_FACTOR
  note "echo in a new sandbox: ${times[*]} ms; limits are times $SMOLVM_SPEED_FACTOR"
}

say "Set-up"
require_linux
require_node
if [ "$(id -u)" -ne 0 ] && ! sudo -n true 2>/dev/null; then
  die "some tests need root for a moment, and sudo does not give it without asking" "sudo $0"
fi
case $(host_arch) in # guests of both architectures
  x86_64) need qemu-system-aarch64 qemu-system-arm ;;
  aarch64) need qemu-system-x86_64 qemu-system-x86 ;;
esac
# Without rustup the other architecture's agent is linked by a cross compiler.
if ! have rustup; then
  case $(host_arch) in
    x86_64) need aarch64-linux-gnu-gcc gcc-aarch64-linux-gnu libc6-dev-arm64-cross ;;
    aarch64) need x86_64-linux-gnu-gcc gcc-x86-64-linux-gnu libc6-dev-amd64-cross ;;
  esac
fi
need python3 python3
need pip3 python3-pip
need ps procps
need unshare util-linux
need setpriv util-linux
need /lib/systemd/systemd systemd
need nft nftables
need ip iproute2
need mount mount
need shellcheck shellcheck
need lz4 lz4
# archives for the tests of ADD
need bzip2 bzip2
need xz xz-utils
need zstd zstd
need busybox busybox-static
need mkfs.erofs erofs-utils
# registries for the tests of pulled images, and what makes images for them and looks at what became of these
need docker-registry docker-registry
need skopeo skopeo
need umoci umoci
need buildah buildah
if [ -n "$long" ]; then need qemu-img qemu-utils; fi
need curl curl
need openssl openssl
# The monitor for Windows hosts, and what its tests run on.
if [ "$(host_arch)" = x86_64 ]; then
  if have rustup; then need x86_64-w64-mingw32-gcc gcc-mingw-w64-x86-64; fi
  need /usr/lib/wine/wine64 wine64
  need /usr/share/seabios/bios-microvm.bin seabios
fi
need_kernel_tools
if [ "$(host_arch)" = x86_64 ]; then need_qemu_tools; fi
install_system_packages
install_npm_packages
start_builds
build_native_programs
if [ "$(host_arch)" = x86_64 ]; then
  say "Windows under wine"
  # Its tests fail without it; all others need not.
  tests/windows/setup.sh </dev/null | sed 's/^/    /' || note "what Windows' tests run on could not be made: tests/windows/setup.sh"
fi
build_package
build_image debian
for arch in x86_64 aarch64; do
  [ -x "native/agent-$arch" ] && build_image minimal "$arch"
done

stage "Nothing made here is in git" 30 limited npm run --silent check:tracked
stage "Types" 120 limited npm run --silent check:types
stage "Lint" 120 limited npm run --silent check:lint
stage "Unused files and dependencies" 60 limited npm run --silent check:unused
stage "Shell scripts" 60 shell_scripts
stage "Unit tests" "$([ -n "$long" ] && echo 1800 || echo 300)" vitest_project unit
stage "Agent, monitor and file server (cargo test)" "$([ -n "$long" ] && echo 1500 || echo 600)" cargo_tests
run_stage "The fast kernel" 1500 built kernel
# Where it fails, its tests are left out, and all else runs on the distribution's, as it does where it is there.
if [ "$(host_arch)" = x86_64 ]; then run_stage "Our own QEMU" 900 built qemu; fi
run_stage "A sandbox, and how fast this machine is" 180 first_sandbox
# What users install is the built command line, so that is what tests type.
export SMOLVM_TEST_CLI="$PWD/dist/cli/bin.js"
stage "Integration, contract and end-to-end tests" "$([ -n "$long" ] && echo 9000 || echo 2700)" vitest_project integration
stage "Contract on Debian's kernel: smoke list" 600 contract SMOLVM_TEST_KERNEL=debian \
  tests/contract/boot.test.ts tests/contract/commands.test.ts tests/contract/files.test.ts
if [ "$(host_arch)" = x86_64 ]; then
  stage "Contract on our own QEMU: parts" 900 own_qemu \
    tests/contract/boot.test.ts tests/contract/commands.test.ts tests/contract/snapshots.test.ts
fi
# The other architecture is emulated on every host: its image takes ten minutes and more to make. Without --long it has the
# tests of the minimal image (tests/integration/images/aarch64.test.ts).
if [ -n "$long" ]; then
  stage "The default image for the other architecture" 2400 foreign_image
  if [ "$(host_arch)" = x86_64 ]; then
    stage "Contract on aarch64: core" 900 contract SMOLVM_TEST_ARCH=aarch64 \
      tests/contract/commands.test.ts tests/contract/files.test.ts tests/contract/ports.test.ts
  fi
  if [ "$(host_arch)" = x86_64 ] && [ "$(id -u)" -eq 0 ]; then
    stage "Contract on musl: Alpine" 1800 on_musl
  fi
  stage "Package: guest bundles, without Debian's tools" 900 limited scripts/test-guest-bundle.sh x64 arm64
else
  case $(host_arch) in
    x86_64) bundle=x64 ;;
    *) bundle=arm64 ;;
  esac
  stage "Package: a guest bundle, without Debian's tools" 600 limited scripts/test-guest-bundle.sh "$bundle"
fi
stage "Package: publint" 120 limited publint --strict
stage "Package: are the types wrong" 120 limited attw --pack . --profile esm-only --no-color
stage "Package: refused by Node.js 20" 120 limited scripts/test-package.sh 20
for version in 22 24 26; do
  stage "Package: installed and run on Node.js $version" 300 limited scripts/test-package.sh "$version"
done
if [ "$(host_arch)" = x86_64 ] && [ -e native/monitor-x86_64.exe ]; then
  stage "Windows under wine" "$([ -n "$long" ] && echo 7200 || echo 240)" windows_tests
else
  note "not run: Windows under wine, which needs x86_64 and a monitor for it, so rustup"
  count 0 0 1
fi
# Alone, after all others: it is a machine that emulates a machine.
if [ "$(host_arch)" != x86_64 ] || [ "$(id -u)" -ne 0 ]; then
  left_out="not run: the lab, which needs x86_64 and root: nothing was tested on Firecracker and KVM"
  note "$left_out"
  count 0 0 1
elif [ -n "$long" ]; then
  stage "In the lab: Firecracker, and QEMU with KVM" 14400 lab_tests firecracker,qemu \
    tests/lab/tests/*.test.ts tests/contract/*.test.ts tests/integration/cli/crash-walk{,-saved}.test.ts \
    tests/integration/network/{taps,open-escapes,rate}.test.ts tests/integration/soak/soak.test.ts
else
  # A fixed part that took twelve minutes on two idle cores, seven of them the walk's sample.
  stage "In the lab: parts of the contract and the crash walk, on Firecracker" 1200 lab_tests firecracker \
    tests/lab/tests/wrong-firecracker.test.ts tests/contract/commands.test.ts tests/contract/drives.test.ts \
    tests/contract/templates.test.ts tests/integration/network/open-escapes.test.ts \
    tests/integration/cli/crash-walk.test.ts
fi

say "All stages: $((SECONDS - started_all)) s"
if [ "${#only[@]}" -gt 0 ]; then
  note "not asked for: $not_asked other stages"
  [ "$asked" -gt 0 ] || die "no stage's name contains: ${only[*]}" "grep -o 'stage \"[^\"]*\"' $0"
fi
for problem in "${problems[@]}" ${left_out:+"$left_out"}; do note "$problem"; done
if [ -s "$log_dir/told" ]; then sed 's/^/    /' "$log_dir/told"; fi
echo "$passed passed, $failed failed, $skipped skipped"
[ "${#problems[@]}" -eq 0 ] && [ "$failed" -eq 0 ]
