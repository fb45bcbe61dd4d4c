//! The way in: channel 0 to descriptors.

use crate::streams::mux::Mux;
use crate::streams::session::{Link, MAX_WIDE};
use crate::streams::settle::settle;
use crate::streams::target::Event;
use crate::streams::task::{Kind, SinkKind, Task, Worker};
use crate::sys;
use crate::wire::kept;
use crate::wire::known::decode;

/// A frame of this size shows that a stream moves much.
const WIDE_AT: usize = 16_384;

/// Bytes of channel 0 arrived.
pub fn deliver(mux: &mut Mux, link: Link, payload: &[u8]) {
    let Some(session) = mux.sessions.get_mut(link.session) else { return };
    let task = session.stream(link.stream).and_then(|s| s.task);
    let Some(task) = task else {
        // Nobody wants them.
        session.consumed(link.stream, payload.len());
        return mux.sessions.mark(link.session);
    };
    let mut used = payload.len();
    if let Some(Task { sink: Some(sink), kind, .. }) = mux.tasks.get_mut(task) {
        let mut done = 0;
        let kept = if sink.kind == SinkKind::Messages { kept::decode(payload) } else { None };
        let known = if sink.kind == SinkKind::Messages { decode(payload) } else { None };
        if let (Some(part), Kind::Worker(Worker { kept: Some(mount), .. })) = (kept, &mut *kind) {
            mount.take_in(part);
            done = payload.len();
        } else if let (Some(known), Kind::Worker(Worker { mount: Some(directories), .. })) = (known, kind) {
            directories.told(known);
            done = payload.len();
        } else if sink.writable && sink.buf.is_empty() {
            match sys::write(sink.fd.raw(), payload) {
                Ok(n) => done = n,
                Err(_) if sink.kind == SinkKind::Messages => done = payload.len(),
                Err(error) if error.would_block() => sink.writable = false,
                Err(_) => {
                    break_sink(mux, task);
                    done = payload.len();
                }
            }
        }
        if done < payload.len() {
            if let Some(sink) = mux.tasks.get_mut(task).and_then(|t| t.sink.as_mut()) {
                sink.buf.extend_from_slice(&payload[done..]);
            }
        }
        used = done;
    }
    if used > 0 {
        // A stream that uses up its first credit wants more.
        let wide = payload.len() >= WIDE_AT && mux.sessions.wide_streams() < MAX_WIDE;
        if let Some(session) = mux.sessions.get_mut(link.session) {
            session.consumed(link.stream, used);
            if wide && session.widen(link.stream) {
                if let Some(sink) = mux.tasks.get(task).and_then(|t| t.sink.as_ref()) {
                    sys::widen_pipe(sink.fd.raw());
                }
            }
        }
        mux.sessions.mark(link.session);
    }
    flush_sink(mux, task);
}

/// END came on channel 0.
pub fn deliver_end(mux: &mut Mux, link: Link) {
    let Some(task) = mux.sessions.task_of(link) else { return };
    if let Some(sink) = mux.tasks.get_mut(task).and_then(|t| t.sink.as_mut()) {
        sink.ended = true;
        if sink.kind == SinkKind::Terminal {
            // The terminal stays: it is the command's output as well.
            sink.ended = false;
            sink.buf.push(0x04);
        }
    }
    flush_sink(mux, task);
    settle(mux, task);
}

pub fn on_writable(mux: &mut Mux, task: usize, event: &Event) {
    if let Some(sink) = mux.tasks.get_mut(task).and_then(|t| t.sink.as_mut()) {
        sink.writable = true;
        let hung_up = event.hangup && sink.kind == SinkKind::Socket;
        // A Unix socket hangs up without an error when its server has closed it.
        if hung_up && sys::socket_error(sink.fd.raw()).is_some() {
            // Also where nothing waits to be written: the host would learn of it from nobody.
            return break_sink(mux, task);
        }
    }
    flush_sink(mux, task);
}

/// Writes what waits for a descriptor; closes it when that was all.
pub fn flush_sink(mux: &mut Mux, t: usize) {
    let Some(task) = mux.tasks.get_mut(t) else { return };
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
    let over = sink.ended && sink.buf.is_empty();
    if let (Some(link), true) = (task.link, used > 0) {
        if let Some(session) = mux.sessions.get_mut(link.session) {
            session.consumed(link.stream, used);
        }
        mux.sessions.mark(link.session);
    }
    if broken {
        break_sink(mux, t);
    } else if over {
        drop_sink(mux, t);
    }
}

/// Nobody reads at the other end of a task's way in any more. Of a connection RESULT will tell, behind what its server has sent before.
fn break_sink(mux: &mut Mux, t: usize) {
    if let Some(Kind::Forward(forward)) = mux.tasks.get_mut(t).map(|task| &mut task.kind) {
        forward.reset = true;
    }
    drop_sink(mux, t);
}

/// Closes a task's way in.
pub fn drop_sink(mux: &mut Mux, t: usize) {
    let Some(task) = mux.tasks.get_mut(t) else { return };
    let Some(sink) = task.sink.take() else { return };
    mux.poller.forget(sink.token);
    if sink.kind == SinkKind::Socket {
        // SAFETY: plain call; the source holds another descriptor of the same socket.
        unsafe { libc::shutdown(sink.fd.raw(), libc::SHUT_WR) };
        if let Kind::Forward(forward) = &mut task.kind {
            forward.input_over = true;
        }
        settle(mux, t);
    }
}
