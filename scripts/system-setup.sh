#!/usr/bin/env bash
# Makes a Linux machine ready for smolvm: Debian, Ubuntu, Fedora, RHEL and its rebuilds, Arch, openSUSE.
#
#   sudo ./scripts/system-setup.sh                      QEMU and tools, Firecracker, KVM's modules, the group kvm
#   sudo ./scripts/system-setup.sh --configure-runtime  that, and taps with a packet filter, now and after every reboot
#
#   --user NAME                 the user who runs sandboxes (default: who called sudo)
#   --private-networks open     let guests with taps reach private networks, which are closed; closed: no more (for --configure-runtime)
#   --firecracker-archive FILE  install Firecracker from this archive of its release, for machines without internet
#   --check                     say what is missing and change nothing; exit code 1 if something is (needs no root)
#   --dry-run                   say what would be done and do nothing (needs no root)
#   --uninstall                 undo what this script has changed, and nothing else
#
# Every change is printed, and noted in /var/lib/smolvm-setup before it is made. What is there already is left alone, so
# running it again is fine. Root is needed here, once; running sandboxes needs none, and no rule for sudo is made.
set -euo pipefail
mode=apply
state_dir=/var/lib/smolvm-setup
setup_dir=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)/setup
# shellcheck source=scripts/setup/lib.sh
. "$setup_dir/lib.sh"
# shellcheck source=scripts/setup/packages.sh
. "$setup_dir/packages.sh"
# shellcheck source=scripts/setup/kvm.sh
. "$setup_dir/kvm.sh"
# shellcheck source=scripts/setup/firecracker.sh
. "$setup_dir/firecracker.sh"
# shellcheck source=scripts/setup/runtime.sh
. "$setup_dir/runtime.sh"
# shellcheck source=scripts/setup/uninstall.sh
. "$setup_dir/uninstall.sh"

asked_for=("$@")
user='' archive='' runtime='' remove='' private_networks=''
while [ "$#" -gt 0 ]; do
  case $1 in
    --check) [ "$mode" != dry-run ] || usage_error "--check and --dry-run exclude each other" && mode=check ;;
    --dry-run) [ "$mode" != check ] || usage_error "--check and --dry-run exclude each other" && mode=dry-run ;;
    --configure-runtime) runtime=1 ;;
    --uninstall) remove=1 ;;
    --user=*) user=${1#*=} ;;
    --firecracker-archive=*) archive=${1#*=} ;;
    --private-networks=*) private_networks=${1#*=} ;;
    --user | --firecracker-archive | --private-networks)
      [ -n "${2:-}" ] || usage_error "$1 needs a value"
      case $1 in
        --user) user=$2 ;;
        --firecracker-archive) archive=$2 ;;
        --private-networks) private_networks=$2 ;;
      esac
      shift
      ;;
    -h | --help) sed -n '2,16s/^# \{0,1\}//p' "$0" && exit 0 ;;
    *) usage_error "unknown argument '$1'" ;;
  esac
  shift
done
[ -z "$remove" ] || [ "$mode" != check ] || usage_error "--check and --uninstall exclude each other"
[ -z "$remove" ] || [ -z "$user$runtime$archive$private_networks" ] || usage_error "--uninstall takes no other option but --dry-run"
case $private_networks in
  '') ;;
  open | closed) [ -n "$runtime" ] || usage_error "--private-networks is for the taps of --configure-runtime" ;;
  *) usage_error "--private-networks is open or closed, not '$private_networks'" ;;
esac

[ "$(uname -s)" = Linux ] || die "this script is for Linux" "${0%system-setup.sh}system-setup-macos.sh"
case $(host_arch) in
  x86_64 | aarch64) ;;
  *) die "smolvm has no guest for this processor ($(uname -m))" "Use an x86_64 or aarch64 machine." ;;
esac
if [ "$mode" = apply ] && [ "$(id -u)" -ne 0 ]; then
  die "changing this machine needs root" "sudo $0${asked_for[*]:+ ${asked_for[*]}}" "What it would do: $0 --dry-run${asked_for[*]:+ ${asked_for[*]}}"
fi
[ -n "$user" ] || user=${SUDO_USER:-$(id -un)}
[ "$user" != root ] || user=''
[ -z "$user" ] || id "$user" >/dev/null 2>&1 || die "there is no user '$user'" "getent passwd"
# Root's taps are for root's sandboxes; that is for machines that have no other user, and is said.
[ -n "$user" ] || [ -z "$runtime" ] || [ "$mode" = check ] || remark "no user was named: the taps will be root's (--user NAME)"

if [ "$mode" = apply ]; then
  mkdir -p /run/lock
  exec 9>/run/lock/smolvm-setup
  flock -n 9 || die "another run of this script is at work" "ps aux | grep system-setup"
fi

if [ -n "$remove" ]; then
  uninstall
  exit 0
fi

set_up_packages
set_up_kvm
set_up_firecracker "$archive"
if [ -n "$runtime" ] || runtime_is_configured; then set_up_runtime; fi

if [ "$mode" = check ] && [ "$missing" -gt 0 ]; then
  line '' "What is missing is done by: sudo $0${runtime:+ --configure-runtime}"
  exit 1
fi
[ "$mode" = dry-run ] || line ok "this machine is ready; see: smolvm doctor"
