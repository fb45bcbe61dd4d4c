# shellcheck shell=bash
# The release of Firecracker that is installed, in this one place. A new version is a new line here, nothing else.
firecracker_version=1.16.2

# firecracker_url ARCH: the official release's archive, which holds firecracker and jailer
firecracker_url() {
  echo "https://github.com/firecracker-microvm/firecracker/releases/download/v$firecracker_version/firecracker-v$firecracker_version-$1.tgz"
}

# firecracker_sha256 ARCH: of that archive, or nothing where none could be confirmed from a second source; the archive is
# then checked against the file ARCHIVE.sha256.txt that the release publishes beside it, and the script says so.
firecracker_sha256() {
  case $1 in
    x86_64) echo 32e3cdcd4081f91fe2b024a266f57dcb3b4e5fec5033e0cb22467ad7f7820bda ;;
  esac
}

# firecracker_is_good VERSION: not before 1.14.1 (the jailer followed symbolic links, CVE-2026-1386) and not 1.16.0 (vsock
# breaks after a restore)
firecracker_is_good() {
  [ "$1" != 1.16.0 ] && [ "$(printf '%s\n' 1.14.1 "$1" | sort -V | head -n 1)" = 1.14.1 ]
}
