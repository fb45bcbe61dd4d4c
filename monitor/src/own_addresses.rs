//! Where this machine is reached itself, over IPv4: its addresses and what it has local routes for, as the kernel tells them now, and
//! word of each change. Anybody may ask and listen (rtnetlink(7)).

use std::net::Ipv4Addr;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};

use crate::rtnetlink::{open, receive, send};
use crate::sys::check;

/// linux/netlink.h and linux/rtnetlink.h
const NETLINK_GET_STRICT_CHK: libc::c_int = 12;
const NLM_F_DUMP_INTR: u16 = 0x10;
const RTMGRP_IPV4_IFADDR: u32 = 0x10;
const RTMGRP_IPV4_ROUTE: u32 = 0x40;
const RTN_LOCAL: u8 = 2;
const RT_TABLE_MAIN: u8 = 254;
const RT_TABLE_LOCAL: u8 = 255;
const RTA_DST: u16 = 1;
const IFA_LOCAL: u16 = 2;

/// nlmsghdr, and what stands before the attributes of a route (rtmsg) and of an address (ifaddrmsg)
const HEADER: usize = 16;
const ROUTE: usize = 12;
const ADDRESS: usize = 8;

/// What is a whole eighth of all addresses and more is nobody's own (src/host/linux/local-routes.ts).
const EVERYWHERE_BITS: u8 = 7;
/// How often a list is read anew that has changed while it was read.
const ATTEMPTS: usize = 5;
/// Messages of one look: who is told more looks again.
const MANY: usize = 1000;
/// What the kernel puts into one message at most (NLMSG_GOODSIZE).
const LARGEST: usize = 32 * 1024;

/// A network: its first address, and how many bits it is.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Range {
    first: u32,
    bits: u8,
}

impl std::fmt::Display for Range {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "{}/{}", Ipv4Addr::from(self.first), self.bits)
    }
}

/// Hears of changes from when it is made.
pub struct Changes(OwnedFd);

impl Changes {
    pub fn listen() -> Result<Changes, i32> {
        let socket = open(libc::SOCK_NONBLOCK)?;
        // SAFETY: an address of the type that the socket has; all zero but what is set.
        unsafe {
            let mut groups: libc::sockaddr_nl = std::mem::zeroed();
            groups.nl_family = libc::AF_NETLINK as _;
            groups.nl_groups = RTMGRP_IPV4_IFADDR | RTMGRP_IPV4_ROUTE;
            let size = std::mem::size_of_val(&groups) as libc::socklen_t;
            check(libc::bind(socket.as_raw_fd(), (&raw const groups).cast(), size))?;
        }
        Ok(Changes(socket))
    }

    /// Readable when there may be something to hear.
    pub fn fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }

    /// Whether there was one since the last time; also where more was told than is kept for us.
    pub fn any(&self) -> bool {
        let mut changed = false;
        let mut buffer = [0u8; 8192];
        for _ in 0..MANY {
            match receive(&self.0, &mut buffer) {
                Ok(length) if length == buffer.len() => changed = true, // cut off
                Ok(length) => changed |= messages(&buffer[..length]).any(|message| concerns(&message)),
                Err(libc::EAGAIN) => return changed,
                Err(libc::EINTR) => {}
                Err(_) => return true, // ENOBUFS: something was left out
            }
        }
        true
    }
}

/// Each but once: none lies in another.
pub fn read() -> Result<Vec<Range>, i32> {
    for _ in 0..ATTEMPTS {
        let routes = list(libc::RTM_GETROUTE, &[libc::AF_INET as u8, 0, 0, 0, 0, 0, 0, RTN_LOCAL, 0, 0, 0, 0])?;
        let addresses = list(libc::RTM_GETADDR, &[libc::AF_INET as u8, 0, 0, 0, 0, 0, 0, 0])?;
        if let (Some(routes), Some(addresses)) = (routes, addresses) {
            return Ok(apart([routes, addresses].concat()));
        }
    }
    Err(libc::EAGAIN)
}

/// Of a whole list what is this machine's; None: it changed meanwhile.
fn list(kind: u16, body: &[u8]) -> Result<Option<Vec<Range>>, i32> {
    let socket = open(0)?;
    let on: libc::c_int = 1;
    // SAFETY: the option's value is a C int. Kernels before 4.20 do not know it, and list all routes.
    unsafe {
        let size = std::mem::size_of_val(&on) as libc::socklen_t;
        let value = (&raw const on).cast();
        libc::setsockopt(socket.as_raw_fd(), libc::SOL_NETLINK, NETLINK_GET_STRICT_CHK, value, size);
    }
    let flags = (libc::NLM_F_REQUEST | libc::NLM_F_DUMP) as u16;
    let mut request = ((HEADER + body.len()) as u32).to_ne_bytes().to_vec();
    request.extend([kind.to_ne_bytes(), flags.to_ne_bytes()].concat());
    request.extend([0; 8]);
    request.extend(body);
    send(&socket, &request)?;
    let mut found = Vec::new();
    let mut whole = true;
    let mut buffer = vec![0u8; LARGEST];
    loop {
        let length = match receive(&socket, &mut buffer) {
            Err(libc::EINTR) => continue,
            received => received?,
        };
        for message in messages(&buffer[..length]) {
            whole &= message.flags & NLM_F_DUMP_INTR == 0;
            match i32::from(message.kind) {
                libc::NLMSG_DONE => return Ok(whole.then_some(found)),
                libc::NLMSG_ERROR => return Err(-number(message.body, 0).map_or(-libc::EIO, |error| error as i32)),
                _ => found.extend(own(&message)),
            }
        }
    }
}

struct Message<'a> {
    kind: u16,
    flags: u16,
    body: &'a [u8],
}

/// The messages of one datagram.
fn messages(mut rest: &[u8]) -> impl Iterator<Item = Message<'_>> {
    std::iter::from_fn(move || {
        let length = number(rest, 0)? as usize;
        let (kind, flags) = (half(rest, 4)?, half(rest, 6)?);
        let body = rest.get(HEADER..length)?;
        rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some(Message { kind, flags, body })
    })
}

/// Whether it tells of a change of what is this machine's.
fn concerns(message: &Message<'_>) -> bool {
    match message.kind {
        libc::RTM_NEWROUTE | libc::RTM_DELROUTE => message.body.get(7) == Some(&RTN_LOCAL),
        libc::RTM_NEWADDR | libc::RTM_DELADDR => true,
        _ => false,
    }
}

/// What it names that is this machine's.
fn own(message: &Message<'_>) -> Option<Range> {
    let body = message.body;
    let address = |header, wanted| attribute(body.get(header..)?, wanted);
    let found = match message.kind {
        // struct rtmsg: family, bits of the destination, ..., table, ..., ..., type
        libc::RTM_NEWROUTE => {
            let [_, bits, _, _, table, _, _, kind] = *body.first_chunk()?;
            // Other tables are asked for marked packets, say.
            let local = kind == RTN_LOCAL && matches!(table, RT_TABLE_LOCAL | RT_TABLE_MAIN);
            local.then_some(Range { first: address(ROUTE, RTA_DST)?, bits })?
        }
        libc::RTM_NEWADDR => Range { first: address(ADDRESS, IFA_LOCAL)?, bits: 32 },
        _ => return None,
    };
    (found.bits > EVERYWHERE_BITS && found.bits <= 32).then_some(found)
}

/// The IPv4 address that an attribute is.
fn attribute(mut rest: &[u8], wanted: u16) -> Option<u32> {
    loop {
        let length = usize::from(half(rest, 0)?);
        let value = rest.get(4..length)?;
        if half(rest, 2)? == wanted {
            return Some(u32::from_be_bytes(value.try_into().ok()?));
        }
        rest = rest.get(length.next_multiple_of(4)..)?;
    }
}

/// In their order, without those that lie in others: one that does is no range of its own to a packet filter.
fn apart(mut ranges: Vec<Range>) -> Vec<Range> {
    ranges.sort(); // of two that begin alike the larger first
    let mut last: Option<Range> = None;
    ranges.retain(|range| {
        let inside = last.is_some_and(|last| (range.first ^ last.first) >> (32 - u32::from(last.bits)) == 0);
        if !inside {
            last = Some(*range);
        }
        !inside
    });
    ranges
}

fn number(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..at + 4)?.try_into().ok().map(u32::from_ne_bytes)
}

fn half(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..at + 2)?.try_into().ok().map(u16::from_ne_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(text: &str) -> Range {
        let (first, bits) = text.split_once('/').unwrap();
        Range { first: first.parse::<Ipv4Addr>().unwrap().into(), bits: bits.parse().unwrap() }
    }

    fn texts(ranges: &[Range]) -> Vec<String> {
        ranges.iter().map(Range::to_string).collect()
    }

    #[test]
    fn the_loopback_is_this_machines_and_told_once() {
        let own = read().unwrap();
        assert!(own.contains(&range("127.0.0.0/8")), "{own:?}");
        assert!(!own.contains(&range("127.0.0.1/32")), "{own:?}");
    }

    #[test]
    fn none_lies_in_another() {
        let all = ["127.0.0.1/32", "8.8.8.8/32", "127.0.0.0/8", "8.8.8.8/32", "8.8.8.0/30", "9.0.0.0/31", "9.0.0.1/32"];
        let found = apart(all.map(range).to_vec());
        assert_eq!(texts(&found), ["8.8.8.0/30", "8.8.8.8/32", "9.0.0.0/31", "127.0.0.0/8"]);
    }

    /// A route of a list: type, table, and destination with bits.
    fn route(kind: u8, table: u8, to: &str) -> Vec<u8> {
        let Range { first, bits } = range(to);
        let mut body = vec![libc::AF_INET as u8, bits, 0, 0, table, 0, 0, kind, 0, 0, 0, 0];
        body.extend([8u16.to_ne_bytes(), 15u16.to_ne_bytes()].concat()); // RTA_TABLE
        body.extend(u32::from(table).to_ne_bytes());
        body.extend([8u16.to_ne_bytes(), RTA_DST.to_ne_bytes()].concat());
        body.extend(first.to_be_bytes());
        let mut message = ((HEADER + body.len()) as u32).to_ne_bytes().to_vec();
        message.extend([libc::RTM_NEWROUTE.to_ne_bytes(), 0u16.to_ne_bytes()].concat());
        message.extend([0; 8]);
        message.extend(body);
        message
    }

    #[test]
    fn a_route_to_this_machine_is_its_own_and_another_is_not() {
        let told = [
            route(RTN_LOCAL, RT_TABLE_LOCAL, "93.184.216.1/32"),
            route(RTN_LOCAL, RT_TABLE_MAIN, "8.8.0.0/16"),
            route(1, RT_TABLE_MAIN, "9.9.9.0/24"),         // unicast
            route(RTN_LOCAL, 100, "1.1.1.1/32"),           // marked packets, say
            route(RTN_LOCAL, RT_TABLE_LOCAL, "0.0.0.0/0"), // a proxy's
        ]
        .concat();
        let found: Vec<Range> = messages(&told).filter_map(|message| own(&message)).collect();
        assert_eq!(texts(&found), ["93.184.216.1/32", "8.8.0.0/16"]);
        assert_eq!(
            messages(&told).map(|message| concerns(&message)).collect::<Vec<_>>(),
            [true, true, false, true, true]
        );
    }

    #[test]
    fn what_is_cut_off_is_no_message() {
        let whole = route(RTN_LOCAL, RT_TABLE_LOCAL, "93.184.216.1/32");
        for length in 0..whole.len() {
            assert_eq!(messages(&whole[..length]).count(), 0, "{length}");
        }
        let mut short = whole.clone();
        for length in 0..whole.len() {
            short[..4].copy_from_slice(&(length as u32).to_ne_bytes());
            // Ends, and reads nothing outside.
            let _ = messages(&short).filter_map(|message| own(&message)).count();
        }
    }
}
