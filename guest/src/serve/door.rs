//! Connections that the host is told of, and takes up or resets: those that leave a machine without a network card, about which it
//! decides on its own, and those to ports of the loopback that it brought here.

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
use crate::sys::poller::{Token, IN};
use crate::sys::{self, check, Fd, Res};
use crate::wire::frame::kind;
use crate::wire::messages::{code, encode_opened_connection, put_record, DoorConnection, Failure, Outcome};

/// Connections that the host was told of and has not answered.
const MAX_PENDING: usize = 128;
/// Streams on which the host waits for the next connection.
const MAX_AHEAD: usize = 64;
/// The longest record: a name and some numbers.
const MAX_RECORD: usize = 300;
/// Connections accepted before others get a turn.
const PER_TURN: usize = 32;
/// Ports that are brought at once.
const MAX_BROUGHT: usize = 64;
/// Connections to such a port that wait to be accepted.
const BACKLOG: libc::c_int = 128;

struct Pending {
    number: u32,
    /// the number of the task that told of it
    told_by: u32,
    fd: Fd,
}

/// A port of this machine's loopback that leads to where the host says.
struct Brought {
    id: usize,
    listener: Fd,
    token: Token,
    /// connections may wait
    ready: bool,
    told_by: Told,
    port: u16,
}

/// The task of a host's stream on which connections are told, and its number.
type Told = (usize, u32);

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
    told_by: Option<Told>,
    /// streams on which the host waits for the next connection, and need not be told first
    ahead: VecDeque<Told>,
    brought: Vec<Brought>,
    next_brought: usize,
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
        self.end(mux);
        let told_by = self.stand_for(mux, link);
        mux.sessions.send(link, kind::OPENED, 0, |_| ());
        self.told_by = Some(told_by);
        self.ready = [true; 2];
        Ok(())
    }

    /// The host wants to be told of connections to a port of this machine's loopback, on this stream, until it resets it.
    pub fn bring(&mut self, mux: &mut Mux, link: Link, port: u32) -> Result<(), Failure> {
        let port = u16::try_from(port).ok().filter(|&port| port != 0);
        let Some(port) = port else { return Err(Failure::new(code::INVALID, "there is no such port")) };
        if self.brought.len() >= MAX_BROUGHT {
            return Err(Failure::new(code::LIMIT, "too many ports are brought to this machine"));
        }
        let id = self.next_brought;
        let watched = listen(port).and_then(|listener| {
            let token = mux.poller.add(&listener, IN, Target::Brought(id))?;
            Ok((listener, token))
        });
        let (listener, token) = watched.map_err(|error| match error.0 {
            libc::EADDRINUSE => Failure::new(code::EXISTS, "a program of the guest listens on that port already"),
            _ => failure(b"cannot listen", error),
        })?;
        self.next_brought += 1;
        let told_by = self.stand_for(mux, link);
        mux.sessions.send(link, kind::OPENED, 0, |_| ());
        self.brought.push(Brought { id, listener, token, ready: true, told_by, port });
        Ok(())
    }

    /// The host takes up the next connection that leaves, on this stream: no answer before.
    pub fn await_next(&mut self, mux: &mut Mux, link: Link) -> Result<(), Failure> {
        if self.link(mux).is_none() {
            return Err(Failure::new(code::NOT_FOUND, "nobody serves the door"));
        }
        self.ahead.retain(|&ahead| link_of(mux, ahead).is_some());
        if self.ahead.len() >= MAX_AHEAD {
            return Err(Failure::new(code::LIMIT, "too many streams wait for the next connection"));
        }
        let ahead = self.stand_for(mux, link);
        self.ahead.push_back(ahead);
        Ok(())
    }

    /// A stream on which the host waits for the next connection. It stands for nothing any more.
    fn take_ahead(&mut self, mux: &mut Mux) -> Option<Link> {
        while let Some(ahead) = self.ahead.pop_front() {
            if let Some(link) = link_of(mux, ahead) {
                mux.unlink(ahead.0);
                mux.remove(ahead.0);
                return Some(link);
            }
        }
        None
    }

    /// Nobody serves the door any more: what waits is reset.
    fn end(&mut self, mux: &mut Mux) {
        let Some((_, before)) = self.told_by.take() else { return };
        self.pending.retain(|pending| pending.told_by != before);
        while let Some(link) = self.take_ahead(mux) {
            mux.sessions.answer(link, &Outcome::cancelled());
        }
    }

    /// Makes the task that stands for a stream of the host's.
    fn stand_for(&mut self, mux: &mut Mux, link: Link) -> Told {
        let number = self.number();
        let index = mux.tasks.next_index();
        mux.tasks.insert(Task { link: None, sink: None, sources: [None, None], kind: Kind::Door(number) });
        mux.connect(link, index);
        (index, number)
    }

    fn number(&mut self) -> u32 {
        self.next = self.next.wrapping_add(1);
        self.next
    }

    /// The host takes a connection up.
    pub fn accept(&mut self, mux: &mut Mux, link: Link, number: u32) -> Result<(), Failure> {
        let at = self.pending.iter().position(|pending| pending.number == number);
        let pending = at.and_then(|at| self.pending.remove(at));
        let Some(mut pending) = pending else {
            return Err(Failure::new(code::NOT_FOUND, "there is no such connection"));
        };
        let fd = std::mem::replace(&mut pending.fd, Fd::own(-1));
        forward::adopt(mux, link, fd, &[])
    }

    pub fn on_connections(&mut self, which: usize) {
        self.ready[which] = true;
    }

    pub fn on_brought(&mut self, id: usize) {
        if let Some(brought) = self.brought.iter_mut().find(|brought| brought.id == id) {
            brought.ready = true;
        }
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
        link_of(mux, self.told_by?)
    }

    /// Something can be done at once.
    pub fn is_busy(&self, mux: &mut Mux) -> bool {
        let room = self.pending.len() < MAX_PENDING;
        let ready = self.ready.contains(&true) && room;
        let brought = |mux: &mut Mux, one: &Brought| link_of(mux, one.told_by).is_none_or(|link| has_room(mux, link));
        self.brought.iter().any(|one| one.ready && room && brought(mux, one))
            || self.resolver.as_ref().is_some_and(Resolver::is_busy)
            || (ready && self.link(mux).is_some_and(|link| has_room(mux, link)))
    }

    /// Answers names, and tells the host of connections, a bounded number of each.
    pub fn go_on(&mut self, mux: &mut Mux) {
        self.tell_brought(mux);
        if let Some(resolver) = &mut self.resolver {
            resolver.answer_some();
        }
        let Some(told_by) = self.told_by else { return };
        let Some(link) = self.link(mux) else { return self.end(mux) };
        for which in 0..self.ready.len() {
            for _ in 0..PER_TURN {
                if !self.ready[which] || self.pending.len() >= MAX_PENDING || !has_room(mux, link) {
                    break;
                }
                let Some(fd) = self.interception.as_ref().and_then(|found| accept(found.listener(which)?)) else {
                    self.ready[which] = false;
                    break;
                };
                self.hand_over(mux, link, told_by.1, fd);
            }
        }
    }

    /// One has come: on the stream on which the host waits for it, or else it is told, and waits for an answer.
    fn hand_over(&mut self, mux: &mut Mux, link: Link, told_by: u32, fd: Fd) {
        let Some((address, port)) = destination(&fd) else { return };
        if is_own(address) {
            return;
        }
        let ahead = self.take_ahead(mux);
        let number = if ahead.is_some() { 0 } else { self.number() };
        let name = stands_for(address).and_then(|v4| self.resolver.as_ref()?.names.name_of(v4));
        let octets = match address {
            IpAddr::V4(v4) => v4.octets().to_vec(),
            IpAddr::V6(v6) => v6.octets().to_vec(),
        };
        let connection = described(number, name, &octets, port);
        let Some(ahead) = ahead else {
            tell(mux, link, &connection);
            return self.pending.push_back(Pending { number, told_by, fd });
        };
        let mut opened = Vec::new();
        encode_opened_connection(&mut opened, &connection);
        if let Err(failure) = forward::adopt(mux, ahead, fd, &opened) {
            mux.sessions.answer(ahead, &Outcome::failed(failure));
        }
    }

    /// Tells the host of connections to ports that it brought, and closes those whose streams are gone.
    fn tell_brought(&mut self, mux: &mut Mux) {
        let mut at = 0;
        while at < self.brought.len() {
            let told_by = self.brought[at].told_by;
            let Some(link) = link_of(mux, told_by) else {
                let gone = self.brought.remove(at);
                mux.poller.forget(gone.token);
                self.pending.retain(|pending| pending.told_by != told_by.1);
                continue;
            };
            for _ in 0..PER_TURN {
                let room = self.pending.len() < MAX_PENDING && has_room(mux, link);
                let one = &mut self.brought[at];
                if !one.ready || !room {
                    break;
                }
                let Some(fd) = accept(&one.listener) else {
                    one.ready = false;
                    break;
                };
                let port = one.port;
                let number = self.number();
                tell(mux, link, &described(number, None, &[], port));
                self.pending.push_back(Pending { number, told_by: told_by.1, fd });
            }
            at += 1;
        }
    }
}

/// The stream of a task that tells of connections, while there is one.
fn link_of(mux: &mut Mux, (task, number): Told) -> Option<Link> {
    let task = mux.tasks.get_mut(task)?;
    matches!(task.kind, Kind::Door(told) if told == number).then_some(task.link)?
}

/// A listening socket on a port of the loopback.
fn listen(port: u16) -> Res<Fd> {
    let kind = libc::SOCK_STREAM | libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK;
    // SAFETY: the address is plain data, filled in before use.
    unsafe {
        let fd = Fd::own(check(libc::socket(libc::AF_INET, kind, 0))?);
        let on: libc::c_int = 1;
        libc::setsockopt(fd.raw(), libc::SOL_SOCKET, libc::SO_REUSEADDR, &on as *const _ as *const _, 4);
        let mut address: libc::sockaddr_in = std::mem::zeroed();
        address.sin_family = libc::AF_INET as u16;
        address.sin_port = port.to_be();
        address.sin_addr.s_addr = u32::from_ne_bytes([127, 0, 0, 1]);
        let length = std::mem::size_of::<libc::sockaddr_in>() as u32;
        check(libc::bind(fd.raw(), &address as *const _ as *const libc::sockaddr, length))?;
        check(libc::listen(fd.raw(), BACKLOG))?;
        Ok(fd)
    }
}

/// Whether one more record can be sent now.
fn has_room(mux: &mut Mux, link: Link) -> bool {
    let Some(session) = mux.sessions.get_mut(link.session) else { return false };
    session.unsent() < OUT_HIGH && session.stream(link.stream).is_some_and(|s| s.credit[0] as usize >= MAX_RECORD)
}

/// A connection as the host is told of it: by its name, or by its address where there is none. Pure.
fn described<'a>(connection: u32, name: Option<&'a [u8]>, octets: &'a [u8], port: u16) -> DoorConnection<'a> {
    let (name, address) = name.map_or((&[][..], octets), |name| (name, &[][..]));
    DoorConnection { connection, name, address, port }
}

fn tell(mux: &mut Mux, link: Link, connection: &DoorConnection) {
    let (mut message, mut record) = (Vec::new(), Vec::new());
    connection.encode(&mut message);
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
