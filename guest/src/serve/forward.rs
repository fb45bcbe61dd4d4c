//! Connections to servers inside the guest.

use crate::errors::failure;
use crate::serve::agent::Agent;
use crate::streams::task::{failed, Forward, Kind, Link, Sink, SinkKind, Task};
use crate::sys::poller::{Target, IN, OUT, RDHUP};
use crate::sys::{check, Errno, Fd, Res};
use crate::wire::frame::kind;
use crate::wire::messages::{code, Failure, Forward as Request, Outcome};

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
fn connect(address: &Address) -> Res<(Fd, bool)> {
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

/// A failed connection in the protocol's words.
fn connect_failure(errno: Errno) -> Failure {
    let mut failure = failure(b"cannot connect", errno);
    if errno.0 == libc::ENOENT {
        failure.code = code::NOT_FOUND;
    }
    failure
}

impl Agent {
    pub fn forward(&mut self, link: Link, request: &Request) -> Result<(), Failure> {
        let Some(addresses) = addresses(request)? else {
            return self.start_lookup(link, request);
        };
        self.connect_to(link, addresses)
    }

    /// Connects to the first address that takes the connection.
    pub fn connect_to(&mut self, link: Link, mut addresses: Vec<Address>) -> Result<(), Failure> {
        let mut last = Failure::new(code::NOT_FOUND, "the name has no address");
        while !addresses.is_empty() {
            let address = addresses.remove(0);
            match connect(&address) {
                Ok((fd, connected)) => return self.adopt_connection(link, fd, connected, addresses),
                Err(errno) => last = connect_failure(errno),
            }
        }
        Err(last)
    }

    fn adopt_connection(&mut self, link: Link, fd: Fd, connected: bool, next: Vec<Address>) -> Result<(), Failure> {
        let index = self.tasks.next_index();
        let watched = (|| -> Res<_> {
            // A descriptor of its own for each direction, as for pipes.
            // SAFETY: plain call.
            let input = Fd::own(check(unsafe { libc::fcntl(fd.raw(), libc::F_DUPFD_CLOEXEC, 3) })?);
            let sink_token = self.poller.add(&input, OUT, Target::Sink(index))?;
            let source_token = self.poller.add(&fd, IN | RDHUP, Target::Source(index, 0))?;
            Ok((input, sink_token, source_token))
        })();
        let (input, token, source_token) = watched.map_err(|e| failure(b"cannot watch the connection", e))?;
        let kind = SinkKind::Socket;
        let sink = Sink { fd: input, token, writable: connected, buf: Vec::new(), done: 0, ended: false, kind };
        let source = crate::serve::commands::source(fd, source_token, false);
        let forward = Forward { connecting: !connected, next, input_over: false };
        let task = Task { link: None, sink: Some(sink), sources: [Some(source), None], kind: Kind::Forward(forward) };
        self.tasks.insert(task);
        self.connect_stream(link, index);
        if connected {
            self.connection_opened(link);
        }
        Ok(())
    }

    fn connection_opened(&mut self, link: Link) {
        if let Some(session) = self.sessions.get_mut(link.session) {
            session.put(link.stream, kind::OPENED, 0, &[]);
        }
        self.mark(link.session);
    }

    /// True while connect(2) is still at work.
    pub fn is_connecting(&self, task: usize) -> bool {
        matches!(self.tasks.get(task).map(|t| &t.kind), Some(Kind::Forward(f)) if f.connecting)
    }

    /// The socket became writable: connected, or refused.
    pub fn on_connected(&mut self, task: usize) {
        let Some(t) = self.tasks.get_mut(task) else { return };
        let (Some(sink), Some(link)) = (&t.sink, t.link) else { return };
        let mut error: libc::c_int = 0;
        let mut length = std::mem::size_of::<libc::c_int>() as libc::socklen_t;
        // SAFETY: writes one int.
        unsafe {
            libc::getsockopt(
                sink.fd.raw(),
                libc::SOL_SOCKET,
                libc::SO_ERROR,
                &mut error as *mut _ as *mut _,
                &mut length,
            );
        }
        let Kind::Forward(forward) = &mut t.kind else { return };
        if error == 0 {
            forward.connecting = false;
            self.connection_opened(link);
            self.flush_sink(task);
            self.pump(task, 0);
            return self.settle(task);
        }
        let next = std::mem::take(&mut forward.next);
        self.move_connection(task, link, next, Some(Errno(error)));
    }

    /// RESULT, when both directions are over.
    pub fn settle_forward(&mut self, task: usize) {
        let Some(t) = self.tasks.get_mut(task) else { return };
        let link = t.link;
        let Kind::Forward(forward) = &mut t.kind else { return };
        if forward.connecting || !forward.input_over {
            return;
        }
        self.unlink(task);
        self.remove_task(task);
        if let Some(link) = link {
            self.answer(link.session, link.stream, &Outcome::default());
        }
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

fn unpack(mut packed: &[u8], port: u16) -> Vec<Address> {
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

impl Agent {
    /// A host name is looked up in a worker. What the host sends meanwhile waits in a sink that takes nothing.
    fn start_lookup(&mut self, link: Link, request: &Request) -> Result<(), Failure> {
        let port = request.port as u16;
        let failed = |e| failure(b"cannot look up a name", e);
        self.start_worker(link, crate::serve::worker::Job::LookUp(request.host, port))?;
        let stream = self.sessions.get_mut(link.session).and_then(|s| s.stream(link.stream));
        let Some(task) = stream.and_then(|s| s.task) else { return Ok(()) };
        // SAFETY: plain call.
        let fd = Fd::own(check(unsafe { libc::eventfd(0, libc::EFD_CLOEXEC) }).map_err(failed)?);
        let token = self.poller.add(&fd, 0, Target::Sink(task)).map_err(failed)?;
        if let Some(t) = self.tasks.get_mut(task) {
            let kind = SinkKind::Pipe;
            t.sink = Some(Sink { fd, token, writable: false, buf: Vec::new(), done: 0, ended: false, kind });
        }
        Ok(())
    }

    /// The lookup worker has found addresses.
    pub fn on_looked_up(&mut self, task: usize, packed: &[u8]) {
        let Some(t) = self.tasks.get_mut(task) else { return };
        let Kind::Worker(worker) = &t.kind else { return };
        let (Some(link), false) = (t.link, worker.cancelled) else { return };
        let addresses = unpack(packed, worker.port);
        self.move_connection(task, link, addresses, None);
    }

    /// Goes on with other addresses; what the host has sent already moves along.
    fn move_connection(&mut self, task: usize, link: Link, addresses: Vec<Address>, refused: Option<Errno>) {
        let early = self.tasks.get_mut(task).and_then(|t| t.sink.as_mut());
        let (early, ended) = early.map_or((Vec::new(), false), |s| (std::mem::take(&mut s.buf), s.ended));
        self.unlink(task);
        self.remove_task(task);
        let none_left = addresses.is_empty();
        if let Err(failure) = self.connect_to(link, addresses) {
            // The first refusal says more than the last.
            let failure = match refused {
                Some(errno) if none_left || errno.0 == libc::ECONNREFUSED => connect_failure(errno),
                _ => failure,
            };
            return self.answer(link.session, link.stream, &failed(failure));
        }
        let stream = self.sessions.get_mut(link.session).and_then(|s| s.stream(link.stream));
        let Some(again) = stream.and_then(|s| s.task) else { return };
        if let Some(sink) = self.tasks.get_mut(again).and_then(|t| t.sink.as_mut()) {
            sink.buf = early;
            sink.ended = ended;
        }
        if !self.is_connecting(again) {
            self.flush_sink(again);
        }
    }
}
