#!/usr/bin/env bash
# From a fresh Debian 12 (root or sudo; Node.js 20 or newer with npm) to a sandbox that runs something: installs what is
# missing, builds the agent and the package, makes the default image, boots it. Run again, it only checks, and boots.
#
#   ./scripts/quickstart.sh
set -euo pipefail
cd "$(dirname "$0")/.."
log_dir=$(mktemp -d)
trap 'rm -rf "$log_dir"' EXIT
# shellcheck source=scripts/lib.sh
. scripts/lib.sh

require_linux
require_node
install_system_packages
install_npm_packages
build_native_programs
build_package
build_image debian

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
