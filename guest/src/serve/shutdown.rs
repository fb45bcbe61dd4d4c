//! The wanted end: TERM, KILL, sync, read-only, GOODBYE, restart. Each step has a deadline, and the loop goes on in
//! between, so that output still flows and nothing can hold the end up.

use crate::exec::init::Init;
use crate::exec::kill;
use crate::machine::disk::Disk;
use crate::machine::power;
use crate::machine::role::Role;
use crate::streams::flush::flush;
use crate::streams::mux::Mux;
use crate::streams::task::Kind;
use crate::sys::{self, check, console, Errno};
use crate::wire::fields::put_bytes;
use crate::wire::frame::kind;

pub const DEFAULT_GRACE_MS: u32 = 500;
/// The longest grace a host can ask for.
const MAX_GRACE_MS: u32 = 600_000;
/// Time for killed processes to go away; one that cannot die must not stop the machine.
const KILL_MS: u64 = 300;
/// Time for the disk. After it the file system's journal has to do.
const SYNC_MS: u64 = 10_000;
/// Time for hosts to take the last frames and close.
const GOODBYE_MS: u64 = 50;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Step {
    Term,
    Kill,
    /// a child syncs; its pid
    Sync(i32),
    Goodbye,
}

pub struct Shutdown {
    step: Step,
    deadline: u64,
    reason: &'static str,
}

/// How the end is asked for.
pub struct Ask {
    pub grace_ms: u32,
    /// what commands get instead of SIGTERM; 0: that
    pub signal: i32,
    pub reason: &'static str,
}

impl Shutdown {
    /// Starts the end.
    pub fn begin(mux: &Mux, role: Role, init: Option<&Init>, ask: Ask) -> Shutdown {
        let Ask { grace_ms, signal, reason } = ask;
        match init {
            None if signal == 0 => {
                signal_all(mux, role, libc::SIGTERM);
                // A stopped process cannot act on TERM.
                signal_all(mux, role, libc::SIGCONT);
            }
            None => ask_commands(mux, signal, None),
            Some(init) => {
                let _ = sys::kill(init.pid, if signal == 0 { init.halt_signal() } else { signal });
                ask_commands(mux, libc::SIGTERM, Some(init.pid));
            }
        }
        let deadline = sys::now_ms() + u64::from(grace_ms.min(MAX_GRACE_MS));
        Shutdown { step: Step::Term, deadline, reason }
    }

    /// When the step is over at the latest, in monotonic ms.
    pub fn next_ms(&self) -> u64 {
        self.deadline
    }

    /// Goes on with the end as far as it can.
    pub fn go_on(&mut self, mux: &mut Mux, role: Role, disk: &Disk) {
        loop {
            let alone = is_alone(mux, role);
            let now = sys::now_ms();
            let late = now >= self.deadline;
            match self.step {
                Step::Term if alone || late => {
                    self.enter(Step::Kill, now + KILL_MS);
                    signal_all(mux, role, libc::SIGKILL);
                }
                Step::Kill if alone || late => self.enter(Step::Sync(start_sync(role, disk)), now + SYNC_MS),
                Step::Sync(pid) if late || pid <= 0 || sys::kill(pid, 0).is_err() => {
                    self.enter(Step::Goodbye, now + GOODBYE_MS);
                    say_goodbye(mux, role, self.reason);
                }
                Step::Goodbye if late || mux.sessions.iter().all(|session| !session.active) => restart(role),
                _ => return,
            }
        }
    }

    fn enter(&mut self, step: Step, deadline: u64) {
        self.step = step;
        self.deadline = deadline;
    }
}

/// Ends everything at once (the agent itself is told to stop).
pub fn kill_everything(mux: &Mux, role: Role) {
    signal_all(mux, role, libc::SIGKILL);
}

/// A signal to every process but the agent; without a machine of its own, to those it started.
fn signal_all(mux: &Mux, role: Role, signal: i32) {
    if role == Role::Init {
        // No process at all is fine.
        let _ = sys::kill(-1, signal);
        return;
    }
    for (_, task) in mux.tasks.iter() {
        match &task.kind {
            Kind::Process(process) if process.exited.is_none() => {
                let _ = kill::tree(process, signal);
            }
            Kind::Worker(worker) if worker.pid > 0 => {
                let _ = sys::kill(worker.pid, signal);
            }
            _ => {}
        }
    }
}

/// Asks each command, but `init`, to end by a signal to its own process alone: what that means to those it has started it knows itself. What
/// commands have left behind, and file workers, are asked as ever.
fn ask_commands(mux: &Mux, signal: i32, init: Option<i32>) {
    for (_, task) in mux.tasks.iter() {
        match &task.kind {
            Kind::Process(process) if process.exited.is_none() && Some(process.pid) != init => {
                let _ = sys::kill(process.pid, signal);
                let _ = sys::kill(process.pid, libc::SIGCONT);
            }
            Kind::Worker(worker) if worker.pid > 0 => {
                let _ = sys::kill(worker.pid, libc::SIGTERM);
            }
            _ => {}
        }
    }
    for process in mux.leftovers.iter() {
        let _ = kill::tree(process, libc::SIGTERM);
        let _ = kill::tree(process, libc::SIGCONT);
    }
}

/// True when no process is left but the agent.
fn is_alone(mux: &Mux, role: Role) -> bool {
    if role == Role::Init {
        // Every process descends from PID 1: without children there is none. Nothing is reaped here.
        let flags = libc::WEXITED | libc::WNOHANG | libc::WNOWAIT;
        // SAFETY: plain out parameter.
        let left = unsafe {
            let mut info: libc::siginfo_t = std::mem::zeroed();
            check(libc::waitid(libc::P_ALL, 0, &mut info, flags))
        };
        return left == Err(Errno(libc::ECHILD));
    }
    !mux.tasks.iter().any(|(_, task)| match &task.kind {
        Kind::Process(process) => process.exited.is_none(),
        Kind::Worker(worker) => worker.pid > 0,
        Kind::Forward(_) | Kind::Kill(_) | Kind::Door(_) => false,
    })
}

/// A child writes everything to the disk and makes it read-only; a disk that hangs only hangs the child.
fn start_sync(role: Role, disk: &Disk) -> i32 {
    // SAFETY: one thread; the child only makes system calls.
    unsafe {
        let pid = libc::fork();
        if pid != 0 {
            return pid;
        }
        libc::sync();
        if role == Role::Init {
            disk.make_read_only();
        }
        libc::_exit(0)
    }
}

fn say_goodbye(mux: &mut Mux, role: Role, reason: &str) {
    if role == Role::Init {
        // For a host that had no session open: it tells a stop from a crash by this line.
        console::stage("goodbye");
        console::drain();
    }
    for index in mux.sessions.indices() {
        let Some(session) = mux.sessions.get_mut(index).filter(|session| session.active) else { continue };
        session.put_with(0, kind::GOODBYE, 0, |out| put_bytes(out, 1, reason.as_bytes()));
        flush(mux, index);
    }
}

fn restart(role: Role) -> ! {
    if role == Role::Init {
        power::restart();
    }
    // SAFETY: plain call.
    unsafe { libc::_exit(0) }
}
