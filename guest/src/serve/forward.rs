//! Connections to servers inside the guest.

use crate::errors::failure;
use crate::machine::address::{addresses, connect, unpack, Address};
use crate::serve::worker::{self, Job};
use crate::streams::mux::Mux;
use crate::streams::session::Link;
use crate::streams::settle::settle;
use crate::streams::sink::flush_sink;
use crate::streams::source::pump;
use crate::streams::target::Target;
use crate::streams::task::{Forward, Kind, Sink, SinkKind, Source, Task};
use crate::sys::poller::{IN, OUT, RDHUP};
use crate::sys::{self, check, Errno, Fd, Res};
use crate::wire::frame::kind;
use crate::wire::messages::{code, Failure, Forward as Request, Outcome};

/// A failed connection in the protocol's words.
fn connect_failure(errno: Errno) -> Failure {
    let mut failure = failure(b"cannot connect", errno);
    if errno.0 == libc::ENOENT {
        failure.code = code::NOT_FOUND;
    }
    failure
}

pub fn open(mux: &mut Mux, link: Link, request: &Request) -> Result<(), Failure> {
    let Some(addresses) = addresses(request)? else {
        return start_lookup(mux, link, request);
    };
    connect_to(mux, link, addresses)
}

/// Connects to the first address that takes the connection.
fn connect_to(mux: &mut Mux, link: Link, mut addresses: Vec<Address>) -> Result<(), Failure> {
    let mut last = Failure::new(code::NOT_FOUND, "the name has no address");
    while !addresses.is_empty() {
        let address = addresses.remove(0);
        match connect(&address) {
            Ok((fd, connected)) => {
                adopt_connection(mux, link, fd, connected, addresses)?;
                if connected {
                    connection_opened(mux, link, &[]);
                }
                return Ok(());
            }
            Err(errno) => last = connect_failure(errno),
        }
    }
    Err(last)
}

fn adopt_connection(mux: &mut Mux, link: Link, fd: Fd, connected: bool, next: Vec<Address>) -> Result<(), Failure> {
    let index = mux.tasks.next_index();
    let watched = (|| -> Res<_> {
        // A descriptor of its own for each direction, as for pipes.
        // SAFETY: plain call.
        let input = Fd::own(check(unsafe { libc::fcntl(fd.raw(), libc::F_DUPFD_CLOEXEC, 3) })?);
        let sink_token = mux.poller.add(&input, OUT, Target::Sink(index))?;
        let source_token = mux.poller.add(&fd, IN | RDHUP, Target::Source(index, 0))?;
        Ok((input, sink_token, source_token))
    })();
    let (input, token, source_token) = watched.map_err(|e| failure(b"cannot watch the connection", e))?;
    let kind = SinkKind::Socket;
    let sink = Sink::new(input, token, kind, connected);
    let source = Source::new(fd, Some(source_token), false);
    let forward = Forward { connecting: !connected, next, input_over: false, reset: false, cut: false };
    let task = Task { link: None, sink: Some(sink), sources: [Some(source), None], kind: Kind::Forward(forward) };
    mux.tasks.insert(task);
    mux.connect(link, index);
    Ok(())
}

fn connection_opened(mux: &mut Mux, link: Link, opened: &[u8]) {
    mux.sessions.send(link, kind::OPENED, 0, |out| out.extend_from_slice(opened));
}

/// Carries a connection that there is already; `opened` is what the host is told of it.
pub fn adopt(mux: &mut Mux, link: Link, fd: Fd, opened: &[u8]) -> Result<(), Failure> {
    let on: libc::c_int = 1;
    // SAFETY: reads one int. Small frames are answers somebody waits for.
    unsafe { libc::setsockopt(fd.raw(), libc::IPPROTO_TCP, libc::TCP_NODELAY, &on as *const _ as *const _, 4) };
    adopt_connection(mux, link, fd, true, Vec::new())?;
    connection_opened(mux, link, opened);
    Ok(())
}

/// True while connect(2) is still at work.
pub fn is_connecting(mux: &Mux, task: usize) -> bool {
    matches!(mux.tasks.get(task).map(|t| &t.kind), Some(Kind::Forward(f)) if f.connecting)
}

/// The socket became writable: connected, or refused.
pub fn on_connected(mux: &mut Mux, task: usize) {
    let Some(t) = mux.tasks.get_mut(task) else { return };
    let (Some(sink), Some(link)) = (&mut t.sink, t.link) else { return };
    let refused = sys::socket_error(sink.fd.raw());
    let Kind::Forward(forward) = &mut t.kind else { return };
    // A reset is of a connection that there was: no other address is tried.
    forward.cut = refused == Some(Errno(libc::ECONNRESET));
    if refused.is_none() || forward.cut {
        sink.writable = true;
        forward.connecting = false;
        connection_opened(mux, link, &[]);
        flush_sink(mux, task);
        pump(mux, task, 0);
        return settle(mux, task);
    }
    let next = std::mem::take(&mut forward.next);
    move_connection(mux, task, link, next, refused);
}

/// A host name is looked up in a worker. What the host sends meanwhile waits in a sink that takes nothing.
fn start_lookup(mux: &mut Mux, link: Link, request: &Request) -> Result<(), Failure> {
    let port = request.port as u16;
    let failed = |e| failure(b"cannot look up a name", e);
    worker::start(mux, link, Job::LookUp(request.host, port))?;
    let Some(task) = mux.sessions.task_of(link) else { return Ok(()) };
    // SAFETY: plain call.
    let fd = Fd::own(check(unsafe { libc::eventfd(0, libc::EFD_CLOEXEC) }).map_err(failed)?);
    let token = mux.poller.add(&fd, 0, Target::Sink(task)).map_err(failed)?;
    if let Some(t) = mux.tasks.get_mut(task) {
        let kind = SinkKind::Pipe;
        t.sink = Some(Sink::new(fd, token, kind, false));
    }
    Ok(())
}

/// The lookup worker has found addresses.
pub fn on_looked_up(mux: &mut Mux, task: usize, packed: &[u8]) {
    let Some(t) = mux.tasks.get_mut(task) else { return };
    let Kind::Worker(worker) = &t.kind else { return };
    let (Some(link), false) = (t.link, worker.cancelled) else { return };
    let addresses = unpack(packed, worker.port);
    move_connection(mux, task, link, addresses, None);
}

/// Goes on with other addresses; what the host has sent already moves along.
fn move_connection(mux: &mut Mux, task: usize, link: Link, addresses: Vec<Address>, refused: Option<Errno>) {
    let early = mux.tasks.get_mut(task).and_then(|t| t.sink.as_mut());
    let (early, ended) = early.map_or((Vec::new(), false), |s| (std::mem::take(&mut s.buf), s.ended));
    mux.unlink(task);
    mux.remove(task);
    let none_left = addresses.is_empty();
    if let Err(failure) = connect_to(mux, link, addresses) {
        // The first refusal says more than the last.
        let failure = match refused {
            Some(errno) if none_left || errno.0 == libc::ECONNREFUSED => connect_failure(errno),
            _ => failure,
        };
        return mux.sessions.answer(link, &Outcome::failed(failure));
    }
    let Some(again) = mux.sessions.task_of(link) else { return };
    if let Some(sink) = mux.tasks.get_mut(again).and_then(|t| t.sink.as_mut()) {
        sink.buf = early;
        sink.ended = ended;
    }
    if !is_connecting(mux, again) {
        flush_sink(mux, again);
    }
}
