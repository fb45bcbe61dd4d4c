#!/usr/bin/env bash
# From a fresh Debian 12 (root or sudo; Node.js 20 or newer with npm) to a sandbox that runs something: installs what is
# missing, builds the agent and the package, makes the default image, boots it. Run again, it only checks, and boots.
#
#   ./scripts/quickstart.sh                 boots Debian's kernel
#   ./scripts/quickstart.sh --fast-kernel   builds the fast kernel as well (10 to 20 minutes, once): boots in half the time
set -euo pipefail
cd "$(dirname "$0")/.."
log_dir=$(mktemp -d)
trap 'rm -rf "$log_dir"' EXIT
# shellcheck source=scripts/lib.sh
. scripts/lib.sh

fast_kernel=''
for argument in "$@"; do
  case $argument in
    --fast-kernel) fast_kernel=1 ;;
    -h | --help) sed -n '2,6s/^# \{0,1\}//p' "$0" && exit 0 ;;
    *) die "unknown argument '$argument'" "$0 [--fast-kernel]" ;;
  esac
done

require_linux
require_node
if [ -n "$fast_kernel" ]; then need_kernel_tools; fi
install_system_packages
install_npm_packages
build_native_programs
build_package
build_image debian
if [ -n "$fast_kernel" ]; then build_kernel "$(host_arch)"; fi

say "A sandbox"
# shellcheck disable=SC2016 # expanded in the guest
inside='. /etc/os-release; echo "hello from $PRETTY_NAME, kernel $(uname -r), $(nproc) CPU, as $(id -un), pid 1 is $(cat /proc/1/comm)"; python3 -c "print(\"6 * 7 =\", 6 * 7)"'
note "this machine: kernel $(uname -r), $(nproc) CPU"
note "\$ ./bin/smolvm run -- sh -c '$inside'"
started=$(date +%s%N)
./bin/smolvm run -- sh -c "$inside" </dev/null | sed 's/^/    /' ||
  die "the sandbox did not run" "./bin/smolvm doctor" "./bin/smolvm run --verbose -- echo hello"
note "created, booted, run and deleted in $((($(date +%s%N) - started) / 1000000)) ms"

say "Done. Try: ./bin/smolvm run -- python3 -c 'print(42)'   or: ./bin/smolvm --help"
