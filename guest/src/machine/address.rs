//! Where a server inside this machine listens: read from a request, looked up, connected to.

use crate::sys::{check, Errno, Fd, Res};
use crate::wire::messages::{code, Failure, Forward as Request};

/// Where to connect to.
#[derive(Clone)]
pub enum Address {
    V4([u8; 4], u16),
    V6([u8; 16], u16),
    Unix(Vec<u8>),
}

/// Turns a request into addresses to try in turn; none if the host is a name that must be looked up. Pure.
pub fn addresses(request: &Request) -> Result<Option<Vec<Address>>, Failure> {
    if !request.unix.is_empty() {
        let path = request.unix;
        // sun_path holds 108 bytes with its final NUL (unix(7)).
        if path.len() > 107 || path.contains(&0) || path[0] != b'/' {
            return Err(Failure::new(code::INVALID, "the socket's path must be absolute and at most 107 bytes"));
        }
        return Ok(Some(vec![Address::Unix(path.to_vec())]));
    }
    let port = u16::try_from(request.port).ok().filter(|&port| port > 0);
    let port = port.ok_or_else(|| Failure::new(code::INVALID, "the port must be between 1 and 65535"))?;
    if request.host.is_empty() || request.host == b"localhost" {
        // A server may listen on one of the two only.
        let mut v6 = [0; 16];
        v6[15] = 1;
        return Ok(Some(vec![Address::V4([127, 0, 0, 1], port), Address::V6(v6, port)]));
    }
    let text = std::str::from_utf8(request.host).ok().filter(|text| text.len() <= 253);
    let text = text.ok_or_else(|| Failure::new(code::INVALID, "the host is no name and no address"))?;
    if let Ok(v4) = text.parse::<std::net::Ipv4Addr>() {
        return Ok(Some(vec![Address::V4(v4.octets(), port)]));
    }
    if let Ok(v6) = text.parse::<std::net::Ipv6Addr>() {
        return Ok(Some(vec![Address::V6(v6.octets(), port)]));
    }
    Ok(None)
}

/// Starts connecting: the socket, and whether it is connected at once.
pub fn connect(address: &Address) -> Res<(Fd, bool)> {
    let family = match address {
        Address::V4(..) => libc::AF_INET,
        Address::V6(..) => libc::AF_INET6,
        Address::Unix(_) => libc::AF_UNIX,
    };
    let kind = libc::SOCK_STREAM | libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK;
    // SAFETY: plain call.
    let fd = Fd::own(check(unsafe { libc::socket(family, kind, 0) })?);
    // SAFETY: each structure is plain data, filled in before use.
    let result = unsafe {
        let mut storage: libc::sockaddr_storage = std::mem::zeroed();
        let length = match address {
            Address::V4(ip, port) => {
                let sa = &mut *(&mut storage as *mut _ as *mut libc::sockaddr_in);
                sa.sin_family = libc::AF_INET as u16;
                sa.sin_port = port.to_be();
                sa.sin_addr.s_addr = u32::from_ne_bytes(*ip);
                std::mem::size_of::<libc::sockaddr_in>()
            }
            Address::V6(ip, port) => {
                let sa = &mut *(&mut storage as *mut _ as *mut libc::sockaddr_in6);
                sa.sin6_family = libc::AF_INET6 as u16;
                sa.sin6_port = port.to_be();
                sa.sin6_addr.s6_addr = *ip;
                std::mem::size_of::<libc::sockaddr_in6>()
            }
            Address::Unix(path) => {
                let sa = &mut *(&mut storage as *mut _ as *mut libc::sockaddr_un);
                sa.sun_family = libc::AF_UNIX as u16;
                for (to, &from) in sa.sun_path.iter_mut().zip(path) {
                    *to = from as libc::c_char;
                }
                std::mem::size_of::<libc::sa_family_t>() + path.len() + 1
            }
        };
        check(libc::connect(fd.raw(), &storage as *const _ as *const libc::sockaddr, length as u32))
    };
    if !matches!(address, Address::Unix(_)) {
        let on: libc::c_int = 1;
        // SAFETY: reads one int. Small frames are answers somebody waits for.
        unsafe { libc::setsockopt(fd.raw(), libc::IPPROTO_TCP, libc::TCP_NODELAY, &on as *const _ as *const _, 4) };
    }
    match result {
        Ok(_) => Ok((fd, true)),
        Err(Errno(libc::EINPROGRESS)) => Ok((fd, false)),
        Err(error) => Err(error),
    }
}

/// The addresses of a host name, packed for a status pipe. Runs in a worker: the resolver waits.
pub fn look_up(host: &[u8], port: u16) -> Result<Vec<u8>, Failure> {
    use std::net::{SocketAddr, ToSocketAddrs};
    let name = String::from_utf8_lossy(host);
    let mut packed = Vec::new();
    let found = (name.as_ref(), port).to_socket_addrs().ok().into_iter().flatten();
    for address in found.take(MAX_ADDRESSES) {
        match address {
            SocketAddr::V4(v4) => {
                packed.push(4);
                packed.extend_from_slice(&v4.ip().octets());
            }
            SocketAddr::V6(v6) => {
                packed.push(6);
                packed.extend_from_slice(&v6.ip().octets());
            }
        }
    }
    if packed.is_empty() {
        return Err(Failure::new(code::NOT_FOUND, [b"the guest finds no address of '", host, b"'"].concat()));
    }
    Ok(packed)
}

/// Addresses of one name that are tried at most.
const MAX_ADDRESSES: usize = 8;

/// Addresses that [`look_up`] packed. Pure.
pub fn unpack(mut packed: &[u8], port: u16) -> Vec<Address> {
    let mut addresses = Vec::new();
    while let Some((&family, rest)) = packed.split_first() {
        if let (4, Some((ip, rest))) = (family, rest.split_first_chunk()) {
            addresses.push(Address::V4(*ip, port));
            packed = rest;
        } else if let (6, Some((ip, rest))) = (family, rest.split_first_chunk()) {
            addresses.push(Address::V6(*ip, port));
            packed = rest;
        } else {
            break;
        }
    }
    addresses
}
