//! The end of killed commands: their answer comes when the kernel has said that nothing of what they started is left.

use crate::exec::process::Ending;
use crate::exec::{cgroup, kill};
use crate::streams::mux::Mux;
use crate::streams::session::Link;
use crate::streams::settle::settle;
use crate::streams::target::Target;
use crate::streams::task::{Kill, Kind, Task};
use crate::sys::poller::PRI;
use crate::sys::{self, Fd, Res};
use crate::wire::messages::{code, Failure, Outcome};

/// How long the answer waits for that, in ms. Thousands of processes take seconds to go, where every instruction is emulated; one
/// that waits for a disk or a FUSE that hangs does not go at all.
const WAIT_MS: u64 = 20_000;

/// Kills a command with all it started; its answer comes at its end.
pub fn kill_command(mux: &mut Mux, task: usize) {
    let Some(process) = mux.tasks.get_mut(task).and_then(|t| t.process_mut()) else { return };
    process.cancelled = true;
    let _ = kill::tree(process, libc::SIGKILL);
    if process.ending.is_some() {
        return;
    }
    let Some(lease) = &process.cgroup else { return };
    // Without events there is still the deadline.
    let token = mux.poller.add(&lease.group.events, PRI, Target::Group(task)).ok();
    process.ending = Some(Ending { token, until: sys::now_ms() + WAIT_MS });
}

/// Tells `link` when a command that was just killed, and all it started, has ended. Some: it has. `events`: its cgroup's.
pub fn await_end(mux: &mut Mux, link: Link, process: u32, events: Fd) -> Res<Option<Outcome>> {
    let token = mux.poller.add(&events, PRI, Target::Group(mux.tasks.next_index()))?;
    if cgroup::is_empty(&events) {
        mux.poller.remove(&events, token);
        return Ok(Some(Outcome { all_ended: true, ..Outcome::default() }));
    }
    let kill = Kill { process, events, token, until: sys::now_ms() + WAIT_MS };
    let task = mux.tasks.insert(Task { link: None, sink: None, sources: [None, None], kind: Kind::Kill(kill) });
    mux.connect(link, task);
    Ok(None)
}

/// What was killed has not ended in time: that is the answer.
pub fn give_up_kill(mux: &mut Mux, task: usize) {
    let failure = Failure::new(code::BUSY, "it was killed, and some of what it started has not ended");
    mux.answer_kill(task, &Outcome::failed(failure));
}

/// A killed command has not ended in time: that is the answer. It is still reaped, whenever it ends.
pub fn stop_waiting(mux: &mut Mux, task: usize) {
    let Some(t) = mux.tasks.get_mut(task) else { return };
    let link = t.link;
    let Some(process) = t.process_mut() else { return };
    process.stop_waiting(&mut mux.poller);
    mux.unlink(task);
    if let Some(link) = link {
        let failure = Failure::new(code::CANCELLED, "the command was killed, and has not ended");
        mux.sessions.answer(link, &Outcome::failed(failure));
    }
    settle(mux, task);
}
