# shellcheck shell=bash
# Undoes what the journal says, last change first.
: "${journal:?}" "${state_dir:?}"

uninstall() {
  if [ ! -e "$journal" ]; then
    good "nothing of this script's is here"
    return
  fi
  local kind words packages=()
  while IFS=$'\t' read -r kind words; do
    if [ "$kind" = package ]; then
      packages+=("$words") # together, because some need others
      continue
    fi
    IFS=$'\t' read -r -a words <<<"$words"
    "undo_$kind" "${words[@]}"
  done < <(tac "$journal")
  undo_packages "${packages[@]}"
  if todo "remove $state_dir"; then rm -rf "$state_dir"; fi
}

undo_file() { [ ! -e "$1" ] || { todo "remove $1" && rm -f "$1"; } || true; }

undo_replaced() {
  if todo "restore $1"; then
    cp -a "$state_dir/replaced$1" "$1.smolvm-old"
    mv -f "$1.smolvm-old" "$1"
  fi
}

undo_directory() {
  [ -d "$1" ] || return 0
  if todo "remove the directory $1, if it is empty"; then rmdir "$1" 2>/dev/null || remark "$1 is not empty: it is kept"; fi
}

undo_group() {
  if ! getent group "$1" >/dev/null; then return; fi
  if todo "remove the group $1"; then groupdel "$1" || remark "the group $1 is kept"; fi
}

undo_member() {
  if ! id -nG "$1" 2>/dev/null | tr ' ' '\n' | grep -qx "$2"; then return; fi
  if todo "take $1 out of the group $2"; then gpasswd -d "$1" "$2" >/dev/null || remark "$1 is still in the group $2"; fi
}

undo_device() {
  [ -e "$1" ] || return 0
  if todo "give $1 its permissions back ($2 $3)"; then
    chown "$3" "$1"
    chmod "$2" "$1"
  fi
}

# Forwarding that others have come to need stays on: containers and virtual machines have bridges.
undo_sysctl() {
  local bridges=(/sys/class/net/*/bridge)
  if [ -e "${bridges[0]}" ]; then
    bridges=("${bridges[@]%/bridge}")
    remark "${1//\//.} stays on: ${bridges[*]##*/} may need it"
    return
  fi
  if todo "set ${1//\//.} back to $2"; then echo "$2" >"/proc/sys/$1"; fi
}

undo_module() {
  grep -q "^$1 " /proc/modules || return 0
  if todo "unload the module $1"; then modprobe -r "$1" 2>/dev/null || remark "the module $1 is in use: it is kept until the next boot"; fi
}

undo_unit() {
  if ! systemctl is-enabled --quiet "$1" 2>/dev/null; then return; fi
  if todo "stop and disable $1"; then
    [ ! -d /run/systemd/system ] || systemctl stop "$1" || remark "$1 could not be stopped"
    systemctl disable --quiet "$1"
  fi
}

undo_network() {
  [ -x "$1" ] || return 0
  if todo "remove taps and packet filter: $1 down"; then "$1" down || remark "$1 down failed"; fi
}

# undo_packages "MANAGER<tab>PACKAGE"...: what something else needs by now is kept
undo_packages() {
  [ "$#" -gt 0 ] || return 0
  local command names=("${@#*$'\t'}")
  read -r -a command <<<"$(remove_command "${1%%$'\t'*}")"
  if todo "remove packages: ${command[*]} ${names[*]}"; then
    local output
    output=$("${command[@]}" "${names[@]}" 2>&1 </dev/null) ||
      remark "some packages are kept: $(tail -n 3 <<<"$output")"
  fi
}
