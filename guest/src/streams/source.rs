//! Moves bytes: channel 0 to descriptors, descriptors (or rings) to channels 1 and 2, under credit.

use crate::serve::agent::{Agent, Orphan};
use crate::streams::session::{MAX_WIDE, OUT_HIGH};
use crate::streams::task::{Kind, SinkKind, Source};
use crate::sys;
use crate::sys::poller::{Event, Target};
use crate::wire::frame::{kind, Header, HEADER, MAX_PAYLOAD};

/// Output that is drained of a terminal after its command's end; what it can hold at most.
pub const TERMINAL_REST: usize = 128 * 1024;
/// Descriptors kept open for background children of finished commands. The oldest is closed when there are more.
const MAX_ORPHANS: usize = 128;
/// Reads of one source before others get a turn.
const READS_PER_TURN: usize = 8;

/// The most output of one frame: with its header it fills two writes of a virtio-serial port (32 KiB each) to the byte.
const FRAME_PAYLOAD: usize = MAX_PAYLOAD - HEADER;
/// Events after which a source is taken for one that writes much.
const BUSY_AFTER: u32 = 64;
/// A read of this size shows that a pipe was full: it is made larger.
const WIDEN_AT: usize = 60_000;
/// A frame of this size shows that a stream moves much.
const WIDE_AT: usize = 16_384;

/// What a look at a source led to.
enum Step {
    /// it has given something; there may be more
    More,
    /// nothing to do until an event, a WINDOW or room comes
    Rest,
    /// it is over; true: others still hold its other end
    Over { held: bool },
}

impl Agent {
    /// Bytes of channel 0 arrived.
    pub fn deliver(&mut self, index: usize, stream: u32, payload: &[u8]) {
        let Some(session) = self.sessions.get_mut(index) else { return };
        let task = session.stream(stream).and_then(|s| s.task);
        let Some(task) = task else {
            // Nobody wants them.
            session.consumed(stream, payload.len());
            return self.mark(index);
        };
        let mut used = payload.len();
        if let Some(sink) = self.tasks.get_mut(task).and_then(|t| t.sink.as_mut()) {
            let mut done = 0;
            if sink.writable && sink.buf.is_empty() {
                match sys::write(sink.fd.raw(), payload) {
                    Ok(n) => done = n,
                    Err(error) if error.would_block() => sink.writable = false,
                    Err(_) => {
                        self.drop_sink(task);
                        done = payload.len();
                    }
                }
            }
            if done < payload.len() {
                if let Some(sink) = self.tasks.get_mut(task).and_then(|t| t.sink.as_mut()) {
                    sink.buf.extend_from_slice(&payload[done..]);
                }
            }
            used = done;
        }
        if used > 0 {
            // A stream that uses up its first credit wants more.
            let wide = payload.len() >= WIDE_AT && self.wide_streams() < MAX_WIDE;
            if let Some(session) = self.sessions.get_mut(index) {
                session.consumed(stream, used);
                if wide && session.widen(stream) {
                    if let Some(sink) = self.tasks.get(task).and_then(|t| t.sink.as_ref()) {
                        sys::widen_pipe(sink.fd.raw());
                    }
                }
            }
            self.mark(index);
        }
        self.flush_sink(task);
    }

    fn wide_streams(&self) -> usize {
        self.sessions.iter().map(|(_, session)| session.streams.iter().filter(|s| s.wide).count()).sum()
    }

    /// END came on channel 0.
    pub fn deliver_end(&mut self, index: usize, stream: u32) {
        let task = self.sessions.get_mut(index).and_then(|s| s.stream(stream)).and_then(|s| s.task);
        let Some(task) = task else { return };
        if let Some(sink) = self.tasks.get_mut(task).and_then(|t| t.sink.as_mut()) {
            sink.ended = true;
            if sink.kind == SinkKind::Terminal {
                // The terminal stays: it is the command's output as well.
                sink.ended = false;
                sink.buf.push(0x04);
            }
        }
        self.flush_sink(task);
        self.settle(task);
    }

    pub fn on_sink(&mut self, task: usize) {
        if let Some(sink) = self.tasks.get_mut(task).and_then(|t| t.sink.as_mut()) {
            sink.writable = true;
        }
        if self.is_connecting(task) {
            return self.on_connected(task);
        }
        self.flush_sink(task);
    }

    /// Writes what waits for a descriptor; closes it when that was all.
    pub fn flush_sink(&mut self, t: usize) {
        let Some(task) = self.tasks.get_mut(t) else { return };
        let Some(sink) = &mut task.sink else { return };
        let before = sink.done;
        let mut broken = false;
        while sink.writable && sink.done < sink.buf.len() {
            match sys::write(sink.fd.raw(), &sink.buf[sink.done..]) {
                Ok(n) => sink.done += n,
                Err(error) if error.would_block() => sink.writable = false,
                Err(_) => {
                    // Nobody reads any more: the rest is discarded, and credit goes on being granted.
                    broken = true;
                    sink.done = sink.buf.len();
                }
            }
        }
        let used = sink.done - before;
        if sink.done == sink.buf.len() {
            sink.buf.clear();
            sink.done = 0;
        }
        let over = broken || (sink.ended && sink.buf.is_empty());
        if let (Some(link), true) = (task.link, used > 0) {
            if let Some(session) = self.sessions.get_mut(link.session) {
                session.consumed(link.stream, used);
            }
            self.mark(link.session);
        }
        if over {
            self.drop_sink(t);
        }
    }

    /// Closes a task's way in.
    pub fn drop_sink(&mut self, t: usize) {
        let Some(task) = self.tasks.get_mut(t) else { return };
        let Some(sink) = task.sink.take() else { return };
        self.poller.forget(sink.token);
        if sink.kind == SinkKind::Socket {
            // SAFETY: plain call; the source holds another descriptor of the same socket.
            unsafe { libc::shutdown(sink.fd.raw(), libc::SHUT_WR) };
            if let Kind::Forward(forward) = &mut task.kind {
                forward.input_over = true;
            }
            self.settle(t);
        }
    }

    pub fn on_source(&mut self, task: usize, channel: usize, event: &Event) {
        let Some(source) = self.tasks.get_mut(task).and_then(|t| t.sources[channel].as_mut()) else { return };
        source.ready |= event.readable;
        source.hung_up |= event.hangup;
        source.events = source.events.saturating_add(1);
        if source.events > BUSY_AFTER && !source.terminal && !event.hangup && !self.yielded {
            // A command that writes in small pieces wakes us for each. It may fill its pipe first: one frame, one
            // write and two switches then carry what many would.
            self.yielded = true;
            // SAFETY: plain call; returns at once if nobody else wants to run.
            unsafe { libc::sched_yield() };
        }
        self.pump(task, channel);
    }

    /// Reads from a source as long as there is something to read, credit and room.
    pub fn pump(&mut self, task: usize, channel: usize) {
        for _ in 0..READS_PER_TURN {
            match self.pump_once(task, channel) {
                Step::More => {}
                Step::Rest => return,
                Step::Over { held } => return self.finish_source(task, channel, held),
            }
        }
        self.again.push_back((task, channel));
    }

    fn pump_once(&mut self, t: usize, channel: usize) -> Step {
        let Some(task) = self.tasks.get_mut(t) else { return Step::Rest };
        let Some(source) = &mut task.sources[channel] else { return Step::Rest };
        if source.limit == Some(0) {
            return Step::Over { held: true };
        }
        if !source.ready || source.waiting {
            return Step::Rest;
        }
        if let Kind::Process(process) = &mut task.kind {
            if process.starting.is_some() {
                return Step::Rest;
            }
            if let Some(ring) = &mut process.ring {
                self.scratch.clear();
                let max = source.limit.unwrap_or(MAX_PAYLOAD).min(MAX_PAYLOAD);
                let step = read_source(source, &mut self.scratch, max);
                ring.push(channel as u8 + 1, &self.scratch);
                if !self.scratch.is_empty() {
                    self.pump_ring(t);
                }
                return step;
            }
        }
        if let Kind::Worker(worker) = &task.kind {
            // Output follows OPENED; a refusal has none.
            if !worker.opened && worker.result.is_none() {
                return Step::Rest;
            }
        }
        let Some(link) = task.link else { return Step::Rest };
        let Some(session) = self.sessions.get_mut(link.session) else { return Step::Rest };
        if session.unsent() >= OUT_HIGH {
            source.waiting = true;
            session.waiting.push_back((link.stream, channel));
            return Step::Rest;
        }
        let Some(at) = session.stream_index(link.stream) else { return Step::Rest };
        let credit = session.streams[at].credit[channel] as usize;
        let max = source.limit.unwrap_or(FRAME_PAYLOAD).min(credit).min(FRAME_PAYLOAD);
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
        let header = Header { len, stream: link.stream, kind: kind::DATA, flags: channel as u8 + 1 };
        session.out[start..start + HEADER].copy_from_slice(&header.encode());
        session.streams[at].credit[channel] -= len as u32;
        self.mark(link.session);
        step
    }

    /// Sends an attached stream what the ring holds for it.
    pub fn pump_ring(&mut self, t: usize) {
        let Some(task) = self.tasks.get_mut(t) else { return };
        let Some(link) = task.link else { return };
        let Kind::Process(process) = &mut task.kind else { return };
        if process.ring.is_none() {
            return;
        }
        let Some(session) = self.sessions.get_mut(link.session) else { return };
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
            crate::wire::frame::put_frame(&mut session.out, link.stream, kind::DATA, channel, bytes);
            sent = true;
        }
        if sent {
            self.mark(link.session);
        }
        self.settle(t);
    }

    /// The outbound queue has room: sources that waited for it go on, each in turn.
    pub fn pump_waiting(&mut self, index: usize) {
        loop {
            let Some(session) = self.sessions.get_mut(index) else { return };
            if session.unsent() >= OUT_HIGH {
                return;
            }
            let Some((stream, channel)) = session.waiting.pop_front() else { return };
            let Some(task) = session.stream(stream).and_then(|s| s.task) else { continue };
            if channel == RING {
                self.pump_ring(task);
                continue;
            }
            if let Some(source) = self.tasks.get_mut(task).and_then(|t| t.sources[channel].as_mut()) {
                source.waiting = false;
                // One frame each: a command that floods must not starve its neighbours.
                match self.pump_once(task, channel) {
                    Step::More => self.wait_in_line(index, stream, task, channel),
                    Step::Rest => {}
                    Step::Over { held } => self.finish_source(task, channel, held),
                }
            }
        }
    }

    fn wait_in_line(&mut self, index: usize, stream: u32, task: usize, channel: usize) {
        let Some(session) = self.sessions.get_mut(index) else { return };
        if let Some(source) = self.tasks.get_mut(task).and_then(|t| t.sources[channel].as_mut()) {
            source.waiting = true;
            session.waiting.push_back((stream, channel));
        }
    }

    /// A source is over: END, unless RESULT follows at once.
    fn finish_source(&mut self, t: usize, channel: usize, held: bool) {
        let Some(task) = self.tasks.get_mut(t) else { return };
        let Some(source) = task.sources[channel].take() else { return };
        let result_follows = task.process().is_some_and(|p| p.exited.is_some() || p.ring.is_some());
        if let (Some(link), false) = (task.link, result_follows) {
            if let Some(session) = self.sessions.get_mut(link.session) {
                session.put(link.stream, kind::END, channel as u8 + 1, &[]);
            }
            self.mark(link.session);
        }
        if held && !source.terminal {
            self.keep_orphan(source);
        } else {
            self.poller.forget(source.token);
        }
        self.settle(t);
    }

    /// Background children may still write there: it is read and discarded, so that they live on.
    fn keep_orphan(&mut self, source: Source) {
        if self.orphan_order.len() >= MAX_ORPHANS {
            if let Some(oldest) = self.orphan_order.pop_front() {
                self.drop_orphan(oldest);
            }
        }
        let index = self.orphans.insert(Orphan { fd: source.fd, token: source.token });
        self.poller.retarget(source.token, Target::Orphan(index));
        self.orphan_order.push_back(index);
        // Mostly nobody holds it, and this closes it.
        self.on_orphan(index);
    }

    pub fn on_orphan(&mut self, index: usize) {
        for _ in 0..READS_PER_TURN {
            let Some(orphan) = self.orphans.get(index) else { return };
            self.scratch.clear();
            match sys::read_append(orphan.fd.raw(), &mut self.scratch, MAX_PAYLOAD) {
                Ok(0) => {
                    self.orphan_order.retain(|&i| i != index);
                    return self.drop_orphan(index);
                }
                Ok(_) => {}
                Err(_) => return,
            }
        }
        self.orphans_again.push_back(index);
    }

    fn drop_orphan(&mut self, index: usize) {
        if let Some(orphan) = self.orphans.remove(index) {
            self.poller.forget(orphan.token);
        }
    }
}

/// Stands for the ring in a session's waiting list, beside the sources 0 and 1.
pub const RING: usize = 2;

/// One read of at most `max` bytes, appended to `out`.
fn read_source(source: &mut Source, out: &mut Vec<u8>, max: usize) -> Step {
    match sys::read_append(source.fd.raw(), out, max) {
        Ok(0) => Step::Over { held: false },
        Ok(n) => {
            if let Some(limit) = &mut source.limit {
                *limit -= n;
                if *limit == 0 {
                    return Step::Over { held: true };
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
        Err(_) => Step::Over { held: false },
    }
}
