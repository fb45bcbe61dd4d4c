//! Every TCP connection that leaves for another machine comes to the agent instead, whatever program begins it.
//!
//! A routing rule sends TCP, and only that, for which there is no other way to the loopback interface, as if all of the world's
//! addresses were this machine's; a program of the kernel's (BPF, sk_lookup) then gives each connection to an address that is
//! not really its own to the agent's listening socket, whichever port it is for. The accepted socket's own address is where the
//! connection was to go. So the kernel's TCP does all the work, the mechanism needs no module (Debian's kernel and the fast
//! one have it built in), and no packet filter that a program of the guest's might flush. Other protocols
//! find no way out and hear so at once. None of this is a boundary: root of the guest may take it apart, and then reaches nothing.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::errors::failure;
use crate::sys::bpf::{self, Instruction};
use crate::sys::netlink::{self, Addresses};
use crate::sys::{self, check, console, Fd, Res};
use crate::wire::messages::{code, Failure};

/// This machine's own address among those that stand for names, and its resolver's.
pub const OWN_V4: Ipv4Addr = Ipv4Addr::new(198, 18, 0, 1);
/// The same in IPv6: the IPv4 address behind a prefix of its own (RFC 4193).
pub const PREFIX_V6: [u8; 12] = [0xfd, 0x73, 0x6d, 0x6f, 0x6c, 0x76, 0x6d, 0, 0, 0, 0, 0];

/// The routing table that leads to the loopback interface, and the rule's place: behind all others.
const TABLE: u32 = 5318;
const PRIORITY: u32 = 32_800;
const LOOPBACK: u32 = 1;
/// Connections that wait to be accepted.
const BACKLOG: libc::c_int = 1024;
/// Addresses of its own that are told apart from the world's.
const MAX_OWN: u32 = 4096;

pub struct Interception {
    pub v4: Fd,
    /// none in a kernel without IPv6
    pub v6: Option<Fd>,
    pub addresses: Addresses,
    own: Fd,
    _attached: Fd,
}

/// Starts it. `addresses` is to be watched.
pub fn start() -> Result<Interception, Failure> {
    let failed = |what: &'static str| move |e| failure(what.as_bytes(), e);
    let v4 = listen(libc::AF_INET).map_err(failed("cannot listen for connections that leave"))?;
    let v6 = listen(libc::AF_INET6).ok();
    route(IpAddr::V4(OWN_V4)).map_err(failed("cannot route connections to the agent"))?;
    let v6 = v6.filter(|_| match route(IpAddr::V6(own_v6())) {
        Ok(()) => true,
        Err(error) => {
            console::warn("cannot route IPv6 connections to the agent", error);
            false
        }
    });
    let addresses = Addresses::watch().map_err(failed("cannot learn the machine's addresses"))?;
    let (own, attached) = attach(&v4, v6.as_ref()).map_err(|error| {
        let reason = error.text().as_bytes();
        Failure::new(code::UNSUPPORTED, [b"this kernel has no BPF sk_lookup (Linux 5.9): ".as_slice(), reason].concat())
    })?;
    let interception = Interception { v4, v6, addresses, own, _attached: attached };
    interception.on_addresses();
    Ok(interception)
}

impl Interception {
    /// The socket to which connections over IPv4 (0) or IPv6 (1) come.
    pub fn listener(&self, which: usize) -> Option<&Fd> {
        if which == 0 {
            Some(&self.v4)
        } else {
            self.v6.as_ref()
        }
    }

    /// The machine's addresses have changed.
    pub fn on_addresses(&self) {
        self.addresses.take(&mut |address, there| {
            let key = as_v6(address);
            // More than there is room for, or gone already: then connections to it come to the agent, which refuses them.
            let _ = if there { bpf::set(&self.own, &key, 1) } else { bpf::remove(&self.own, &key) };
        });
    }
}

/// The own address in IPv6.
pub fn own_v6() -> Ipv6Addr {
    stands_for_v6(OWN_V4)
}

/// The IPv6 address that stands for the same as an IPv4 one. Pure.
pub fn stands_for_v6(v4: Ipv4Addr) -> Ipv6Addr {
    let mut octets = [0; 16];
    octets[..12].copy_from_slice(&PREFIX_V6);
    octets[12..].copy_from_slice(&v4.octets());
    Ipv6Addr::from(octets)
}

/// An address as the program's map has it. Pure.
fn as_v6(address: IpAddr) -> [u8; 16] {
    match address {
        IpAddr::V4(v4) => v4.to_ipv6_mapped().octets(),
        IpAddr::V6(v6) => v6.octets(),
    }
}

/// A listening socket on the loopback interface; its port is nobody's to know.
fn listen(family: i32) -> Res<Fd> {
    let kind = libc::SOCK_STREAM | libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK;
    // SAFETY: the addresses are plain data, filled in before use.
    unsafe {
        let fd = Fd::own(check(libc::socket(family, kind, 0))?);
        let on: libc::c_int = 1;
        if family == libc::AF_INET {
            // It answers from addresses that the table of local ones does not have (ip(7), IP_TRANSPARENT).
            let set = libc::setsockopt(fd.raw(), libc::SOL_IP, libc::IP_TRANSPARENT, &on as *const _ as *const _, 4);
            check(set)?;
            let mut address: libc::sockaddr_in = std::mem::zeroed();
            address.sin_family = libc::AF_INET as u16;
            address.sin_addr.s_addr = u32::from_ne_bytes([127, 0, 0, 1]);
            let length = std::mem::size_of::<libc::sockaddr_in>() as u32;
            check(libc::bind(fd.raw(), &address as *const _ as *const libc::sockaddr, length))?;
        } else {
            libc::setsockopt(fd.raw(), libc::IPPROTO_IPV6, libc::IPV6_V6ONLY, &on as *const _ as *const _, 4);
            let mut address: libc::sockaddr_in6 = std::mem::zeroed();
            address.sin6_family = libc::AF_INET6 as u16;
            address.sin6_addr.s6_addr = Ipv6Addr::LOCALHOST.octets();
            let length = std::mem::size_of::<libc::sockaddr_in6>() as u32;
            check(libc::bind(fd.raw(), &address as *const _ as *const libc::sockaddr, length))?;
        }
        check(libc::listen(fd.raw(), BACKLOG))?;
        Ok(fd)
    }
}

/// The machine's own address, a table in which all addresses are local, and the rule that leads TCP there.
fn route(own: IpAddr) -> Res<()> {
    let (family, bytes) = match own {
        IpAddr::V4(v4) => (libc::AF_INET as u8, v4.octets().to_vec()),
        IpAddr::V6(v6) => (libc::AF_INET6 as u8, v6.octets().to_vec()),
    };
    let bits = bytes.len() as u8 * 8;
    let [loopback, table, priority] = [LOOPBACK, TABLE, PRIORITY].map(u32::to_ne_bytes);
    // struct ifaddrmsg: IFA_F_NODAD, so that it can be used at once; IFA_ADDRESS, IFA_LOCAL
    let address = [[family, bits, 2, 0].as_slice(), &loopback].concat();
    netlink::make(libc::RTM_NEWADDR, &address, &[(1, &bytes), (2, &bytes)])?;
    // struct rtmsg: RTPROT_STATIC, RT_SCOPE_HOST, RTN_LOCAL; RTA_OIF, RTA_PREFSRC, RTA_TABLE
    let route = [family, 0, 0, 0, 0, 4, 254, 2, 0, 0, 0, 0];
    netlink::make(libc::RTM_NEWROUTE, &route, &[(4, &loopback), (7, &bytes), (15, &table)])?;
    // struct fib_rule_hdr: FR_ACT_TO_TBL; FRA_PRIORITY, FRA_TABLE, FRA_IP_PROTO
    let rule = [family, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0];
    let tcp = [libc::IPPROTO_TCP as u8];
    netlink::make(libc::RTM_NEWRULE, &rule, &[(6, &priority), (15, &table), (22, &tcp)])
}

/// The maps and the program: the map of own addresses, and what keeps the program attached.
fn attach(v4: &Fd, v6: Option<&Fd>) -> Res<(Fd, Fd)> {
    let sockets = bpf::map(bpf::SOCKETS, 4, 2)?;
    let own = bpf::map(bpf::HASH, 16, MAX_OWN)?;
    bpf::set(&sockets, &0u32, v4.raw() as u32)?;
    if let Some(v6) = v6 {
        bpf::set(&sockets, &1u32, v6.raw() as u32)?;
    }
    let program = bpf::load_sk_lookup(&program(own.raw(), sockets.raw()))?;
    let namespace = sys::open(c"/proc/self/ns/net", libc::O_RDONLY)?;
    let attached = bpf::attach_sk_lookup(&program, &namespace)?;
    Ok((own, attached))
}

/// The program. In C:
///
/// ```c
/// if (ctx->protocol != IPPROTO_TCP) return SK_PASS;
/// u32 which = ctx->family == AF_INET6;
/// u8 key[16] = ...;                               // the address that it is for; IPv4 as ::ffff:a.b.c.d
/// if (family is IPv4 && it begins with 127) return SK_PASS;
/// if (bpf_map_lookup_elem(&own, key)) return SK_PASS;
/// struct bpf_sock *sk = bpf_map_lookup_elem(&sockets, &which);
/// if (!sk) return SK_PASS;
/// bpf_sk_assign(ctx, sk, 0);
/// bpf_sk_release(sk);
/// return SK_PASS;
/// ```
fn program(own: i32, sockets: i32) -> Vec<Instruction> {
    // Offsets in struct bpf_sk_lookup.
    const FAMILY: i16 = 8;
    const PROTOCOL: i16 = 12;
    const LOCAL_IP4: i16 = 40;
    const LOCAL_IP6: i16 = 44;
    // Where they lie on the stack.
    const KEY: i16 = -16;
    const WHICH: i16 = -20;
    // Helpers of the kernel.
    const MAP_LOOKUP: i32 = 1;
    const SK_RELEASE: i32 = 86;
    const SK_ASSIGN: i32 = 124;

    let ins = |code, dst: u8, src: u8, offset, value| Instruction { code, registers: src << 4 | dst, offset, value };
    let copy = |dst, src| ins(0xbf, dst, src, 0, 0);
    let number = |dst, value| ins(0xb7, dst, 0, 0, value);
    let add = |dst, value| ins(0x07, dst, 0, 0, value);
    let load = |dst, src, offset| ins(0x61, dst, src, offset, 0);
    let store = |offset, src| ins(0x63, 10, src, offset, 0);
    let store_number = |offset, value| ins(0x62, 10, 0, offset, value);
    let call = |helper| ins(0x85, 0, 0, 0, helper);
    let map = |dst, fd| [ins(0x18, dst, 1, 0, fd), ins(0, 0, 0, 0, 0)];
    // Jumps are to a place, resolved below: the offset holds the place's number.
    let jump = |to| ins(0x05, 0, 0, to, 0);
    let if_equal = |dst, value, to| ins(0x15, dst, 0, to, value);
    let if_not_equal = |dst, value, to| ins(0x55, dst, 0, to, value);
    const V4: i16 = 0;
    const LOOK: i16 = 1;
    const PASS: i16 = 2;

    let mut out = vec![copy(6, 1), load(2, 6, PROTOCOL), if_not_equal(2, libc::IPPROTO_TCP, PASS)];
    out.extend([load(2, 6, FAMILY), if_equal(2, libc::AF_INET, V4), if_not_equal(2, libc::AF_INET6, PASS)]);
    out.push(store_number(WHICH, 1));
    for word in 0..4 {
        out.extend([load(2, 6, LOCAL_IP6 + 4 * word), store(KEY + 4 * word, 2)]);
    }
    out.push(jump(LOOK));
    let v4 = out.len();
    out.extend([store_number(WHICH, 0), store_number(KEY, 0), store_number(KEY + 4, 0)]);
    out.push(store_number(KEY + 8, u32::from_ne_bytes([0, 0, 0xff, 0xff]) as i32));
    out.extend([load(2, 6, LOCAL_IP4), store(KEY + 12, 2)]);
    // The first octet is the lowest byte: guests are little-endian.
    out.extend([ins(0x57, 2, 0, 0, 0xff), if_equal(2, 127, PASS)]);
    let look = out.len();
    out.extend(map(1, own));
    out.extend([copy(2, 10), add(2, KEY.into()), call(MAP_LOOKUP), if_not_equal(0, 0, PASS)]);
    out.extend(map(1, sockets));
    out.extend([copy(2, 10), add(2, WHICH.into()), call(MAP_LOOKUP), if_equal(0, 0, PASS)]);
    out.extend([copy(7, 0), copy(1, 6), copy(2, 0), number(3, 0), call(SK_ASSIGN), copy(1, 7), call(SK_RELEASE)]);
    let pass = out.len();
    out.extend([number(0, 1), ins(0x95, 0, 0, 0, 0)]);
    let places = [v4, look, pass];
    for (at, instruction) in out.iter_mut().enumerate() {
        if matches!(instruction.code, 0x05 | 0x15 | 0x55) {
            instruction.offset = (places[instruction.offset as usize] - at - 1) as i16;
        }
    }
    out
}
