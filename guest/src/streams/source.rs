//! The way out: descriptors, or the rings of detached processes, to channels 1 and 2, under credit.

use crate::streams::kept_mount::Keeping;
use crate::streams::mux::Mux;
use crate::streams::session::OUT_HIGH;
use crate::streams::settle::settle;
use crate::streams::target::Event;
use crate::streams::task::{Kind, Source, Worker};
use crate::sys;
use crate::wire::frame::{kind, put_frame, Header, HEADER, MAX_PAYLOAD};
use crate::wire::fuse::Way;

/// Output that is drained of a terminal after its command's end; what it can hold at most.
const TERMINAL_REST: usize = 128 * 1024;
/// Reads of one source before others get a turn.
const READS_PER_TURN: usize = 8;

/// The most output of one frame: with its header it fills two writes of a virtio-serial port (32 KiB each) to the byte.
const FRAME_PAYLOAD: usize = MAX_PAYLOAD - HEADER;
/// Events after which a source is taken for one that writes much.
const BUSY_AFTER: u32 = 64;
/// How long such a one is let fill its pipe, in microseconds. Emulated, half of that fills a part of it and costs a seventh more for
/// the same output; twice of that leaves `yes` asleep before a full one.
const LET_RUN_US: u32 = 1000;
/// A read of this size shows that a pipe was full: it is made larger.
const WIDEN_AT: usize = 60_000;

/// How much of what can wait does, in bytes.
const MAX_LATER: usize = 4096;

/// What a look at a source led to.
enum Step {
    /// it has given something; there may be more
    More,
    /// nothing to do until an event, a WINDOW or room comes
    Rest,
    /// it is over; true: others still hold its other end
    Over { held: bool },
    /// it was cut: a connection that its other end has reset
    Cut,
}

pub fn on_source(mux: &mut Mux, task: usize, channel: usize, event: &Event) {
    let Some(source) = mux.tasks.get_mut(task).and_then(|t| t.sources[channel].as_mut()) else { return };
    source.ready |= event.readable;
    source.hung_up |= event.hangup;
    source.events = source.events.saturating_add(1);
    if source.messages {
        mux.place.serves_files();
    }
    let may_wait = !source.terminal && !source.messages;
    if source.events > BUSY_AFTER && may_wait && !event.hangup && !mux.yielded {
        // A command that writes in small pieces wakes us for each. It may fill its pipe first: one frame, one
        // write and two switches then carry what many would.
        // We come before everybody, so yielding the processor would do nothing: we sleep.
        mux.yielded = true;
        sys::sleep_us(LET_RUN_US);
    }
    pump(mux, task, channel);
}

/// The command that wrote has ended: what is there now is still read, and no more. Mostly that is nothing, and nobody else can write
/// any more: one question finds that for both.
pub fn limit_to_rest(sources: &mut [Option<Source>; 2]) {
    let fd = |source: &Option<Source>| source.as_ref().map_or(-1, |source| source.fd.raw());
    let found = sys::readiness([fd(&sources[0]), fd(&sources[1])]);
    for (source, found) in sources.iter_mut().zip(found) {
        let Some(source) = source else { continue };
        source.ready = true;
        source.limit = Some(if source.terminal {
            TERMINAL_REST
        } else {
            source.hung_up |= found.hung_up;
            if found.readable && source.token.is_none() {
                // Its user can read from it as well: what is there may be gone.
                let _ = sys::set_nonblocking(source.fd.raw());
            }
            if found.readable {
                sys::unread(source.fd.raw())
            } else {
                0
            }
        });
    }
}

/// Reads from a source as long as there is something to read, credit and room.
pub fn pump(mux: &mut Mux, task: usize, channel: usize) {
    for _ in 0..READS_PER_TURN {
        match pump_once(mux, task, channel) {
            Step::More => {}
            Step::Rest => return,
            Step::Over { held } => return finish_source(mux, task, channel, held),
            Step::Cut => return cut_source(mux, task, channel),
        }
    }
    mux.again.push_back((task, channel));
}

fn pump_once(mux: &mut Mux, t: usize, channel: usize) -> Step {
    let Some(task) = mux.tasks.get_mut(t) else { return Step::Rest };
    let Some(source) = &mut task.sources[channel] else { return Step::Rest };
    if source.limit == Some(0) {
        return Step::Over { held: !source.hung_up };
    }
    if !source.ready || source.waiting {
        return Step::Rest;
    }
    if matches!(&task.kind, Kind::Forward(forward) if forward.connecting) {
        // Reading would take the reason away for which it may be refused. What is there is read when it is connected.
        return Step::Rest;
    }
    if let Kind::Process(process) = &mut task.kind {
        if process.starting.is_some() {
            return Step::Rest;
        }
        if let Some(ring) = &mut process.ring {
            mux.scratch.clear();
            let max = source.limit.unwrap_or(MAX_PAYLOAD).min(MAX_PAYLOAD);
            let step = read_source(source, &mut mux.scratch, max);
            ring.push(channel as u8 + 1, &mux.scratch);
            if !mux.scratch.is_empty() {
                pump_ring(mux, t);
            }
            return step;
        }
    }
    if let Kind::Worker(worker) = &task.kind {
        // What a host has told of what it knows is right for as long as it is asked for nothing more.
        if source.messages && worker.kept.as_ref().is_some_and(|kept| kept.state != Keeping::Not) {
            return Step::Rest;
        }
        // Output follows OPENED; a refusal has none.
        if !worker.opened && worker.result.is_none() && !source.messages {
            return Step::Rest;
        }
    }
    let Some(link) = task.link else { return Step::Rest };
    let Some(session) = mux.sessions.get_mut(link.session) else { return Step::Rest };
    if session.unsent() >= OUT_HIGH {
        source.waiting = true;
        session.waiting.push_back((link.stream, channel));
        return Step::Rest;
    }
    let Some(at) = session.stream_index(link.stream) else { return Step::Rest };
    let credit = session.streams[at].credit[channel] as usize;
    let max = if source.messages && credit >= MAX_PAYLOAD {
        MAX_PAYLOAD
    } else if source.messages {
        0
    } else {
        source.limit.unwrap_or(FRAME_PAYLOAD).min(credit).min(FRAME_PAYLOAD)
    };
    if max == 0 {
        return Step::Rest;
    }
    // The header is filled in when the payload's length is known.
    let start = session.out.len();
    session.out.extend_from_slice(&[0; HEADER]);
    let step = read_source(source, &mut session.out, max);
    let len = session.out.len() - start - HEADER;
    if len == 0 {
        session.out.truncate(start);
        return step;
    }
    let way = match &mut task.kind {
        Kind::Worker(Worker { mount: Some(directories), .. }) if source.messages => {
            directories.way(&mut session.out[start + HEADER..])
        }
        _ => Way::Pass,
    };
    if let Way::Answer(answer) | Way::AnswerAndPass(answer) = &way {
        // Who asked may have given up meanwhile.
        let _ = sys::write(source.fd.raw(), answer.bytes());
    }
    if let Way::Answer(_) = way {
        session.out.truncate(start);
        return step;
    }
    let header = Header { len, stream: link.stream, kind: kind::DATA, flags: channel as u8 + 1 };
    session.out[start..start + HEADER].copy_from_slice(&header.encode());
    session.streams[at].credit[channel] -= len as u32;
    if matches!(way, Way::PassLater) && session.unsent() < MAX_LATER {
        // It leaves with the next frame, and nothing is woken for it.
        return step;
    }
    mux.sessions.mark(link.session);
    step
}

/// Sends an attached stream what the ring holds for it.
pub fn pump_ring(mux: &mut Mux, t: usize) {
    let Some(task) = mux.tasks.get_mut(t) else { return };
    let Some(link) = task.link else { return };
    let Kind::Process(process) = &mut task.kind else { return };
    if process.ring.is_none() {
        return;
    }
    let Some(session) = mux.sessions.get_mut(link.session) else { return };
    let Some(at) = session.stream_index(link.stream) else { return };
    process.catch_up();
    let mut sent = false;
    while let Some((channel, bytes)) = process.ring.as_ref().and_then(|ring| ring.read(process.cursor)) {
        if session.unsent() >= OUT_HIGH {
            let entry = (link.stream, RING);
            if !session.waiting.contains(&entry) {
                session.waiting.push_back(entry);
            }
            break;
        }
        let credit = &mut session.streams[at].credit[usize::from(channel - 1)];
        let bytes = &bytes[..bytes.len().min(*credit as usize).min(MAX_PAYLOAD)];
        if bytes.is_empty() {
            break;
        }
        *credit -= bytes.len() as u32;
        process.cursor += bytes.len() as u64;
        put_frame(&mut session.out, link.stream, kind::DATA, channel, bytes);
        sent = true;
    }
    if sent {
        mux.sessions.mark(link.session);
    }
    settle(mux, t);
}

/// The outbound queue has room: sources that waited for it go on, each in turn.
pub fn pump_waiting(mux: &mut Mux, index: usize) {
    loop {
        let Some(session) = mux.sessions.get_mut(index) else { return };
        if session.unsent() >= OUT_HIGH {
            return;
        }
        let Some((stream, channel)) = session.waiting.pop_front() else { return };
        let Some(task) = session.stream(stream).and_then(|s| s.task) else { continue };
        if channel == RING {
            pump_ring(mux, task);
            continue;
        }
        if let Some(source) = mux.tasks.get_mut(task).and_then(|t| t.sources[channel].as_mut()) {
            source.waiting = false;
            // One frame each: a command that floods must not starve its neighbours.
            match pump_once(mux, task, channel) {
                Step::More => wait_in_line(mux, index, stream, task, channel),
                Step::Rest => {}
                Step::Over { held } => finish_source(mux, task, channel, held),
                Step::Cut => cut_source(mux, task, channel),
            }
        }
    }
}

fn wait_in_line(mux: &mut Mux, index: usize, stream: u32, task: usize, channel: usize) {
    let Some(session) = mux.sessions.get_mut(index) else { return };
    if let Some(source) = mux.tasks.get_mut(task).and_then(|t| t.sources[channel].as_mut()) {
        source.waiting = true;
        session.waiting.push_back((stream, channel));
    }
}

/// A source has failed. Of a connection that is no end: RESULT tells.
fn cut_source(mux: &mut Mux, t: usize, channel: usize) {
    if let Some(Kind::Forward(forward)) = mux.tasks.get_mut(t).map(|task| &mut task.kind) {
        forward.reset = true;
    }
    finish_source(mux, t, channel, false);
}

/// A source is over: END, unless RESULT follows at once.
fn finish_source(mux: &mut Mux, t: usize, channel: usize, held: bool) {
    let Some(task) = mux.tasks.get_mut(t) else { return };
    let Some(source) = task.sources[channel].take() else { return };
    match &mut task.kind {
        Kind::Forward(forward) => forward.reset |= forward.cut,
        // It was unmounted: nobody has to keep it any more.
        Kind::Worker(worker) if worker.mount.is_some() && worker.pid > 0 => {
            let _ = sys::kill(worker.pid, libc::SIGTERM);
        }
        _ => {}
    }
    let result_follows = match &task.kind {
        Kind::Process(process) => process.exited.is_some() || process.ring.is_some(),
        Kind::Forward(forward) => forward.reset,
        Kind::Worker(_) | Kind::Kill(_) | Kind::Door(_) => false,
    };
    if let (Some(link), false) = (task.link, result_follows) {
        if let Some(session) = mux.sessions.get_mut(link.session) {
            session.put(link.stream, kind::END, channel as u8 + 1, &[]);
        }
        mux.sessions.mark(link.session);
    }
    if held && !source.terminal {
        mux.orphans.keep(&mut mux.poller, source.fd, source.token);
    } else {
        mux.poller.forget(source.token);
        mux.close_later(source.fd);
    }
    settle(mux, t);
}

/// Stands for the ring in a session's waiting list, beside the sources 0 and 1.
const RING: usize = 2;

/// One read of at most `max` bytes, appended to `out`.
fn read_source(source: &mut Source, out: &mut Vec<u8>, max: usize) -> Step {
    if source.messages {
        return read_message(source, out, max);
    }
    match sys::read_append(source.fd.raw(), out, max) {
        Ok(0) => Step::Over { held: false },
        Ok(n) => {
            if let Some(limit) = &mut source.limit {
                *limit -= n;
                if *limit == 0 {
                    return Step::Over { held: !source.hung_up };
                }
            }
            if n >= WIDEN_AT && !source.terminal && !source.widened {
                source.widened = true;
                sys::widen_pipe(source.fd.raw());
            }
            // A pipe or socket that gave less than it was asked for is empty (epoll(7)); a terminal gives lines. After a
            // hangup, or a socket's end, no event comes any more: it is read to its end.
            if n < max && !source.terminal && !source.hung_up {
                source.ready = false;
            }
            if source.ready {
                Step::More
            } else {
                Step::Rest
            }
        }
        Err(error) if error.would_block() => {
            source.ready = false;
            if source.limit.is_some() {
                // After the command's end nothing more is waited for.
                Step::Over { held: true }
            } else {
                Step::Rest
            }
        }
        // A terminal whose other side is closed says EIO.
        Err(_) if source.terminal => Step::Over { held: false },
        Err(_) => Step::Cut,
    }
}

/// One message of at most `max` bytes, appended to `out`.
fn read_message(source: &mut Source, out: &mut Vec<u8>, max: usize) -> Step {
    match sys::read_append(source.fd.raw(), out, max) {
        Ok(1..) => Step::More,
        Err(error) if error.would_block() => {
            source.ready = false;
            Step::Rest
        }
        // Who asked has given up meanwhile (fuse_dev_do_read).
        Err(sys::Errno(libc::ENOENT)) => Step::More,
        Ok(0) | Err(_) => Step::Over { held: false },
    }
}
