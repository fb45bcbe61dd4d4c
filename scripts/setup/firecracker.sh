# shellcheck shell=bash
# Firecracker and its jailer from the official release.
: "${setup_dir:?}"
# shellcheck source=scripts/setup/firecracker-release.sh
. "$setup_dir/firecracker-release.sh"
: "${firecracker_version:?}"

program_dir=/usr/local/bin

# version_of PROGRAM: "1.16.2", or nothing
version_of() { have "$1" && timeout 10 "$1" --version 2>/dev/null | sed -n '1s/.* v\([0-9][0-9.]*\).*/\1/p'; }

set_up_firecracker() {
  local archive=$1 version jailer
  version=$(version_of firecracker) || version=''
  jailer=$(version_of jailer) || jailer=''
  if [ -n "$version" ] && [ "$version" = "$jailer" ] && firecracker_is_good "$version"; then
    good "Firecracker $version: $(command -v firecracker), with its jailer"
    return
  fi
  if [ -z "$archive" ] && ! virtualization; then
    remark "Firecracker is left out: it needs KVM, and this machine has no hardware virtualization"
    return
  fi
  local source=${archive:-$(firecracker_url "$(host_arch)")} why=''
  [ -z "$version" ] || why=" (there is $version${jailer:+, jailer $jailer})"
  todo "install Firecracker $firecracker_version and its jailer to $program_dir, from $source$why" || return 0
  local folder
  folder=$(mktemp -d)
  # shellcheck disable=SC2064 # as it is now
  trap "rm -rf '$folder'" EXIT
  install_firecracker "$archive" "$folder"
  rm -rf "$folder"
}

# install_firecracker ARCHIVE FOLDER: from the archive, or else from the internet
install_firecracker() {
  local archive=$1 folder=$2 arch url
  arch=$(host_arch)
  url=$(firecracker_url "$arch")
  if [ -z "$archive" ]; then
    archive=$folder/${url##*/}
    download "$url" "$archive"
    [ -n "$(firecracker_sha256 "$arch")" ] || download "$url.sha256.txt" "$archive.sha256.txt"
  fi
  verify_firecracker "$archive" "$arch"
  local release=release-v$firecracker_version-$arch name
  tar -xzf "$archive" -C "$folder" --no-same-owner \
    "$release/firecracker-v$firecracker_version-$arch" "$release/jailer-v$firecracker_version-$arch" ||
    die "'$archive' is not the archive of Firecracker $firecracker_version for $arch" "curl -fLO $url"
  make_dir "$program_dir"
  for name in firecracker jailer; do
    keep_old "$program_dir/$name"
    install -m 755 "$folder/$release/$name-v$firecracker_version-$arch" "$program_dir/$name.smolvm-new"
    mv -f "$program_dir/$name.smolvm-new" "$program_dir/$name"
    [ "$(version_of "$program_dir/$name")" = "$firecracker_version" ] ||
      die "$program_dir/$name does not say that it is $firecracker_version" "$program_dir/$name --version"
  done
}

download() {
  curl --fail --silent --show-error --location --proto '=https' --retry 3 --output "$2" "$1" ||
    die "downloading $1 failed" "On a machine with internet: curl -fLO $1" \
      "then here: $0 --firecracker-archive ${1##*/}"
}

verify_firecracker() {
  local archive=$1 wanted actual
  [ -r "$archive" ] || die "the archive '$archive' cannot be read" "ls -l '$archive'"
  wanted=$(firecracker_sha256 "$2")
  if [ -z "$wanted" ]; then
    remark "no checksum for $2 is known to this script: the archive is checked against the release's own $(basename "$archive").sha256.txt"
    [ -r "$archive.sha256.txt" ] || die "'$archive.sha256.txt' is missing" "curl -fL -o '$archive.sha256.txt' $(firecracker_url "$2").sha256.txt"
    wanted=$(awk '{ print $1; exit }' "$archive.sha256.txt")
  fi
  actual=$(sha256sum <"$archive")
  actual=${actual%% *}
  [ "$actual" = "$wanted" ] ||
    die "'$archive' is not what was released: its SHA-256 is $actual, not $wanted" "curl -fL -o '$archive' $(firecracker_url "$2")"
}
