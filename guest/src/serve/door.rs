//! The one way out of a machine without a network card: connections that leave are told to the host, which takes each up, and
//! decides on its own about it, or resets it.

use std::collections::VecDeque;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::errors::failure;
use crate::machine::interception::{self, Interception, OWN_V4, PREFIX_V6};
use crate::serve::forward;
use crate::serve::resolver::Resolver;
use crate::streams::mux::Mux;
use crate::streams::session::{Link, OUT_HIGH};
use crate::streams::target::Target;
use crate::streams::task::{Kind, Task};
use crate::sys::poller::IN;
use crate::sys::{self, check, Fd, Res};
use crate::wire::frame::kind;
use crate::wire::messages::{code, put_record, DoorConnection, Failure};

/// Connections that the host was told of and has not answered.
const MAX_PENDING: usize = 128;
/// The longest record: a name and some numbers.
const MAX_RECORD: usize = 300;
/// Connections accepted before others get a turn.
const PER_TURN: usize = 32;

struct Pending {
    number: u32,
    fd: Fd,
}

/// Dropping it resets the connection.
impl Drop for Pending {
    fn drop(&mut self) {
        if self.fd.raw() >= 0 {
            sys::reset_on_close(self.fd.raw());
        }
    }
}

#[derive(Default)]
pub struct Door {
    interception: Option<Interception>,
    resolver: Option<Resolver>,
    /// connections may wait, over IPv4 and IPv6
    ready: [bool; 2],
    /// the task of the host's stream on which connections are told, and its number
    told_by: Option<(usize, u32)>,
    pending: VecDeque<Pending>,
    /// the next connection's number, and the next task's
    next: u32,
}

impl Door {
    /// Has connections that leave come here from now on. Once is enough.
    pub fn set_up(&mut self, mux: &mut Mux) -> Result<(), Failure> {
        if self.interception.is_some() {
            return Ok(());
        }
        let interception = interception::start()?;
        let watched = (|| -> Res<Resolver> {
            mux.poller.add(&interception.v4, IN, Target::Door(0))?;
            if let Some(v6) = &interception.v6 {
                mux.poller.add(v6, IN, Target::Door(1))?;
            }
            mux.poller.add(&interception.addresses.fd, IN, Target::Addresses)?;
            Resolver::start(&mut mux.poller, interception.v6.is_some())
        })();
        self.resolver = Some(watched.map_err(|e| failure(b"cannot serve names", e))?);
        self.interception = Some(interception);
        Ok(())
    }

    /// The host wants to be told of connections, on this stream, until it resets it.
    pub fn open(&mut self, mux: &mut Mux, link: Link) -> Result<(), Failure> {
        if self.interception.is_none() {
            return Err(Failure::new(code::INVALID, "the machine was not given a door"));
        }
        if self.link(mux).is_some() {
            return Err(Failure::new(code::BUSY, "somebody serves the door already"));
        }
        self.pending.clear();
        self.next = self.next.wrapping_add(1);
        let number = self.next;
        let index = mux.tasks.next_index();
        mux.tasks.insert(Task { link: None, sink: None, sources: [None, None], kind: Kind::Door(number) });
        mux.connect(link, index);
        mux.sessions.send(link, kind::OPENED, 0, |_| ());
        self.told_by = Some((index, number));
        self.ready = [true; 2];
        Ok(())
    }

    /// The host takes a connection up.
    pub fn accept(&mut self, mux: &mut Mux, link: Link, number: u32) -> Result<(), Failure> {
        let at = self.pending.iter().position(|pending| pending.number == number);
        let pending = at.and_then(|at| self.pending.remove(at));
        let Some(mut pending) = pending else {
            return Err(Failure::new(code::NOT_FOUND, "there is no such connection"));
        };
        let fd = std::mem::replace(&mut pending.fd, Fd::own(-1));
        forward::adopt(mux, link, fd)
    }

    pub fn on_connections(&mut self, which: usize) {
        self.ready[which] = true;
    }

    pub fn on_addresses(&self) {
        if let Some(interception) = &self.interception {
            interception.on_addresses();
        }
    }

    pub fn resolver(&mut self) -> Option<&mut Resolver> {
        self.resolver.as_mut()
    }

    /// The host's stream, while there is one.
    fn link(&self, mux: &mut Mux) -> Option<Link> {
        let (task, number) = self.told_by?;
        let task = mux.tasks.get_mut(task)?;
        matches!(task.kind, Kind::Door(told) if told == number).then_some(task.link)?
    }

    /// Something can be done at once.
    pub fn is_busy(&self, mux: &mut Mux) -> bool {
        let ready = self.ready.contains(&true) && self.pending.len() < MAX_PENDING;
        self.resolver.as_ref().is_some_and(Resolver::is_busy)
            || (ready && self.link(mux).is_some_and(|link| has_room(mux, link)))
    }

    /// Answers names, and tells the host of connections, a bounded number of each.
    pub fn go_on(&mut self, mux: &mut Mux) {
        let Some(interception) = &self.interception else { return };
        if let Some(resolver) = &mut self.resolver {
            resolver.answer_some();
        }
        let Some(link) = self.link(mux) else {
            self.pending.clear();
            self.told_by = None;
            return;
        };
        for (which, listener) in [Some(&interception.v4), interception.v6.as_ref()].into_iter().enumerate() {
            let Some(listener) = listener else {
                self.ready[which] = false;
                continue;
            };
            for _ in 0..PER_TURN {
                if !self.ready[which] || self.pending.len() >= MAX_PENDING || !has_room(mux, link) {
                    break;
                }
                let Some(fd) = accept(listener) else {
                    self.ready[which] = false;
                    break;
                };
                let Some((address, port)) = destination(&fd) else { continue };
                if is_own(address) {
                    continue;
                }
                self.next = self.next.wrapping_add(1);
                let number = self.next;
                let name = stands_for(address).and_then(|v4| self.resolver.as_ref()?.names.name_of(v4));
                tell(mux, link, number, name, address, port);
                self.pending.push_back(Pending { number, fd });
            }
        }
    }
}

/// Whether one more record can be sent now.
fn has_room(mux: &mut Mux, link: Link) -> bool {
    let Some(session) = mux.sessions.get_mut(link.session) else { return false };
    session.unsent() < OUT_HIGH && session.stream(link.stream).is_some_and(|s| s.credit[0] as usize >= MAX_RECORD)
}

fn tell(mux: &mut Mux, link: Link, connection: u32, name: Option<&[u8]>, address: IpAddr, port: u16) {
    let octets = match address {
        IpAddr::V4(v4) => v4.octets().to_vec(),
        IpAddr::V6(v6) => v6.octets().to_vec(),
    };
    let (name, address) = name.map_or((&[][..], octets.as_slice()), |name| (name, &[][..]));
    let (mut message, mut record) = (Vec::new(), Vec::new());
    DoorConnection { connection, name, address, port }.encode(&mut message);
    put_record(&mut record, &message);
    if let Some(stream) = mux.sessions.stream(link) {
        stream.credit[0] -= record.len() as u32;
    }
    mux.sessions.send(link, kind::DATA, 1, |out| out.extend_from_slice(&record));
}

fn accept(listener: &Fd) -> Option<Fd> {
    let flags = libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK;
    loop {
        // SAFETY: no address is asked for.
        match check(unsafe { libc::accept4(listener.raw(), std::ptr::null_mut(), std::ptr::null_mut(), flags) }) {
            Ok(fd) => return Some(Fd::own(fd)),
            Err(sys::Errno(libc::ECONNABORTED)) => {}
            Err(_) => return None,
        }
    }
}

/// Where an accepted connection was to go: its own address here.
fn destination(fd: &Fd) -> Option<(IpAddr, u16)> {
    // SAFETY: the structures are plain data; which of the two it is, the kernel has said.
    unsafe {
        let mut address: libc::sockaddr_storage = std::mem::zeroed();
        let mut length = std::mem::size_of::<libc::sockaddr_storage>() as u32;
        check(libc::getsockname(fd.raw(), &mut address as *mut _ as *mut libc::sockaddr, &mut length)).ok()?;
        match i32::from(address.ss_family) {
            libc::AF_INET => {
                let v4 = &*(&address as *const _ as *const libc::sockaddr_in);
                let ip = Ipv4Addr::from(v4.sin_addr.s_addr.to_ne_bytes());
                Some((IpAddr::V4(ip), u16::from_be(v4.sin_port)))
            }
            libc::AF_INET6 => {
                let v6 = &*(&address as *const _ as *const libc::sockaddr_in6);
                Some((IpAddr::V6(Ipv6Addr::from(v6.sin6_addr.s6_addr)), u16::from_be(v6.sin6_port)))
            }
            _ => None,
        }
    }
}

/// Somebody has found the listening socket's own port. Pure.
fn is_own(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => v4.is_loopback() || v4 == OWN_V4,
        IpAddr::V6(v6) => v6.is_loopback() || v6 == interception::own_v6(),
    }
}

/// The IPv4 address that may stand for a name, also behind the prefix of IPv6. Pure.
fn stands_for(address: IpAddr) -> Option<Ipv4Addr> {
    match address {
        IpAddr::V4(v4) => Some(v4),
        IpAddr::V6(v6) => {
            let octets = v6.octets();
            let (prefix, rest) = octets.split_first_chunk::<12>()?;
            (*prefix == PREFIX_V6).then(|| rest.first_chunk::<4>().map(|v4| Ipv4Addr::from(*v4)))?
        }
    }
}
