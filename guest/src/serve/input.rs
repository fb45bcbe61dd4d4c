//! What comes from a host: the start of a session, and its frames.

use crate::serve::agent::Agent;
use crate::serve::commands::watch;
use crate::serve::processes;
use crate::serve::requests::{begin, waits_while_held};
use crate::serve::waiting::MAX_CONTENT;
use crate::streams::mux::Mux;
use crate::streams::session::{Link, Peer, Stream, MAX_CREDIT, MAX_STREAMS, OUT_MAX};
use crate::streams::sink::{deliver, deliver_end};
use crate::streams::source::{pump, pump_ring};
use crate::streams::stop::{close_session, end_session, reset};
use crate::streams::suspension;
use crate::streams::target::Event;
use crate::sys;
use crate::wire::frame::{self, kind, Header, Sender, HEADER, MAGIC};
use crate::wire::hello::{scan, whole_content, Scan};
use crate::wire::messages::{code, Control, Failure, Hello, HelloAck, Open, Outcome};
use crate::wire::VERSION;

/// The one version of the protocol so far.
const PROTOCOL: u32 = 1;
/// One read of a session. A virtio-serial port gives at most 4 KiB at a time, a socket more.
const READ_SIZE: usize = 65_536;
/// Reads of one session before the others get a turn.
const READS_PER_TURN: usize = 32;
/// The longest OPEN, all its frames together.
const MAX_OPEN: usize = 1 << 20;
/// A session whose host was never seen connected is looked at again after this, in ms.
const LIMBO_MS: u64 = 5000;

/// How an OPEN with a `file_write` begins, as everybody writes it: the tag of field 6.
const FILE_WRITE: u8 = 6 << 3 | 2;

/// Why a frame is not done with.
#[derive(Debug, PartialEq, Eq)]
enum Stop {
    /// it breaks a rule: the session ends
    Broken,
    /// it, and what comes after it in its session, waits until the machine is held no longer
    Held,
}

/// A session's port or connection changed.
pub fn on_session(mux: &mut Mux, index: usize, event: &Event) {
    let Some(session) = mux.sessions.get_mut(index) else { return };
    session.readable |= event.readable;
    // A port without a host takes nothing, and says HUP each time it is asked: to try again at once, and at once be told again, would keep the
    // processor from the kernel's own thread that is about to open the port. The first bytes of a host often come before that.
    session.writable |= event.writable && !(event.hangup && session.peer == Peer::Port);
    if session.peer == Peer::Port {
        if !event.hangup {
            session.connected = true;
            session.check_at = None;
        } else if session.active && session.connected {
            end_session(mux, index);
        }
    }
    mux.sessions.mark(index);
}

/// Reads what is there and handles the frames in it.
pub fn read_session(agent: &mut Agent, index: usize) {
    let again = agent.mux.sessions.get_mut(index).is_some_and(|session| std::mem::take(&mut session.again));
    if again {
        handle_input(agent, index);
    }
    for _ in 0..READS_PER_TURN {
        let Some(session) = agent.mux.sessions.get_mut(index) else { return };
        if session.held_up {
            return;
        }
        let has_parted = session.parting.as_ref().is_some_and(|parting| parting.answered);
        if !session.readable || has_parted || session.unsent() > OUT_MAX {
            return;
        }
        if session.taken > 0 {
            session.inbound.drain(..session.taken);
            session.taken = 0;
        }
        // At most one incomplete frame is kept, so the buffer stays below two frames.
        match sys::read_append(session.fd.raw(), &mut session.inbound, READ_SIZE) {
            Ok(0) => {
                session.readable = false;
                if session.peer == Peer::Socket {
                    close_session(&mut agent.mux, index);
                    return;
                }
            }
            Ok(_) => handle_input(agent, index),
            Err(error) if error.would_block() => session.readable = false,
            Err(_) => {
                session.readable = false;
                if session.peer == Peer::Socket {
                    close_session(&mut agent.mux, index);
                    return;
                }
            }
        }
    }
    agent.mux.sessions.mark(index);
}

/// Handles every complete frame of the inbound buffer, until too much waits to be sent.
fn handle_input(agent: &mut Agent, mut index: usize) {
    loop {
        let Some(session) = agent.mux.sessions.get_mut(index) else { return };
        let rest = &session.inbound[session.taken..];
        if !session.active {
            match scan(rest) {
                Scan::More { discard } => {
                    session.taken += discard;
                    return;
                }
                Scan::Start { message: hello, .. }
                    if agent.mux.suspension.keeps_waiting(index, hello.resume.is_some()) =>
                {
                    return
                }
                Scan::Start { used, message: hello } => {
                    session.taken += used;
                    start_session(agent, index, &hello);
                }
            }
            continue;
        }
        let Some(bytes) = rest.first_chunk::<HEADER>() else { return };
        let header = match Header::parse(bytes, Sender::Host) {
            Ok(header) => header,
            // Also the way a new MAGIC looks: the search begins with this very header.
            Err(_) => {
                end_session(&mut agent.mux, index);
                continue;
            }
        };
        if rest.len() < HEADER + header.len {
            return;
        }
        let from = session.taken + HEADER;
        let end = from + header.len;
        if session.resuming.is_some() {
            session.taken = end;
            let resumed = if header.kind == kind::SWITCH { suspension::resume(&mut agent.mux, index) } else { None };
            match resumed {
                Some(resumed) => index = resumed,
                None => end_session(&mut agent.mux, index),
            }
            continue;
        }
        // The payload is taken out of the session's buffer for as long as it is looked at.
        let inbound = std::mem::take(&mut session.inbound);
        let whole = if header.kind == kind::OPEN { content_of(header, &inbound[from..]) } else { None };
        let used = whole.map_or(0, |(content, used)| {
            agent.mux.content = Some(content);
            used
        });
        let good = on_frame(agent, index, header, &inbound[from..end]);
        // What nobody took comes as frames of its own.
        let taken = if agent.mux.content.take().is_some() { 0 } else { used };
        let Some(session) = agent.mux.sessions.get_mut(index) else { return };
        session.inbound = inbound;
        if let Some(stream) = session.stream(header.stream).filter(|_| taken > 0) {
            stream.ended = true;
        }
        match good {
            Ok(()) => session.taken = end + taken,
            Err(Stop::Broken) => end_session(&mut agent.mux, index),
            Err(Stop::Held) => {
                session.held_up = true;
                return;
            }
        }
    }
}

/// The content that came with a request to write a file, if it is short and all there: it needs no pipe. `buf` begins with the OPEN.
fn content_of(header: Header, buf: &[u8]) -> Option<(Vec<u8>, usize)> {
    let is_write = header.flags & frame::MORE == 0 && buf.first() == Some(&FILE_WRITE);
    buf.get(header.len..).filter(|_| is_write).and_then(|rest| whole_content(rest, header.stream, MAX_CONTENT))
}

fn start_session(agent: &mut Agent, index: usize, hello: &Hello) {
    let resumed = hello.resume.is_some_and(|token| suspension::offer(&mut agent.mux, index, token));
    let ack = HelloAck {
        version: PROTOCOL,
        nonce: &hello.nonce,
        agent: VERSION.as_bytes(),
        boot_id: &agent.boot_id,
        configured: agent.configured,
        resumed,
    };
    let Some(session) = agent.mux.sessions.get_mut(index) else { return };
    session.active = true;
    session.resumes = hello.resumes;
    if session.peer == Peer::Port && !session.connected {
        session.check_at = Some(sys::now_ms() + LIMBO_MS);
    }
    session.out.extend_from_slice(MAGIC);
    session.put_with(0, kind::HELLO_ACK, 0, |out| ack.encode(out));
}

fn on_frame(agent: &mut Agent, index: usize, header: Header, payload: &[u8]) -> Result<(), Stop> {
    let Some(session) = agent.mux.sessions.get_mut(index) else { return Ok(()) };
    if header.stream == 0 {
        return match header.kind {
            kind::PING => {
                session.put(0, kind::PONG, 0, payload);
                Ok(())
            }
            // We send no PING that it could answer.
            kind::PONG => Ok(()),
            kind::SWITCH => match &mut session.parting {
                Some(parting) if !parting.answered => {
                    parting.answered = true;
                    agent.mux.sessions.mark(index);
                    Ok(())
                }
                _ => Err(Stop::Broken),
            },
            // HELLO without MAGIC before it.
            _ => Err(Stop::Broken),
        };
    }
    if header.kind == kind::OPEN {
        return on_open(agent, index, header, payload);
    }
    let link = Link { session: index, stream: header.stream };
    if matches!(header.kind, kind::CONTROL | kind::RESET) {
        agent.mux.place.comes_first();
    }
    let Some(session) = agent.mux.sessions.get_mut(index) else { return Ok(()) };
    let Some(stream) = session.stream(header.stream) else {
        // Its result crossed the frame; a stream that never was is another matter.
        return if header.stream <= session.last_stream { Ok(()) } else { Err(Stop::Broken) };
    };
    if stream.opening.is_some() && header.kind != kind::RESET {
        return Err(Stop::Broken);
    }
    match header.kind {
        kind::DATA => {
            if stream.ended || payload.len() as u32 > stream.receive_credit {
                return Err(Stop::Broken);
            }
            stream.receive_credit -= payload.len() as u32;
            if let Some(task) = stream.task {
                watch(&mut agent.mux, task);
            }
            deliver(&mut agent.mux, link, payload);
        }
        kind::END => {
            if stream.ended {
                return Err(Stop::Broken);
            }
            stream.ended = true;
            deliver_end(&mut agent.mux, link);
        }
        kind::WINDOW => {
            let credit = u32::from_le_bytes(payload.try_into().map_err(|_| Stop::Broken)?);
            let channel = usize::from(header.flags - 1);
            let sum = stream.credit[channel].checked_add(credit).filter(|&sum| sum <= MAX_CREDIT);
            stream.credit[channel] = sum.ok_or(Stop::Broken)?;
            if let Some(task) = stream.task {
                pump(&mut agent.mux, task, channel);
                pump_ring(&mut agent.mux, task);
            }
        }
        kind::CONTROL => {
            let control = Control::decode(payload).map_err(|_| Stop::Broken)?;
            processes::control(&mut agent.mux, link, &control);
        }
        kind::RESET => reset(&mut agent.mux, link),
        _ => return Err(Stop::Broken),
    }
    Ok(())
}

fn on_open(agent: &mut Agent, index: usize, header: Header, payload: &[u8]) -> Result<(), Stop> {
    let held = agent.hold.is_held();
    let Some(session) = agent.mux.sessions.get_mut(index) else { return Ok(()) };
    let more = header.flags & frame::MORE != 0;
    let id = header.stream;
    let link = Link { session: index, stream: id };
    if id > session.last_stream {
        if held && !more && must_wait(payload) {
            return Err(Stop::Held);
        }
        session.last_stream = id;
        if session.streams.len() >= MAX_STREAMS {
            // Parts that follow are of a finished stream.
            let failure = Failure::new(code::LIMIT, "too many streams are open in this session");
            agent.mux.sessions.answer(link, &Outcome::failed(failure));
            return Ok(());
        }
        session.streams.push(Stream::new(id));
        if !more {
            // The usual case: nothing to collect.
            return request(agent, link, payload);
        }
    }
    let Some(stream) = session.stream(id) else { return Ok(()) };
    let Some(collected) = &mut stream.opening else { return Err(Stop::Broken) };
    if collected.len() + payload.len() > MAX_OPEN {
        return Err(Stop::Broken);
    }
    let before = collected.len();
    collected.extend_from_slice(payload);
    if more {
        return Ok(());
    }
    if held && must_wait(collected) {
        collected.truncate(before);
        return Err(Stop::Held);
    }
    let collected = std::mem::take(collected);
    request(agent, link, &collected)
}

/// A request for what runs, while nothing does.
fn must_wait(open: &[u8]) -> bool {
    Open::decode(open).is_ok_and(|open| waits_while_held(&open.request))
}

/// A complete OPEN.
fn request(agent: &mut Agent, link: Link, payload: &[u8]) -> Result<(), Stop> {
    let open = Open::decode(payload).map_err(|_| Stop::Broken)?;
    agent.mux.place.comes_first();
    if let Some(stream) = agent.mux.sessions.stream(link) {
        stream.opening = None;
        stream.credit = [open.window; 2];
    }
    agent.host_clock.follow(open.clock_ms);
    let outcome = match begin(agent, link, &open.request, payload) {
        Ok(Some(outcome)) => outcome,
        Ok(None) => return Ok(()),
        Err(failure) => Outcome::failed(failure),
    };
    agent.mux.sessions.answer(link, &outcome);
    Ok(())
}
