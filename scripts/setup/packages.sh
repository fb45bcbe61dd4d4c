# shellcheck shell=bash
# QEMU and the tools that smolvm uses, from the distribution's own packages.

# The package manager, by os-release(5): apt, dnf, pacman, zypper, or nothing.
package_manager() {
  local ids
  ids=$(os_release ID) && ids="$ids $(os_release ID_LIKE)"
  for id in $ids; do
    case $id in
      debian | ubuntu) echo apt && return ;;
      fedora | rhel | centos) echo dnf && return ;;
      arch) echo pacman && return ;;
      suse | opensuse*) echo zypper && return ;;
    esac
  done
}

os_release() {
  local file=/etc/os-release
  [ -e "$file" ] || file=/usr/lib/os-release
  [ -e "$file" ] || return 0
  # shellcheck source=/dev/null
  (. "$file" && printf '%s\n' "${!1:-}")
}

# RHEL and its rebuilds, whose QEMU is another one than Fedora's.
is_rhel() {
  case " $(os_release ID) $(os_release ID_LIKE) " in
    " fedora "*) false ;;
    *" rhel "* | *" centos "*) true ;;
    *) false ;;
  esac
}

# Releases before these have no passt: there an open network is filtered within QEMU. RHEL's QEMU is not used at all.
has_passt() {
  local version
  version=$(os_release VERSION_ID)
  case $(os_release ID) in
    debian) [ "${version%%.*}" -ge 12 ] 2>/dev/null || [ -z "$version" ] ;;
    ubuntu) [ "${version%%.*}" -ge 23 ] 2>/dev/null || [ -z "$version" ] ;;
    fedora | arch | opensuse-tumbleweed) ;;
    *) false ;;
  esac
}

# wanted_packages MANAGER: lines "PROGRAM-OR-FILE PACKAGE": the package is wanted where the program or file is missing
wanted_packages() {
  local arch
  arch=$(host_arch)
  case $1:$arch in
    dnf:*) is_rhel && echo /usr/libexec/qemu-kvm qemu-kvm-core && arch='' ;;
  esac
  case $1:$arch in
    *:) ;;
    apt:x86_64) echo qemu-system-x86_64 qemu-system-x86 ;;
    apt:*) echo qemu-system-aarch64 qemu-system-arm ;;
    dnf:x86_64) echo qemu-system-x86_64 qemu-system-x86-core ;;
    dnf:*) echo qemu-system-aarch64 qemu-system-aarch64-core ;;
    pacman:*) echo "qemu-system-$arch qemu-system-${arch/x86_64/x86}" ;;
    zypper:x86_64) echo qemu-system-x86_64 qemu-x86 ;;
    zypper:*) echo qemu-system-aarch64 qemu-arm ;;
  esac
  if [ "$1" = apt ]; then echo qemu-img qemu-utils; else echo qemu-img qemu-img; fi
  if [ "$1" = dnf ]; then echo ip iproute; else echo ip iproute2; fi
  echo nft nftables
  echo bwrap bubblewrap
  if has_passt; then echo pasta passt; fi
  echo modprobe kmod
  echo curl curl
  echo tar tar
  if [ "$1" = apt ]; then # what building images takes; smolvm builds them on Debian and Ubuntu only
    echo mmdebstrap mmdebstrap
    echo tar2sqfs squashfs-tools-ng
    echo mke2fs e2fsprogs
    echo newuidmap uidmap
    echo /usr/share/keyrings/debian-archive-keyring.gpg debian-archive-keyring
  fi
}

# The command that installs the packages behind it.
install_command() {
  case $1 in
    apt) echo env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends ;;
    dnf) echo dnf install -y --setopt=install_weak_deps=False ;;
    pacman) echo pacman -S --needed --noconfirm ;;
    zypper) echo zypper --non-interactive install --no-recommends ;;
  esac
}

# Names of all packages that are installed.
installed_packages() {
  case $1 in
    apt) dpkg-query -W -f '${binary:Package} ${db:Status-Status}\n' | awk '$2 == "installed" { print $1 }' ;;
    dnf | zypper) rpm -qa --qf '%{NAME}\n' ;;
    pacman) pacman -Qq ;;
  esac | sort -u
}

# The command that removes the packages behind it, and refuses where another package needs them.
remove_command() {
  case $1 in
    apt) echo dpkg --purge ;;
    dnf | zypper) echo rpm -e ;;
    pacman) echo pacman -R --noconfirm ;;
  esac
}

set_up_packages() {
  local manager program package packages=() command
  manager=$(package_manager)
  if [ -z "$manager" ]; then
    if have "qemu-system-$(host_arch)" && have ip && have nft && have bwrap; then
      good "packages: QEMU, ip, nft and bubblewrap are here"
      return
    fi
    remark "this distribution's package manager is not known here: install QEMU ($(uname -m)), qemu-img, iproute2, nftables, bubblewrap and passt by hand"
    missing=$((missing + 1))
    return
  fi
  while read -r program package; do
    case $program in
      /*) [ -e "$program" ] ;;
      *) have "$program" ;;
    esac || packages+=("$package")
  done < <(wanted_packages "$manager")
  if [ "$manager" = dnf ] && is_rhel; then
    remark "QEMU of RHEL and its rebuilds has neither the machine microvm nor emulation: Firecracker is the backend there"
  fi
  if [ "${#packages[@]}" -eq 0 ]; then
    good "packages: all that is needed is installed ($manager)"
    return
  fi
  read -r -a command <<<"$(install_command "$manager")"
  todo "install packages: ${command[*]} ${packages[*]}" || return 0
  packages_before=$(installed_packages "$manager")
  # What was installed is noted whatever this ends by.
  # shellcheck disable=SC2064 # the manager as it is now
  trap "note_packages $manager" EXIT
  trap 'exit 130' INT TERM HUP
  if [ "$manager" = apt ]; then quietly "apt-get update" apt-get update; fi
  quietly "installing packages" "${command[@]}" "${packages[@]}"
  trap - EXIT INT TERM HUP
  note_packages "$manager"
}

# note_packages MANAGER: those that are new since packages_before
note_packages() {
  local package
  while read -r package; do record package "$1" "$package"; done < \
    <(comm -13 <(echo "$packages_before") <(installed_packages "$1") | grep .)
}
