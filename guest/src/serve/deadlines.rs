//! What happens because time has passed: a file worker is forked ahead, commands that were left alone are watched, workers that were told to stop are
//! killed, commands that were killed are no longer waited for, sessions that nobody was seen at are looked at again.

use crate::serve::commands::watch;
use crate::serve::waiting::fork_ahead;
use crate::streams::ending::{give_up_kill, stop_waiting};
use crate::streams::mux::Mux;
use crate::streams::pressure;
use crate::streams::stop::end_session;
use crate::streams::suspension;
use crate::streams::task::Kind;
use crate::sys;

/// When the next thing is due, in monotonic ms.
pub fn next(mux: &Mux) -> Option<u64> {
    let checks = mux.sessions.iter().filter_map(|session| session.check_at);
    let tasks = mux.tasks.iter().filter_map(|(_, task)| match &task.kind {
        Kind::Process(process) => process.watch_at.into_iter().chain(process.ending.as_ref().map(|e| e.until)).min(),
        Kind::Worker(worker) => worker.kill_at,
        Kind::Kill(kill) => Some(kill.until),
        Kind::Forward(_) | Kind::Door(_) => None,
    });
    checks
        .chain(tasks)
        .chain(mux.fork_at.filter(|_| mux.is_quiet()))
        .chain(mux.pressure.look_at)
        .chain(mux.suspension.due())
        .chain(mux.keeping)
        .min()
}

/// Does what is due.
pub fn act(mux: &mut Mux) {
    if next(mux).is_none() {
        return;
    }
    let now = sys::now_ms();
    if mux.fork_at.is_some_and(|at| at <= now) && mux.is_quiet() {
        fork_ahead(mux);
    }
    if mux.pressure.look_at.is_some_and(|at| at <= now) {
        pressure::look(mux);
    }
    suspension::act(mux, now);
    for task in 0..mux.tasks.bound() {
        match mux.tasks.get_mut(task).map(|t| &mut t.kind) {
            Some(Kind::Process(process)) if process.watch_at.is_some_and(|at| at <= now) => watch(mux, task),
            Some(Kind::Worker(worker)) if worker.kill_at.is_some_and(|at| at <= now) => {
                worker.kill_at = None;
                let _ = sys::kill(worker.pid, libc::SIGKILL);
            }
            Some(Kind::Process(process)) if process.ending.as_ref().is_some_and(|ending| ending.until <= now) => {
                stop_waiting(mux, task);
            }
            Some(Kind::Kill(kill)) if kill.until <= now => give_up_kill(mux, task),
            _ => {}
        }
    }
    for index in mux.sessions.indices() {
        let Some(session) = mux.sessions.get_mut(index) else { continue };
        if session.check_at.is_some_and(|at| at <= now) {
            session.check_at = None;
            if sys::is_hung_up(&session.fd) {
                end_session(mux, index);
            } else {
                session.connected = true;
            }
        }
    }
}
