#!/usr/bin/env bash
# Makes a Mac ready for smolvm, with Homebrew: QEMU, and nothing else is needed. No root.
#
#   ./scripts/system-setup-macos.sh
#
#   --check               say what is missing and change nothing; exit code 1 if something is
#   --dry-run             say what would be done and do nothing
#   --uninstall           remove what this script has installed, and nothing else
#   --configure-runtime   as on Linux; a Mac has nothing to configure, and the script says so
#   --user NAME           as on Linux; a Mac needs no group, and the script says so
#   --private-networks MODE     is refused: a Mac has no taps
#   --firecracker-archive FILE  is refused: Firecracker runs on Linux only
#
# Works with the bash 3.2 that macOS brings.
set -euo pipefail
mode=apply
state_dir="$HOME/Library/Application Support/smolvm-setup"
setup_dir=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)/setup
# shellcheck source=scripts/setup/lib.sh
. "$setup_dir/lib.sh"
: "${journal:?}"

remove='' runtime='' user=''
while [ "$#" -gt 0 ]; do
  case $1 in
    --check) [ "$mode" != dry-run ] || usage_error "--check and --dry-run exclude each other" && mode=check ;;
    --dry-run) [ "$mode" != check ] || usage_error "--check and --dry-run exclude each other" && mode=dry-run ;;
    --uninstall) remove=1 ;;
    --configure-runtime) runtime=1 ;;
    --user=*) user=${1#*=} ;;
    --user)
      [ -n "${2:-}" ] || usage_error "$1 needs a value"
      user=$2
      shift
      ;;
    --private-networks*) usage_error "a Mac has no taps, whose guests could reach private networks" ;;
    --firecracker-archive*) usage_error "Firecracker runs on Linux only: a Mac uses QEMU" ;;
    -h | --help) sed -n '2,14s/^# \{0,1\}//p' "$0" && exit 0 ;;
    *) usage_error "unknown argument '$1'" ;;
  esac
  shift
done
[ -z "$remove" ] || [ "$mode" != check ] || usage_error "--check and --uninstall exclude each other"

[ "$(uname -s)" = Darwin ] || die "this script is for macOS" "${0%-macos.sh}.sh"
[ "$(id -u)" -ne 0 ] || die "Homebrew refuses to work as root, and nothing here needs root" "Run it without sudo: $0"
PATH="$PATH:/opt/homebrew/bin"
have brew || die "Homebrew is not installed" "See https://brew.sh, then: $0"

installed_formulae() { brew list --formula -1 | sort -u; }

# What came with QEMU goes with it, unless something else needs it by now: brew refuses that.
uninstall() {
  local formulae=()
  while IFS= read -r formula; do formulae+=("$formula"); done < <(sed -n 's/^formula	//p' "$journal" 2>/dev/null)
  if [ "${#formulae[@]}" -eq 0 ]; then
    good "nothing of this script's is here"
  elif todo "remove: brew uninstall --formula ${formulae[*]}"; then
    local output
    output=$(brew uninstall --formula "${formulae[@]}" 2>&1 </dev/null) || remark "some are kept: $(tail -n 3 <<<"$output")"
    rm -rf "$state_dir"
  fi
}

if [ -n "$remove" ]; then
  uninstall
  exit 0
fi

qemu="qemu-system-$(host_arch)"
if have "$qemu" && have qemu-img; then
  good "QEMU: $(command -v "$qemu")"
elif todo "install QEMU: brew install qemu"; then
  before=$(installed_formulae)
  # Noted even if installing fails half way.
  code=0
  (quietly "installing QEMU" brew install qemu) || code=$?
  while IFS= read -r formula; do record formula "$formula"; done < \
    <(comm -13 <(echo "$before") <(installed_formulae) | grep .)
  [ "$code" -eq 0 ] || exit "$code"
fi
[ -z "$runtime" ] || good "runtime: nothing to configure, QEMU's user-mode network needs no root"
[ -z "$user" ] || good "user: a Mac needs no group for virtualization"

if [ "$mode" = check ] && [ "$missing" -gt 0 ]; then
  line '' "What is missing is done by: $0"
  exit 1
fi
[ "$mode" = dry-run ] || line ok "this machine is ready; see: smolvm doctor"
