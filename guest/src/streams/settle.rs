//! How a task ends: RESULT to its stream, and it is forgotten.

use crate::exec::cgroup;
use crate::streams::mux::Mux;
use crate::streams::task::Kind;
use crate::wire::messages::{code, Failure, Outcome};

/// Finished detached processes whose output is kept.
const KEEP_FINISHED: usize = 64;

/// Sends the RESULT of a task that is over, and forgets what is no longer needed.
pub fn settle(mux: &mut Mux, task: usize) {
    let Some(t) = mux.tasks.get_mut(task) else { return };
    if t.sources.iter().any(Option::is_some) {
        return;
    }
    match &mut t.kind {
        Kind::Process(_) => settle_process(mux, task),
        Kind::Worker(_) => settle_worker(mux, task),
        Kind::Forward(_) => settle_forward(mux, task),
        Kind::Kill(_) => settle_kill(mux, task),
        Kind::Door(_) => {} // until the host resets it
    }
}

fn settle_process(mux: &mut Mux, task: usize) {
    let Some(t) = mux.tasks.get_mut(task) else { return };
    let link = t.link;
    let Some(p) = t.process_mut() else { return };
    if p.starting.is_some() {
        return;
    }
    let Some((exit_code, signal)) = p.exited else { return };
    let all_ended = p.cancelled && p.all_ended();
    if p.ending.is_some() && !all_ended {
        return; // until its cgroup is empty, or the wait is over
    }
    if let Some(ring) = &p.ring {
        if let (Some(link), true) = (link, p.cursor >= ring.end()) {
            let outcome = Outcome { exit_code, signal, dropped: p.dropped, ..Outcome::default() };
            mux.unlink(task);
            mux.sessions.answer(link, &outcome);
        }
        finish_detached(mux, task);
        return;
    }
    let error = p.cancelled.then(|| Failure::new(code::CANCELLED, "the command was cancelled"));
    let outcome = Outcome { error, exit_code, signal, all_ended, ..Outcome::default() };
    mux.remove_later(task);
    if let Some(link) = link {
        mux.sessions.answer(link, &outcome);
    }
}

/// A detached process has ended and its ring is complete: its descriptors go, the ring stays for a while.
fn finish_detached(mux: &mut Mux, task: usize) {
    if mux.finished.contains(&task) {
        return;
    }
    let Some(process) = mux.tasks.get_mut(task).and_then(|t| t.process_mut()) else { return };
    if process.all_ended() {
        if let Some(group) = process.cgroup.take() {
            let id = process.id;
            mux.give_back(id, group);
        }
    }
    mux.finished.push_back(task);
    if mux.finished.len() > KEEP_FINISHED {
        // The oldest that nobody reads right now.
        let oldest = mux.finished.iter().position(|&i| mux.tasks.get(i).is_none_or(|t| t.link.is_none()));
        if let Some(gone) = oldest.and_then(|at| mux.finished.remove(at)) {
            mux.remove(gone);
        }
    }
}

/// RESULT, once the worker has reported and its output has been sent.
fn settle_worker(mux: &mut Mux, task: usize) {
    let Some(t) = mux.tasks.get_mut(task) else { return };
    let link = t.link;
    let Kind::Worker(worker) = &mut t.kind else { return };
    if worker.cancelled && worker.pid > 0 {
        return; // until it has been reaped: then nothing of it acts any more
    }
    let Some(result) = worker.result.take() else { return };
    let cancelled = worker.cancelled;
    mux.remove(task);
    let Some(link) = link else { return };
    if cancelled {
        return mux.sessions.answer(link, &Outcome::cancelled());
    }
    mux.sessions.answer_encoded(link, &result);
}

/// RESULT, when the kernel says that nothing is left.
fn settle_kill(mux: &mut Mux, task: usize) {
    let Some(Kind::Kill(kill)) = mux.tasks.get_mut(task).map(|t| &t.kind) else { return };
    if cgroup::is_empty(&kill.events) {
        mux.answer_kill(task, &Outcome { all_ended: true, ..Outcome::default() });
    }
}

/// RESULT, when both directions are over, or the server has reset the connection.
fn settle_forward(mux: &mut Mux, task: usize) {
    let Some(t) = mux.tasks.get_mut(task) else { return };
    let link = t.link;
    let Kind::Forward(forward) = &mut t.kind else { return };
    if forward.connecting || !(forward.input_over || forward.reset) {
        return;
    }
    let error = forward.reset.then(|| Failure::new(code::RESET, ""));
    mux.unlink(task);
    mux.remove(task);
    if let Some(link) = link {
        mux.sessions.answer(link, &Outcome { error, ..Outcome::default() });
    }
}
