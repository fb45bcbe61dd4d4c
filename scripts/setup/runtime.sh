# shellcheck shell=bash
# What needs root once and must exist again after a reboot: taps, one packet filter, forwarding.
: "${setup_dir:?}" "${mode:?}" "${private_networks=}"

config=/etc/smolvm/runtime.conf
network=/usr/local/lib/smolvm/network
unit=smolvm-network.service

runtime_is_configured() { [ -e "$config" ]; }

set_up_runtime() {
  set_up_config
  place "$network" 755 "makes the taps and the packet filter" <"$setup_dir/network"
  set_up_forwarding
  place /etc/modules-load.d/smolvm-network.conf 644 "the taps' module after a reboot" <<<tun
  if [ -d /etc/NetworkManager/conf.d ]; then
    place /etc/NetworkManager/conf.d/smolvm.conf 644 "NetworkManager leaves the taps alone" <<'CONF'
[keyfile]
unmanaged-devices=interface-name:smolvm*
CONF
  fi
  if have systemctl; then set_up_unit; else remark "there is no systemd here: have '$network up' run as root at every boot"; fi
  if [ -d /run/systemd/system ] && have systemctl; then return; fi
  # Not booted with systemd: now is started by hand what a boot starts.
  if [ -x "$network" ] && "$network" check >/dev/null 2>&1; then
    good "taps and packet filter are there"
  elif todo "make taps and packet filter: $network up"; then
    record network "$network"
    quietly "making taps and packet filter" "$network" up
  fi
}

# The first two numbers of addresses that no other network of this machine has: of its routes none is a part of them. A network that
# stands for nearly everything (a VPN's) is nobody's in particular.
free_subnet() {
  ip -4 -o route show 2>/dev/null | awk '
    function number(address, part) { split(address, part, "."); return part[1] * 256 + part[2] }
    $1 ~ /^[0-9]/ && $0 !~ / dev smolvm[0-9]/ {
      split($1, prefix, "/"); bits = prefix[2] == "" ? 32 : prefix[2]
      if (bits >= 8) { size[++routes] = bits < 16 ? 2 ^ (16 - bits) : 1; first[routes] = number(prefix[1]) }
    }
    END {
      for (second = 213; second < 255; second++) {
        taken = 0
        for (route = 1; route <= routes; route++)
          if (int((10 * 256 + second) / size[route]) == int(first[route] / size[route])) taken = 1
        if (!taken) { print "10." second; exit }
      }
      print "10.213"
    }'
}

# The file is the administrator's after it was written once: only what is named changes it, another user or --private-networks.
set_up_config() {
  local owner=${user:-root} current=''
  if runtime_is_configured; then
    current=$(sed -n 's/^tap_user=//p' "$config")
    if [ "$(cat "$config")" = "$(changed_config)" ]; then
      good "$config (taps of $current)"
      return
    fi
    place "$config" 644 "whose taps, and how many" < <(changed_config)
    if [ "$mode" = apply ] && [ "$current" != "${user:-$current}" ] && [ -x "$network" ]; then "$network" down || true; fi
    return
  fi
  local subnet
  subnet=$(free_subnet)
  [ "$subnet" = 10.213 ] || remark "10.213.0.0/16 is another network's on this machine: the taps have $subnet.0.0/16"
  place "$config" 644 "whose taps, and how many" <<CONF
# Read by $network. After a change: systemctl restart $unit
# The user whose sandboxes use the taps; they share a trust domain.
tap_user=$owner
# How many sandboxes can have a tap at the same time, 1 to 250.
taps=32
# The first two numbers of their addresses: tap K is SUBNET.K.1 here, and its guest SUBNET.K.2.
subnet=$subnet
# The name servers that guests ask, IPv4 addresses with commas between them. They are reached also where they are private.
dns=1.1.1.1,9.9.9.9
# How many connections a guest can have at the same time.
connections=2048
# Whether guests reach private networks (10/8, 172.16/12, 192.168/16, 100.64/10): closed or open. This machine they never reach.
private=${private_networks:-closed}
CONF
}

# What the configuration becomes. A file of an earlier version does not have each line.
changed_config() {
  sed -e "s/^tap_user=.*/tap_user=${user:-$current}/" ${private_networks:+-e "s/^private=.*/private=$private_networks/"} "$config"
  [ -z "$private_networks" ] || grep -q '^private=' "$config" || echo "private=$private_networks"
}

set_up_forwarding() {
  place /etc/sysctl.d/60-smolvm.conf 644 "forwarding after a reboot" <<<"net.ipv4.ip_forward = 1"
  local now
  now=$(cat /proc/sys/net/ipv4/ip_forward)
  if [ "$now" = 1 ]; then
    good "forwarding is on"
  elif todo "switch forwarding on (net.ipv4.ip_forward = 1)"; then
    record sysctl net/ipv4/ip_forward "$now"
    echo 1 >/proc/sys/net/ipv4/ip_forward
  fi
}

set_up_unit() {
  place "/etc/systemd/system/$unit" 644 "starts it at every boot" <"$setup_dir/$unit"
  local running=''
  [ ! -d /run/systemd/system ] || running=1
  if systemctl is-enabled --quiet "$unit" 2>/dev/null && { [ -z "$running" ] || systemctl is-active --quiet "$unit"; } &&
    { [ -z "$running" ] || "$network" check >/dev/null 2>&1; }; then
    good "$unit is enabled"
  elif todo "enable${running:+ and start} $unit"; then
    record unit "$unit"
    quietly "enabling $unit" systemctl enable "$unit"
    if [ -n "$running" ]; then
      quietly "reading $unit" systemctl daemon-reload
      # Where it is active, sandboxes may have its taps: a restart would take them away.
      quietly "starting $unit" systemctl reload-or-restart "$unit"
    fi
  fi
}
