#!/usr/bin/env bash
# Runs the README's two commands where they are promised to work: on a Debian that was just installed, with this machine's
# Node.js, in a clean clone of HEAD. What they need and do not install themselves is missing there. Needs root and mmdebstrap.
#
#   scripts/dev/fresh-debian.sh                  as root, whose home is open to nobody else
#   scripts/dev/fresh-debian.sh --user           as an ordinary user whom sudo asks for no password
#     --command 'scripts/quickstart.sh'          that instead of the two commands
#     --cache                                    begins with this user's images and kernels: saves building them
#     --root DIRECTORY                           makes the machine there, or takes the one that is there, and keeps it;
#                                                its clone is brought to HEAD
#
# The exit code is the command's. Nothing is left but the tarball that the next one starts from (remove it for a newer Debian),
# in ~/.cache/smolvm-fresh-debian. The machine has mounts, devices and processes of its own; network and cgroups are this one's.
set -euo pipefail
usage() { sed -n '2,13s/^# \{0,1\}//p' "$0"; }
die() {
  printf 'error: %s\n' "$1" >&2
  exit 1
}
here=$(cd "$(dirname "$0")" && pwd)
checkout=$(cd "$here/../.." && pwd)
suite=bookworm
user=root home=/root cache='' root='' keep=''
# shellcheck disable=SC2016 # expanded in the machine
command='./scripts/quickstart.sh && ./scripts/test.sh'
while [ "$#" -gt 0 ]; do
  case $1 in
    --user) user=ann home=/home/ann ;;
    --command) command=${2:?--command needs a command} && shift ;;
    --cache) cache=1 ;;
    --root) root=$(realpath -m "${2:?--root needs a directory}") keep=1 && shift ;;
    -h | --help) usage && exit 0 ;;
    *) die "unknown argument '$1'; see $0 --help" ;;
  esac
  shift
done
[ "$(id -u)" -eq 0 ] || die "root is needed: sudo $0"
for program in mmdebstrap git node npm; do
  command -v "$program" >/dev/null || die "$program is not installed"
done
tarball=${XDG_CACHE_HOME:-$HOME/.cache}/smolvm-fresh-debian/$suite.tar

# What the archives are that this machine's apt uses for that Debian, as lines of sources.list; none: mmdebstrap knows one.
archives() {
  # shellcheck disable=SC2016 # apt's variables
  apt-get indextargets --format 'deb $(REPO_URI) $(RELEASE) $(COMPONENT)' 'Created-By: Packages' 'Origin: Debian' 2>/dev/null |
    grep " $suite\(-security\|-updates\)\? " | sort -u || :
}

make_tarball() {
  echo "==> Debian $suite into $tarball"
  mkdir -p "$(dirname "$tarball")"
  local sources
  sources=$(archives)
  mmdebstrap --quiet --format=tar --variant=important --include=ca-certificates,sudo "$suite" "$tarball.new" ${sources:+"$sources"}
  mv "$tarball.new" "$tarball"
}

# copied FILE...: those of this machine's files that are there, to the same place
copied() {
  local file
  for file in "$@"; do
    [ -f "$file" ] || continue
    mkdir -p "$root$(dirname "$file")"
    cp -L "$file" "$root$file"
  done
}

copy_node() {
  local npm
  npm=$(dirname "$(dirname "$(readlink -f "$(command -v npm)")")")
  mkdir -p "$root/usr/local/bin" "$root/usr/local/lib/node_modules"
  cp -L "$(command -v node)" "$root/usr/local/bin/node"
  cp -aL "$npm" "$root/usr/local/lib/node_modules/npm"
  ln -s ../lib/node_modules/npm/bin/npm-cli.js "$root/usr/local/bin/npm"
  ln -s ../lib/node_modules/npm/bin/npx-cli.js "$root/usr/local/bin/npx"
  chroot "$root" node --version >/dev/null || die "this machine's Node.js does not run there; take nodejs.org's"
}

# How this machine reaches the world: names, proxies, certificates, registries.
reach() { # VARIABLES: those of the environment that say so, a line for each
  local name npmrc value
  copied /etc/resolv.conf /etc/hosts /etc/pip.conf
  echo "127.0.1.1 fresh-debian" >>"$root/etc/hosts"
  apt-config dump | grep -iE '^Acquire::(https?|check|retries)' >"$root/etc/apt/apt.conf.d/90reach"
  cp -a /usr/local/share/ca-certificates "$root/usr/local/share/" 2>/dev/null && chroot "$root" update-ca-certificates >/dev/null 2>&1
  while read -r value; do copied "$value"; done < <(sed -n 's/^[A-Za-z_]*=\(\/.*\)/\1/p' <<<"$1")
  for name in .npmrc .config/pip/pip.conf .pip/pip.conf .cargo/config.toml .cargo/config; do
    [ -f "$HOME/$name" ] || continue
    mkdir -p "$root$home/$(dirname "$name")"
    cp -L "$HOME/$name" "$root$home/$name"
  done
  npmrc=$(npm config get globalconfig)
  if [ -f "$npmrc" ]; then
    mkdir -p "$root/usr/local/etc"
    cp -L "$npmrc" "$root/usr/local/etc/npmrc"
  fi
}

variables() {
  env | grep -E '^((https?|no|all)_proxy|(HTTPS?|NO|ALL)_PROXY|NODE_EXTRA_CA_CERTS|SSL_CERT_(FILE|DIR)|CURL_CA_BUNDLE|REQUESTS_CA_BUNDLE|PIP_(INDEX_URL|EXTRA_INDEX_URL|TRUSTED_HOST|CERT|PROXY|DEFAULT_TIMEOUT)|CARGO_(HTTP|NET|REGISTRY|REGISTRIES|SOURCE)_[A-Z_]*|(npm_config|NPM_CONFIG)_(registry|cafile|proxy|https_proxy)|TERM)='
}

make_root() {
  [ -s "$tarball" ] || make_tarball
  tar -xf "$tarball" -C "$root" --numeric-owner
  echo fresh-debian >"$root/etc/hostname"
  copy_node
  if [ "$user" != root ]; then
    chroot "$root" useradd --create-home --shell /bin/bash "$user"
    echo "$user ALL=(ALL:ALL) NOPASSWD: ALL" >"$root/etc/sudoers.d/$user"
  fi
  reach "$environment"
  chmod 700 "$root$home"
}

# The clone has HEAD and no history. git is not installed there.
update_clone() {
  local clone=$root$home/smolvm git=(git -c safe.directory='*' -c advice.detachedHead=false)
  [ -d "$clone/.git" ] || "${git[@]}" init --quiet "$clone"
  "${git[@]}" -C "$clone" fetch --quiet --depth 1 "file://$checkout" HEAD
  "${git[@]}" -C "$clone" reset --quiet --hard FETCH_HEAD
}

copy_cache() {
  local from=${XDG_CACHE_HOME:-$HOME/.cache}/smolvm to=$root$home/.cache/smolvm
  [ -d "$from" ] || die "there are no images and kernels in $from"
  mkdir -p "$to"
  # A kernel's build tree is gigabytes, and of no use once it is built; templates are made where they are used.
  tar -C "$from" --exclude=./kernels/work --exclude=./templates --sparse -c . | tar -C "$to" -x --skip-old-files
}

# The machine's first process is unshare's child; with it all others end. A command that fails in here would be the exit code.
machine=''
# shellcheck disable=SC2317 # called by the trap
clean_up() {
  local first
  if [ -n "$machine" ] && first=$(ps -o pid= --ppid "$machine"); then
    kill -KILL "${first// /}" || :
    wait "$machine" || :
  fi
  [ -n "$keep" ] || rm -rf --one-file-system "$root"
}
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

[ -n "$root" ] || root=$(mktemp -d -p "${TMPDIR:-/var/tmp}" fresh-debian-XXXXXX)
mkdir -p "$root"
chmod 755 "$root"
environment=$(variables)
[ -e "$root/etc/debian_version" ] || make_root
[ -d "$root$home" ] || die "$root was made for another user: take another directory"
update_clone
[ -z "$cache" ] || copy_cache
chroot "$root" chown -R "$user:$user" "$home"
mapfile -t pairs <<<"$environment"
setpriv --pdeathsig KILL unshare --mount --pid --fork --kill-child --uts --ipc \
  "$here/enter-root.sh" "$root" "$user" "$home" "$command" "${pairs[@]}" <&0 &
machine=$!
code=0
wait "$machine" || code=$?
machine=''
exit "$code"
