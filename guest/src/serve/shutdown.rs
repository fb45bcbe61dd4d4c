//! The wanted end: TERM, KILL, sync, read-only, GOODBYE, restart. Each step has a deadline, and the loop goes on in
//! between, so that output still flows and nothing can hold the end up.

use crate::machine::role::Role;
use crate::serve::agent::Agent;
use crate::streams::task::Kind;
use crate::sys::{self, check, Errno};
use crate::wire::fields::put_bytes;
use crate::wire::frame::kind;
use crate::wire::messages::Failure;

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

impl Shutdown {
    /// When the step is over at the latest, in monotonic ms.
    pub fn next_ms(&self) -> u64 {
        self.deadline
    }
}

impl Agent {
    /// Starts the end. A second request changes nothing.
    pub fn begin_shutdown(&mut self, grace_ms: u32, reason: &'static str) -> Result<(), Failure> {
        if self.shutdown.is_none() {
            self.signal_all(libc::SIGTERM);
            // A stopped process cannot act on TERM.
            self.signal_all(libc::SIGCONT);
            let deadline = sys::now_ms() + u64::from(grace_ms.min(MAX_GRACE_MS));
            self.shutdown = Some(Shutdown { step: Step::Term, deadline, reason });
        }
        Ok(())
    }

    /// A signal to every process but the agent; without a machine of its own, to those it started.
    fn signal_all(&self, signal: i32) {
        if self.role == Role::Init {
            // No process at all is fine.
            let _ = sys::kill(-1, signal);
            return;
        }
        for (_, task) in self.tasks.iter() {
            match &task.kind {
                Kind::Process(process) if process.exited.is_none() => {
                    let _ = crate::exec::kill::tree(process, signal);
                }
                Kind::Worker(worker) if worker.pid > 0 => {
                    let _ = sys::kill(worker.pid, signal);
                }
                _ => {}
            }
        }
    }

    /// Ends everything at once (the agent itself is told to stop).
    pub fn kill_everything(&self) {
        self.signal_all(libc::SIGKILL);
    }

    /// True when no process is left but the agent.
    fn is_alone(&self) -> bool {
        if self.role == Role::Init {
            // Every process descends from PID 1: without children there is none. Nothing is reaped here.
            let flags = libc::WEXITED | libc::WNOHANG | libc::WNOWAIT;
            // SAFETY: plain out parameter.
            let left = unsafe {
                let mut info: libc::siginfo_t = std::mem::zeroed();
                check(libc::waitid(libc::P_ALL, 0, &mut info, flags))
            };
            return left == Err(Errno(libc::ECHILD));
        }
        !self.tasks.iter().any(|(_, task)| match &task.kind {
            Kind::Process(process) => process.exited.is_none(),
            Kind::Worker(worker) => worker.pid > 0,
            Kind::Forward(_) => false,
        })
    }

    /// Goes on with the end as far as it can.
    pub fn on_shutdown_step(&mut self) {
        loop {
            let alone = self.is_alone();
            let Some(shutdown) = &mut self.shutdown else { return };
            let now = sys::now_ms();
            let late = now >= shutdown.deadline;
            match shutdown.step {
                Step::Term if alone || late => {
                    shutdown.step = Step::Kill;
                    shutdown.deadline = now + KILL_MS;
                    self.signal_all(libc::SIGKILL);
                }
                Step::Kill if alone || late => {
                    let pid = self.start_sync();
                    self.shutdown =
                        self.shutdown.take().map(|s| Shutdown { step: Step::Sync(pid), deadline: now + SYNC_MS, ..s });
                }
                Step::Sync(pid) if late || pid <= 0 || sys::kill(pid, 0).is_err() => {
                    shutdown.step = Step::Goodbye;
                    shutdown.deadline = now + GOODBYE_MS;
                    self.say_goodbye();
                }
                Step::Goodbye if late || self.sessions.iter().all(|(_, session)| !session.active) => {
                    self.restart();
                }
                _ => return,
            }
        }
    }

    /// A child writes everything to the disk and makes it read-only; a disk that hangs only hangs the child.
    fn start_sync(&self) -> i32 {
        // SAFETY: one thread; the child only makes system calls.
        unsafe {
            let pid = libc::fork();
            if pid != 0 {
                return pid;
            }
            libc::sync();
            if self.role == Role::Init {
                self.disk.make_read_only();
            }
            libc::_exit(0)
        }
    }

    fn say_goodbye(&mut self) {
        let Some(reason) = self.shutdown.as_ref().map(|s| s.reason) else { return };
        if self.role == Role::Init {
            // For a host that had no session open: it tells a stop from a crash by this line.
            crate::sys::console::stage("goodbye");
            crate::sys::console::drain();
        }
        for index in 0..self.sessions.bound() {
            let Some(session) = self.sessions.get_mut(index).filter(|session| session.active) else { continue };
            session.put_with(0, kind::GOODBYE, 0, |out| put_bytes(out, 1, reason.as_bytes()));
            self.flush(index);
        }
    }

    fn restart(&self) -> ! {
        if self.role == Role::Init {
            crate::machine::power::restart();
        }
        // SAFETY: plain call.
        unsafe { libc::_exit(0) }
    }
}
