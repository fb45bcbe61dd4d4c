//! What the agent's children tell: that exec worked, how a file request went, that they have ended.

use crate::serve::{commands, forward, worker};
use crate::streams::mux::Mux;
use crate::streams::task::Kind;
use crate::sys::{check, Errno};

/// Children reaped before others get a turn.
pub const REAP_PER_TURN: usize = 256;

/// A task's status pipe has something.
pub fn on_status(mux: &mut Mux, task: usize) {
    match mux.tasks.get(task).map(|t| &t.kind) {
        Some(Kind::Process(_)) => commands::on_exec_status(mux, task),
        Some(Kind::Worker(_)) => {
            let found = worker::on_status(mux, task);
            connect_to(mux, task, found);
        }
        _ => {}
    }
}

/// Goes on with a connection whose addresses were found.
fn connect_to(mux: &mut Mux, task: usize, found: Option<Vec<u8>>) {
    if let Some(found) = found {
        forward::on_looked_up(mux, task, &found);
    }
}

/// Collects children that have ended, `most` at once: ours, and orphans of the whole machine. True if there may be more.
pub fn reap(mux: &mut Mux, most: usize) -> bool {
    for _ in 0..most {
        let mut status = 0;
        // SAFETY: plain out parameter.
        match check(unsafe { libc::waitpid(-1, &mut status, libc::WNOHANG) }) {
            Ok(0) => return false,
            Ok(pid) => on_child(mux, pid, status),
            Err(Errno(libc::EINTR)) => {}
            Err(_) => return false,
        }
    }
    true
}

fn on_child(mux: &mut Mux, pid: i32, status: i32) {
    mux.init_ended |= mux.init == Some(pid);
    let found = mux.tasks.iter().find(|(_, task)| match &task.kind {
        Kind::Process(process) => process.pid == pid && process.exited.is_none(),
        Kind::Worker(worker) => worker.pid == pid,
        Kind::Forward(_) | Kind::Kill(_) | Kind::Door(_) => false,
    });
    let Some((index, task)) = found else {
        mux.dismiss_waiting(Some(pid));
        return;
    };
    if matches!(task.kind, Kind::Worker(_)) {
        let found = worker::on_exit(mux, index);
        return connect_to(mux, index, found);
    }
    if libc::WIFSIGNALED(status) {
        commands::on_exit(mux, index, 0, libc::WTERMSIG(status) as u32);
    } else {
        commands::on_exit(mux, index, libc::WEXITSTATUS(status) as u32, 0);
    }
}
