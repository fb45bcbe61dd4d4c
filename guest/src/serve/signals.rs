//! Signals arrive as events. All are blocked: a command's broken pipe or terminal must not end the agent.

use crate::machine::role::Role;
use crate::serve::agent::Agent;
use crate::streams::task::Kind;
use crate::sys::{self, check, Errno, Fd, Res};

const SIGNAL_INFO: usize = std::mem::size_of::<libc::signalfd_siginfo>();
/// Children reaped before others get a turn.
const REAP_PER_TURN: usize = 256;

/// Blocks every signal and returns the descriptor that reads those the agent acts on.
pub fn block_all() -> Res<Fd> {
    // SAFETY: sets are initialised by sigfillset and sigemptyset.
    unsafe {
        let mut all: libc::sigset_t = std::mem::zeroed();
        libc::sigfillset(&mut all);
        check(libc::sigprocmask(libc::SIG_SETMASK, &all, std::ptr::null_mut()))?;
        let mut wanted: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&mut wanted);
        for signal in [libc::SIGCHLD, libc::SIGTERM, libc::SIGINT, libc::SIGUSR1, libc::SIGUSR2, libc::SIGPWR] {
            libc::sigaddset(&mut wanted, signal);
        }
        check(libc::signalfd(-1, &wanted, libc::SFD_CLOEXEC | libc::SFD_NONBLOCK)).map(Fd::own)
    }
}

/// Commands inherit which signals are ignored: as an ordinary process the agent starts from the defaults.
pub fn reset_dispositions() {
    for signal in 1..=libc::SIGRTMAX() {
        // SAFETY: plain call; those that cannot be changed say so.
        unsafe { libc::signal(signal, libc::SIG_DFL) };
    }
}

impl Agent {
    pub fn on_signals(&mut self) {
        // Room for all kinds that are waited for: one read takes them all.
        let mut infos = [0u8; 8 * SIGNAL_INFO];
        let n = sys::read(self.signals.raw(), &mut infos).unwrap_or(0);
        for info in infos[..n].chunks_exact(SIGNAL_INFO) {
            let signal = u32::from_ne_bytes([info[0], info[1], info[2], info[3]]) as i32;
            match (signal, self.role) {
                (libc::SIGCHLD, _) => {}
                // Ctrl-Alt-Del (SIGINT from the kernel) and what small init systems' halt commands send.
                (_, Role::Init) => {
                    let _ = self.begin_shutdown(crate::serve::shutdown::DEFAULT_GRACE_MS, "reboot");
                }
                (libc::SIGTERM | libc::SIGINT, Role::Guest) => {
                    self.kill_everything();
                    // SAFETY: plain call.
                    unsafe { libc::_exit(0) };
                }
                _ => {}
            }
        }
        self.reap();
    }

    /// Collects children that have ended: ours, and orphans of the whole machine.
    pub fn reap(&mut self) {
        for _ in 0..REAP_PER_TURN {
            let mut status = 0;
            // SAFETY: plain out parameter.
            match check(unsafe { libc::waitpid(-1, &mut status, libc::WNOHANG) }) {
                Ok(0) => return,
                Ok(pid) => self.on_child(pid, status),
                Err(Errno(libc::EINTR)) => {}
                Err(_) => return,
            }
        }
        self.reap_again = true;
    }

    fn on_child(&mut self, pid: i32, status: i32) {
        let found = self.tasks.iter().find(|(_, task)| match &task.kind {
            Kind::Process(process) => process.pid == pid && process.exited.is_none(),
            Kind::Worker(worker) => worker.pid == pid,
            Kind::Forward(_) => false,
        });
        let Some((index, task)) = found else { return };
        if matches!(task.kind, Kind::Worker(_)) {
            return self.on_worker_exit(index);
        }
        if libc::WIFSIGNALED(status) {
            self.on_exit(index, 0, libc::WTERMSIG(status) as u32);
        } else {
            self.on_exit(index, libc::WEXITSTATUS(status) as u32, 0);
        }
    }
}
