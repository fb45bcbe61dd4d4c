//! rtnetlink(7): requests of a few attributes, and the addresses that this machine has.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::sys::{check, read, write, Errno, Fd, Res};

const HEADER: usize = 16;
/// struct ifaddrmsg
const ADDRESS_HEADER: usize = 8;
const IFA_ADDRESS: u16 = 1;
const IFA_LOCAL: u16 = 2;
/// multicast groups (linux/rtnetlink.h)
const ADDRESS_GROUPS: u32 = 0x10 | 0x100;

/// A socket; `groups`: also for news.
fn socket(groups: u32) -> Res<Fd> {
    let kind = libc::SOCK_RAW | libc::SOCK_CLOEXEC;
    // SAFETY: the address is plain data, filled in before use.
    unsafe {
        let fd = Fd::own(check(libc::socket(libc::AF_NETLINK, kind, libc::NETLINK_ROUTE))?);
        let mut address: libc::sockaddr_nl = std::mem::zeroed();
        address.nl_family = libc::AF_NETLINK as u16;
        address.nl_groups = groups;
        let length = std::mem::size_of::<libc::sockaddr_nl>() as u32;
        check(libc::bind(fd.raw(), &address as *const _ as *const libc::sockaddr, length))?;
        Ok(fd)
    }
}

/// Makes something. One that is there already is fine.
/// `head` is the message's own structure, `attributes` are numbers and values behind it.
pub fn make(kind: u16, head: &[u8], attributes: &[(u16, &[u8])]) -> Res<()> {
    let flags = libc::NLM_F_REQUEST | libc::NLM_F_ACK | libc::NLM_F_CREATE | libc::NLM_F_EXCL;
    let fd = socket(0)?;
    write(fd.raw(), &message(kind, flags as u16, head, attributes))?;
    let mut answer = [0u8; 256];
    let length = read(fd.raw(), &mut answer)?;
    // struct nlmsgerr: a negative errno, or 0
    let code = answer.get(HEADER..HEADER + 4).filter(|_| length >= HEADER + 4).and_then(|code| code.first_chunk());
    match code.map(|code| -i32::from_ne_bytes(*code)) {
        Some(0 | libc::EEXIST) => Ok(()),
        Some(code) => Err(Errno(code)),
        None => Err(Errno(libc::EIO)),
    }
}

fn message(kind: u16, flags: u16, head: &[u8], attributes: &[(u16, &[u8])]) -> Vec<u8> {
    let mut out = vec![0; HEADER];
    out.extend_from_slice(head);
    for (number, value) in attributes {
        out.extend_from_slice(&(4 + value.len() as u16).to_ne_bytes());
        out.extend_from_slice(&number.to_ne_bytes());
        out.extend_from_slice(value);
        out.resize(out.len().next_multiple_of(4), 0);
    }
    let length = out.len() as u32;
    out[..4].copy_from_slice(&length.to_ne_bytes());
    out[4..6].copy_from_slice(&kind.to_ne_bytes());
    out[6..8].copy_from_slice(&flags.to_ne_bytes());
    out
}

/// The addresses of this machine: all there are first, then each that comes or goes.
pub struct Addresses {
    pub fd: Fd,
}

impl Addresses {
    pub fn watch() -> Res<Addresses> {
        let fd = socket(ADDRESS_GROUPS)?;
        let flags = (libc::NLM_F_REQUEST | libc::NLM_F_DUMP) as u16;
        write(fd.raw(), &message(libc::RTM_GETADDR, flags, &[0; ADDRESS_HEADER], &[]))?;
        crate::sys::set_nonblocking(fd.raw())?;
        Ok(Addresses { fd })
    }

    /// Tells what has come since, `true` for an address that is there.
    pub fn take(&self, tell: &mut dyn FnMut(IpAddr, bool)) {
        let mut buf = vec![0u8; 32 * 1024];
        loop {
            match read(self.fd.raw(), &mut buf) {
                Ok(0) => return,
                Ok(length) => parse_addresses(&buf[..length], tell),
                // News were lost: what is there is told once more.
                Err(Errno(libc::ENOBUFS)) => {
                    let flags = (libc::NLM_F_REQUEST | libc::NLM_F_DUMP) as u16;
                    let _ = write(self.fd.raw(), &message(libc::RTM_GETADDR, flags, &[0; ADDRESS_HEADER], &[]));
                }
                Err(_) => return,
            }
        }
    }
}

/// Pure.
fn parse_addresses(mut buf: &[u8], tell: &mut dyn FnMut(IpAddr, bool)) {
    while let Some(head) = buf.first_chunk::<HEADER>() {
        let length = u32::from_ne_bytes([head[0], head[1], head[2], head[3]]) as usize;
        let kind = u16::from_ne_bytes([head[4], head[5]]);
        let Some(body) = buf.get(HEADER..length) else { return };
        if kind == libc::RTM_NEWADDR || kind == libc::RTM_DELADDR {
            if let Some(address) = address_of(body) {
                tell(address, kind == libc::RTM_NEWADDR);
            }
        }
        buf = buf.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
}

/// The address that a message is about: of a point-to-point link its own end. Pure.
fn address_of(body: &[u8]) -> Option<IpAddr> {
    let mut found = None;
    let mut attributes = body.get(ADDRESS_HEADER..)?;
    while let Some(&[a, b, c, d]) = attributes.first_chunk::<4>() {
        let (length, number) = (u16::from_ne_bytes([a, b]) as usize, u16::from_ne_bytes([c, d]));
        let value = attributes.get(4..length)?;
        let address = match value.len() {
            4 => value.first_chunk::<4>().map(|ip| IpAddr::V4(Ipv4Addr::from(*ip))),
            16 => value.first_chunk::<16>().map(|ip| IpAddr::V6(Ipv6Addr::from(*ip))),
            _ => None,
        };
        if number == IFA_LOCAL || (number == IFA_ADDRESS && found.is_none()) {
            found = address.or(found);
        }
        attributes = attributes.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    found
}
