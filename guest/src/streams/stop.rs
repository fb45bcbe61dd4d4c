//! The end that a host asks for, or leaves behind: RESET of a stream, and the end of a session.

use crate::exec::kill;
use crate::exec::ring::Ring;
use crate::streams::ending::kill_command;
use crate::streams::mux::Mux;
use crate::streams::session::Link;
use crate::streams::settle::settle;
use crate::streams::source::pump;
use crate::streams::task::{Kind, Worker};
use crate::sys;
use crate::wire::messages::Outcome;

/// A worker that was told to clean up is killed after this, in ms.
const CLEAN_UP_MS: u64 = 1000;

pub fn reset(mux: &mut Mux, link: Link) {
    let Some(found) = mux.sessions.stream(link) else { return };
    let Some(task) = found.task else {
        mux.sessions.answer(link, &Outcome::cancelled());
        return;
    };
    let Some(t) = mux.tasks.get_mut(task) else { return };
    match &mut t.kind {
        Kind::Process(process) if process.ring.is_some() && process.starting.is_none() => {
            mux.unlink(task);
            mux.sessions.answer(link, &Outcome::cancelled());
        }
        Kind::Process(_) => {
            kill_command(mux, task);
            discard_output(mux, task);
        }
        Kind::Worker(_) => {
            stop_worker(mux, task);
            discard_output(mux, task);
        }
        Kind::Forward(_) | Kind::Kill(_) | Kind::Door(_) => {
            mux.unlink(task);
            mux.remove(task);
            mux.sessions.answer(link, &Outcome::cancelled());
        }
    }
}

/// Ends the session's streams and forgets what was to be sent. The search for a new start begins.
pub fn end_session(mux: &mut Mux, index: usize) {
    let Some(session) = mux.sessions.get_mut(index) else { return };
    session.active = false;
    session.held_up = false;
    session.resuming = None;
    session.connected = false;
    session.check_at = None;
    // A frame that is half written is cut off: the next host discards until its own nonce.
    session.out = Vec::new();
    session.sent = 0;
    session.last_stream = 0;
    session.waiting.clear();
    for stream in std::mem::take(&mut session.streams) {
        if let Some(task) = stream.task {
            abandon(mux, task);
        }
    }
    mux.sessions.mark(index);
}

/// A connection is over for good.
pub fn close_session(mux: &mut Mux, index: usize) {
    end_session(mux, index);
    if let Some(session) = mux.sessions.remove(index) {
        mux.poller.forget(session.token);
    }
    if mux.suspension.holder.is_some_and(|(holder, _)| holder == index) {
        mux.no_holder();
    }
}

/// The session of a task has ended.
fn abandon(mux: &mut Mux, task: usize) {
    let Some(t) = mux.tasks.get_mut(task) else { return };
    t.link = None;
    for source in t.sources.iter_mut().flatten() {
        source.waiting = false;
    }
    match &mut t.kind {
        Kind::Process(process) if process.ring.is_some() => {}
        Kind::Process(process) if mux.keeps_commands => {
            process.ring = Some(Ring::default());
            process.left = true;
            pump(mux, task, 0);
            pump(mux, task, 1);
        }
        Kind::Process(process) => {
            let _ = kill::tree(process, libc::SIGKILL);
            discard_output(mux, task);
        }
        Kind::Worker(worker) if mux.keeps_commands && worker.is_kept() => {}
        Kind::Worker(worker) if worker.mount.is_some() => end_mount(mux, task),
        Kind::Worker(_) => {
            stop_worker(mux, task);
            discard_output(mux, task);
        }
        Kind::Forward(_) | Kind::Kill(_) | Kind::Door(_) => mux.remove(task),
    }
}

/// The machine is held no longer: in the one that was captured, what hosts have left meanwhile ends as it would have then; in one that goes on from its memory it
/// goes on.
pub fn settle_left(mux: &mut Mux, as_it_was: bool) {
    for task in 0..mux.tasks.bound() {
        let Some(t) = mux.tasks.get_mut(task) else { continue };
        let attached = t.link.is_some();
        let Some(process) = t.process_mut() else { continue };
        if std::mem::take(&mut process.left) && as_it_was && !attached {
            process.ring = None;
            abandon(mux, task);
        }
    }
}

/// What serves a mount has ended: it stays, without anybody who answers.
pub fn end_mount(mux: &mut Mux, task: usize) {
    if let Some(Kind::Worker(worker)) = mux.tasks.get_mut(task).map(|t| &mut t.kind) {
        worker.cancelled = true;
        if worker.pid > 0 {
            let _ = sys::kill(worker.pid, libc::SIGKILL);
        }
    }
    discard_output(mux, task);
}

/// Nothing of a task is wanted any more: its descriptors are closed, its end is still awaited.
fn discard_output(mux: &mut Mux, task: usize) {
    let Some(t) = mux.tasks.get_mut(task) else { return };
    let link = t.link;
    for source in t.sources.iter_mut().filter_map(Option::take) {
        mux.poller.forget(source.token);
    }
    if let Some(sink) = t.sink.take() {
        mux.poller.forget(sink.token);
    }
    if let Some(link) = link {
        if let Some(session) = mux.sessions.get_mut(link.session) {
            session.waiting.retain(|&(stream, _)| stream != link.stream);
        }
    }
    settle(mux, task);
}

/// Stops a worker. One that writes is asked, so that it removes what is half written; the others are killed.
pub fn stop_worker(mux: &mut Mux, task: usize) {
    let Some(Kind::Worker(worker)) = mux.tasks.get_mut(task).map(|t| &mut t.kind) else { return };
    worker.cancelled = true;
    if worker.pid > 0 {
        let signal = match worker {
            Worker { mount: Some(_), .. } => libc::SIGUSR1,
            Worker { cleans_up: true, .. } => libc::SIGTERM,
            _ => libc::SIGKILL,
        };
        let _ = sys::kill(worker.pid, signal);
        // One that has just done its request, and waits for the next, sees the end of them.
        // SAFETY: plain call; a pipe is no socket, and needs none of this.
        unsafe { libc::shutdown(worker.status.raw(), libc::SHUT_WR) };
        worker.kill_at = worker.cleans_up.then(|| sys::now_ms() + CLEAN_UP_MS);
    }
}
