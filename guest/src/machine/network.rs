//! Interfaces, addresses and routes by ioctl: images need no `ip` of their own.

use std::net::{Ipv4Addr, Ipv6Addr};

use crate::errors::failure;
use crate::sys::{check, Errno, Fd, Res};
use crate::wire::messages::{code, Failure, Network};

fn invalid(what: &str, value: &[u8]) -> Failure {
    let mut message = what.as_bytes().to_vec();
    message.extend_from_slice(b" '");
    message.extend_from_slice(&value[..value.len().min(128)]);
    message.extend_from_slice(b"'");
    Failure::new(code::INVALID, message)
}

/// Parses "address/prefix". Pure.
fn with_prefix<A: std::str::FromStr>(text: &[u8], max: u8) -> Option<(A, u8)> {
    let (address, prefix) = std::str::from_utf8(text).ok()?.split_once('/')?;
    let prefix = prefix.parse().ok().filter(|&p| p <= max)?;
    Some((address.parse().ok()?, prefix))
}

fn parse<A: std::str::FromStr>(text: &[u8]) -> Option<A> {
    std::str::from_utf8(text).ok()?.parse().ok()
}

fn socket(family: i32) -> Res<Fd> {
    // SAFETY: plain call.
    check(unsafe { libc::socket(family, libc::SOCK_DGRAM | libc::SOCK_CLOEXEC, 0) }).map(Fd::own)
}

fn request(name: &[u8]) -> libc::ifreq {
    // SAFETY: plain data; the name is shorter than the field.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (to, &from) in request.ifr_name.iter_mut().zip(name) {
        *to = from as libc::c_char;
    }
    request
}

fn ioctl<T>(fd: &Fd, number: libc::c_ulong, argument: &mut T) -> Res<()> {
    // SAFETY: every caller passes the structure that the request takes.
    check(unsafe { libc::ioctl(fd.raw(), number as _, argument as *mut T) }).map(|_| ())
}

fn v4(address: Ipv4Addr) -> libc::sockaddr {
    // SAFETY: a sockaddr_in fits a sockaddr, and both are plain data.
    unsafe {
        let mut sa: libc::sockaddr_in = std::mem::zeroed();
        sa.sin_family = libc::AF_INET as u16;
        sa.sin_addr.s_addr = u32::from_ne_bytes(address.octets());
        std::mem::transmute(sa)
    }
}

fn bring_up(fd: &Fd, name: &[u8]) -> Res<()> {
    let mut r = request(name);
    ioctl(fd, libc::SIOCGIFFLAGS, &mut r)?;
    // SAFETY: the call above filled in the flags.
    unsafe { r.ifr_ifru.ifru_flags |= (libc::IFF_UP | libc::IFF_RUNNING) as i16 };
    ioctl(fd, libc::SIOCSIFFLAGS, &mut r)
}

/// With it go its routes, its IPv6 addresses, and what it knows of its neighbours; its IPv4 address has to be taken from it.
fn take_down(fd: &Fd, name: &[u8]) -> Res<()> {
    let mut r = request(name);
    r.ifr_ifru.ifru_addr = v4(Ipv4Addr::UNSPECIFIED);
    ioctl(fd, libc::SIOCSIFADDR, &mut r)?;
    let mut r = request(name);
    ioctl(fd, libc::SIOCGIFFLAGS, &mut r)?;
    // SAFETY: the call above filled in the flags.
    unsafe { r.ifr_ifru.ifru_flags &= !(libc::IFF_UP as i16) };
    ioctl(fd, libc::SIOCSIFFLAGS, &mut r)
}

/// Gives a network card an address of its own. One that is up goes down for it: what it knows of the network, and addresses that follow from
/// the old one (IPv6 link-local), were another machine's.
fn set_mac(fd: &Fd, name: &[u8], mac: [u8; 6]) -> Res<()> {
    let mut r = request(name);
    ioctl(fd, libc::SIOCGIFHWADDR, &mut r)?;
    // SAFETY: the call above filled in the address.
    let was = unsafe { r.ifr_ifru.ifru_hwaddr };
    let wanted = mac.map(|byte| byte as libc::c_char);
    if was.sa_data[..6] == wanted {
        return Ok(());
    }
    let mut flags = request(name);
    ioctl(fd, libc::SIOCGIFFLAGS, &mut flags)?;
    // SAFETY: the call above filled in the flags.
    unsafe {
        if flags.ifr_ifru.ifru_flags & libc::IFF_UP as i16 != 0 {
            flags.ifr_ifru.ifru_flags &= !(libc::IFF_UP as i16);
            ioctl(fd, libc::SIOCSIFFLAGS, &mut flags)?;
        }
    }
    r.ifr_ifru.ifru_hwaddr = was;
    // SAFETY: the address was filled in above, and is plain data.
    unsafe { r.ifr_ifru.ifru_hwaddr.sa_data[..6].copy_from_slice(&wanted) };
    ioctl(fd, libc::SIOCSIFHWADDR, &mut r)
}

/// The loopback interface, at boot.
pub fn loopback_up() -> Res<()> {
    bring_up(&socket(libc::AF_INET)?, b"lo")
}

/// Sets one interface up, and the resolvers.
pub fn apply(network: &Network) -> Result<(), Failure> {
    let name: &[u8] = if network.interface.is_empty() { b"eth0" } else { network.interface };
    if name.len() >= libc::IFNAMSIZ || name.contains(&0) {
        return Err(invalid("no interface can have the name", name));
    }
    let address = match network.address {
        b"" => None,
        text => {
            Some(with_prefix::<Ipv4Addr>(text, 32).ok_or_else(|| invalid("not an IPv4 address with prefix:", text))?)
        }
    };
    let address6 = match network.ipv6_address {
        b"" => None,
        text => {
            Some(with_prefix::<Ipv6Addr>(text, 128).ok_or_else(|| invalid("not an IPv6 address with prefix:", text))?)
        }
    };
    let gateway = match network.gateway {
        b"" => None,
        text => Some(parse::<Ipv4Addr>(text).ok_or_else(|| invalid("not an IPv4 address:", text))?),
    };
    let gateway6 = match network.ipv6_gateway {
        b"" => None,
        text => Some(parse::<Ipv6Addr>(text).ok_or_else(|| invalid("not an IPv6 address:", text))?),
    };
    for dns in &network.dns {
        parse::<std::net::IpAddr>(dns).ok_or_else(|| invalid("not an address of a resolver:", dns))?;
    }
    let did = |what: &'static str| move |e: Errno| failure(&[what.as_bytes(), b" of ", name].concat(), e);
    if network.door {
        // There is no interface to set up: the door is the agent's own.
        return write_resolvers(&network.dns);
    }
    let fd = socket(libc::AF_INET).map_err(did("cannot open a socket for the network"))?;
    if network.down {
        return take_down(&fd, name).map_err(did("cannot take down the interface"));
    }
    if !network.mac.is_empty() {
        let mac = network.mac.try_into().map_err(|_| invalid("not an address of a network card:", network.mac))?;
        set_mac(&fd, name, mac).map_err(did("cannot set the card's address"))?;
    }
    if network.mtu != 0 {
        let mut r = request(name);
        r.ifr_ifru.ifru_mtu = network.mtu as i32;
        ioctl(&fd, libc::SIOCSIFMTU, &mut r).map_err(did("cannot set the MTU"))?;
    }
    if let Some((address, prefix)) = address {
        let mut r = request(name);
        r.ifr_ifru.ifru_addr = v4(address);
        ioctl(&fd, libc::SIOCSIFADDR, &mut r).map_err(did("cannot set the address"))?;
        let mask = u32::MAX.checked_shl(32 - u32::from(prefix)).unwrap_or(0);
        r.ifr_ifru.ifru_netmask = v4(Ipv4Addr::from(mask));
        ioctl(&fd, libc::SIOCSIFNETMASK, &mut r).map_err(did("cannot set the netmask"))?;
    }
    bring_up(&fd, name).map_err(did("cannot bring up the interface"))?;
    if let Some(gateway) = gateway {
        default_route(&fd, gateway).map_err(did("cannot set the default route"))?;
    }
    if address6.is_some() || gateway6.is_some() {
        apply_v6(&fd, name, address6, gateway6).map_err(did("cannot set the IPv6 address"))?;
    }
    if !network.dns.is_empty() {
        write_resolvers(&network.dns)?;
    }
    Ok(())
}

fn default_route(fd: &Fd, gateway: Ipv4Addr) -> Res<()> {
    // SAFETY: plain data.
    let mut route: libc::rtentry = unsafe { std::mem::zeroed() };
    route.rt_dst = v4(Ipv4Addr::UNSPECIFIED);
    route.rt_genmask = v4(Ipv4Addr::UNSPECIFIED);
    // A default route of before (a restored machine's) gives way.
    while ioctl(fd, libc::SIOCDELRT as _, &mut route).is_ok() {}
    route.rt_gateway = v4(gateway);
    route.rt_flags = libc::RTF_UP | libc::RTF_GATEWAY;
    ioctl(fd, libc::SIOCADDRT as _, &mut route)
}

/// struct in6_ifreq, linux/ipv6.h
#[repr(C)]
struct In6Request {
    address: [u8; 16],
    prefix: u32,
    index: i32,
}

/// struct in6_rtmsg, linux/ipv6_route.h
#[repr(C)]
#[derive(Default)]
struct In6Route {
    destination: [u8; 16],
    source: [u8; 16],
    gateway: [u8; 16],
    kind: u32,
    destination_length: u16,
    source_length: u16,
    metric: u32,
    info: u64,
    flags: u32,
    index: i32,
}

fn apply_v6(fd: &Fd, name: &[u8], address: Option<(Ipv6Addr, u8)>, gateway: Option<Ipv6Addr>) -> Res<()> {
    let mut r = request(name);
    ioctl(fd, libc::SIOCGIFINDEX, &mut r)?;
    // SAFETY: the call above filled in the index.
    let index = unsafe { r.ifr_ifru.ifru_ifindex };
    let fd6 = socket(libc::AF_INET6)?;
    if let Some((address, prefix)) = address {
        let mut request = In6Request { address: address.octets(), prefix: prefix.into(), index };
        match ioctl(&fd6, libc::SIOCSIFADDR, &mut request) {
            Ok(()) | Err(Errno(libc::EEXIST)) => {}
            Err(error) => return Err(error),
        }
    }
    if let Some(gateway) = gateway {
        let flags = u32::from(libc::RTF_UP | libc::RTF_GATEWAY);
        let mut route = In6Route { gateway: gateway.octets(), metric: 1024, flags, index, ..In6Route::default() };
        match ioctl(&fd6, libc::SIOCADDRT as _, &mut route) {
            Ok(()) | Err(Errno(libc::EEXIST)) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

fn write_resolvers(resolvers: &[&[u8]]) -> Result<(), Failure> {
    let mut text = Vec::new();
    for resolver in resolvers {
        text.extend_from_slice(b"nameserver ");
        text.extend_from_slice(resolver);
        text.push(b'\n');
    }
    // The rename also replaces a symlink into a service's directory (systemd-resolved), which would lead nowhere.
    crate::machine::settings::write_setting(c"/etc/resolv.conf", &text, 0o644)
}
