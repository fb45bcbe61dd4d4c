# shellcheck shell=bash
# KVM: its modules now and after a reboot, and a group that may open /dev/kvm.
: "${mode:?}"

# True if this CPU can run KVM guests. On Arm the flags do not tell; there /dev/kvm exists only where it works.
virtualization() {
  if [ "$(host_arch)" = x86_64 ]; then [ -n "$(kvm_module)" ]; else [ -e /dev/kvm ]; fi
}

# kvm_intel or kvm_amd, or nothing
kvm_module() {
  local flags
  flags=" $(sed -n 's/^flags[[:space:]]*: //p' /proc/cpuinfo | head -n 1) "
  case $flags in *" vmx "*) echo kvm_intel ;; *" svm "*) echo kvm_amd ;; esac
}

set_up_kvm() {
  set_up_group
  if ! virtualization; then
    remark "this CPU shows neither vmx nor svm: no KVM here, guests are emulated. Switch virtualization on in the BIOS, or nested virtualization in the outer hypervisor"
    return
  fi
  if [ "$(host_arch)" = x86_64 ]; then set_up_modules "$(kvm_module)"; fi
  if [ -e /dev/kvm ]; then
    set_up_device
  elif [ "$mode" = apply ]; then
    remark "/dev/kvm is still missing: see whether virtualization is switched on in the BIOS (dmesg | grep -i kvm)"
  fi
}

set_up_modules() {
  place /etc/modules-load.d/smolvm.conf 644 "KVM's modules after a reboot" <<<"$1"
  if [ -e /dev/kvm ]; then
    good "KVM's modules are loaded"
  elif todo "load the module $1"; then
    record module "$1"
    modprobe "$1" || remark "modprobe $1 failed: is virtualization switched on in the BIOS?"
  fi
}

# The group whose members run sandboxes: who is in it opens /dev/kvm, and needs no sudo.
set_up_group() {
  if getent group kvm >/dev/null; then
    good "the group kvm exists"
  elif todo "make the group kvm"; then
    record group kvm
    groupadd --system kvm
  fi
  if [ -z "$user" ]; then
    remark "nobody joins the group kvm: name a user with --user NAME"
  elif id -nG "$user" | tr ' ' '\n' | grep -qx kvm; then
    good "$user is in the group kvm"
  elif todo "add $user to the group kvm (from the next login on)"; then
    record member "$user" kvm
    usermod -a -G kvm "$user"
  fi
}

set_up_device() {
  local now permissions
  now=$(stat -c '%a %U:%G' /dev/kvm)
  permissions=${now%% *}
  if [ $((0$permissions & 06)) -eq 6 ]; then
    good "/dev/kvm is open to everyone"
    return
  fi
  if [ "${now##*:}" = kvm ] && [ $((0$permissions & 060)) -eq 48 ]; then
    good "/dev/kvm is open to the group kvm"
    return
  fi
  place /etc/udev/rules.d/65-smolvm-kvm.rules 644 "/dev/kvm for the group kvm, after a reboot" <<'RULE'
KERNEL=="kvm", GROUP="kvm", MODE="0660"
RULE
  if todo "open /dev/kvm ($now) to the group kvm"; then
    record device /dev/kvm "$permissions" "${now##* }"
    chgrp kvm /dev/kvm
    chmod 660 /dev/kvm
  fi
}
