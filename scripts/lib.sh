# shellcheck shell=bash
# Shared by scripts/quickstart.sh and scripts/test.sh: prints what happens, installs what is missing, builds what is stale.
# To be sourced by bash with the checkout as working directory; log_dir is a directory for the output of what is quiet.
: "${log_dir:?}"

if [ -t 1 ] && [ -z "${NO_COLOR:-}" ]; then
  bold=$(printf '\033[1m') red=$(printf '\033[31m') plain=$(printf '\033[0m')
else
  bold='' red='' plain=''
fi

say() { printf '%s==>%s %s\n' "$bold" "$plain" "$*"; }
note() { printf '    %s\n' "$*"; }
# die WHAT REMEDY...: each remedy is a line of its own, to be typed as it is
die() {
  printf '%serror:%s %s\n' "$red" "$plain" "$1" >&2
  shift
  for remedy in "$@"; do printf '  %s\n' "$remedy" >&2; done
  exit 1
}

have() { command -v "$1" >/dev/null 2>&1; }

# mke2fs and the like live where an ordinary user's PATH does not reach.
PATH="$PATH:/usr/local/sbin:/usr/sbin:/sbin"
if [ -d "$HOME/.cargo/bin" ]; then PATH="$PATH:$HOME/.cargo/bin"; fi
export PATH

host_arch() {
  case $(uname -m) in
    arm64 | aarch64) echo aarch64 ;;
    *) uname -m ;;
  esac
}

# as_root COMMAND...: runs it as root, through sudo if need be
as_root() {
  if [ "$(id -u)" -eq 0 ]; then
    "$@"
  elif have sudo && { [ -t 0 ] || sudo -n true 2>/dev/null; }; then
    sudo "$@"
  else
    die "root is needed for this, and sudo does not give it without asking" "sudo $*" "$0"
  fi
}

# install_packages PACKAGE...: with apt, and only what is not installed
install_packages() {
  local missing=() package
  for package in "$@"; do
    [ "$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null)" = installed ] || missing+=("$package")
  done
  [ "${#missing[@]}" -eq 0 ] && return
  note "installing with apt: ${missing[*]}"
  as_root apt-get update -q -o Acquire::Retries=3 >"$log_dir/apt-update.log" 2>&1 ||
    die "apt-get update failed: $(tail -n 3 "$log_dir/apt-update.log")" "apt-get update"
  as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends \
    -o Acquire::Retries=3 "${missing[@]}" </dev/null >"$log_dir/apt-install.log" 2>&1 ||
    die "installing failed: $(tail -n 5 "$log_dir/apt-install.log")" "sudo apt-get install -y ${missing[*]}"
}

# need PROGRAM-OR-FILE PACKAGE...: remembers the packages if the program or file is not there
needed_packages=()
needed_programs=()
need() {
  local what=$1
  shift
  case $what in
    /*) [ -e "$what" ] && return ;;
    *) have "$what" && return ;;
  esac
  needed_programs+=("$what")
  needed_packages+=("$@")
}

# install_needed: installs what `need` found missing, or says what to install where there is no apt
install_needed() {
  [ "${#needed_packages[@]}" -eq 0 ] && return
  have apt-get || die "this machine lacks ${needed_programs[*]}, and has no apt-get to install them with" \
    "Install them with your package manager (Debian's packages: ${needed_packages[*]}), then run: $0"
  install_packages "${needed_packages[@]}"
  needed_packages=()
  needed_programs=()
}

require_linux() {
  [ "$(uname -s)" = Linux ] || die "this script sets a Linux machine up; this is $(uname -s)" \
    "On macOS: brew install qemu node, and npm install smolvm with a guest bundle that a Linux machine has packed (npm run pack:guest; docs/images.md)"
  case $(host_arch) in
    x86_64 | aarch64) ;;
    *) die "smolvm has no guest for this processor ($(uname -m))" "Use an x86_64 or aarch64 machine." ;;
  esac
}

require_node() {
  local install='Install Node.js 24 (with npm): https://nodejs.org/en/download'
  have node || die "Node.js is not installed (20 or newer, with npm)" "$install" "$0"
  local version
  version=$(node -p 'process.versions.node') || die "node does not run" "$install" "$0"
  [ "${version%%.*}" -ge 20 ] || die "Node.js 20 or newer is needed; this is $version" "$install" "$0"
  have npm || die "npm is not installed" "$install" "$0"
}

# What running sandboxes and building images and agents takes.
install_system_packages() {
  say "System packages"
  case $(host_arch) in
    x86_64) need qemu-system-x86_64 qemu-system-x86 ;;
    aarch64) need qemu-system-aarch64 qemu-system-arm ;;
  esac
  need qemu-img qemu-utils
  need bwrap bubblewrap
  need pasta passt
  need nft nftables
  need mmdebstrap mmdebstrap
  need tar2sqfs squashfs-tools-ng
  need mke2fs e2fsprogs
  need dpkg-deb dpkg
  need /usr/share/keyrings/debian-archive-keyring.gpg debian-archive-keyring
  # mmdebstrap as an ordinary user works in a user namespace
  if [ "$(id -u)" -ne 0 ]; then need newuidmap uidmap; fi
  need cc gcc libc6-dev
  if ! have cargo || ! have rustc; then need cargo rustc-web cargo-web libstd-rust-web-dev; fi
  install_needed
  note "complete"
}

# True if node_modules holds what package-lock.json names. Optional packages of other platforms may be missing.
npm_packages_complete() {
  [ -e node_modules/.package-lock.json ] && node -e '
    const wanted = require("./package-lock.json").packages;
    const there = require("./node_modules/.package-lock.json").packages;
    for (const [path, entry] of Object.entries(wanted)) {
      if (path === "" || (entry.optional && !there[path])) continue;
      if (there[path]?.version !== entry.version) process.exit(1);
    }' 2>/dev/null && node_modules/.bin/node --version >/dev/null 2>&1
}

install_npm_packages() {
  say "npm packages"
  if ! npm_packages_complete; then
    note "npm ci"
    npm ci --no-audit --no-fund --loglevel=error </dev/null >"$log_dir/npm-ci.log" 2>&1 ||
      die "npm ci failed: $(head -n 8 "$log_dir/npm-ci.log")" "cd $PWD && npm ci"
    node_modules/.bin/node --version >/dev/null 2>&1 ||
      die "npm did not install the Node.js that the checkout uses (its install script did not run)" "cd $PWD && npm rebuild node"
  fi
  # From here on `node` is the checkout's own: the machine's may be too old for what the checkout runs.
  PATH="$PWD/node_modules/.bin:$PATH"
  note "complete (Node.js $(node --version))"
}

build_native_programs() {
  say "Guest agent and monitor"
  scripts/build-native.sh </dev/null | sed 's/^build-native: /    /' ||
    die "building the guest agent failed" "cd $PWD && scripts/build-native.sh"
  [ -x "native/agent-$(host_arch)" ] || die "the guest agent was not built" "scripts/build-native.sh"
}

# The package is stale if something that it is made of is newer than its entry.
package_is_built() {
  [ -e dist/cli/bin.js ] && [ -e dist/index.js ] &&
    [ -z "$(find src scripts/bundle-cli.ts package.json tsconfig.json tsconfig.build.json -type f -newer dist/cli/bin.js | head -n 1)" ]
}

build_package() {
  say "Package"
  if ! package_is_built; then
    note "npm run build"
    rm -rf dist
    npm run --silent build </dev/null >"$log_dir/build.log" 2>&1 ||
      die "building the package failed: $(tail -n 20 "$log_dir/build.log")" "cd $PWD && npm run build"
  fi
  note "dist/ is up to date"
}

# build_image NAME [ARCH]
build_image() {
  say "Image $1${2:+ for $2}"
  ./bin/smolvm image build "$1" ${2:+--arch "$2"} </dev/null 2>&1 | sed 's/^/    /' ||
    die "the image '$1' could not be built" "./bin/smolvm image build $1${2:+ --arch $2}"
}

# What building the fast kernel takes.
need_kernel_tools() {
  need make build-essential
  need bc bc
  need bison bison
  need flex flex
  need patch patch
  need xz xz-utils
  need /usr/include/libelf.h libelf-dev
}

# What building our QEMU takes.
need_qemu_tools() {
  local libraries
  libraries=/usr/lib/$(host_arch)-linux-gnu
  need make build-essential
  need ninja ninja-build
  need pkg-config pkg-config
  need patch patch
  need xz xz-utils
  need bzip2 bzip2
  # a module that Debian has in a package of its own, by Python's version
  need "/usr/lib/$(basename "$(readlink -f /usr/bin/python3)")/ensurepip" python3-venv
  need "$libraries/libglib-2.0.a" libglib2.0-dev
  need "$libraries/libseccomp.a" libseccomp-dev
  need "$libraries/libfdt.a" libfdt-dev
  need "$libraries/libz.a" zlib1g-dev
}

# need_guest_tools x64|arm64: what building a guest for another architecture than this machine's takes besides
need_guest_tools() {
  case "$(host_arch) $1" in
    "x86_64 arm64")
      need aarch64-linux-gnu-gcc gcc-aarch64-linux-gnu libc6-dev-arm64-cross
      need qemu-system-aarch64 qemu-system-arm
      ;;
    "aarch64 x64")
      need x86_64-linux-gnu-gcc gcc-x86-64-linux-gnu libc6-dev-amd64-cross
      need qemu-system-x86_64 qemu-system-x86
      ;;
  esac
}

# build_kernel ARCH
build_kernel() {
  say "The fast kernel for $1"
  ./bin/smolvm image kernel build --arch "$1" </dev/null 2>&1 | sed 's/^/    /' ||
    die "the fast kernel could not be built" "./bin/smolvm image kernel build --arch $1"
}
