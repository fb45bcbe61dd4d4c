//! Signals arrive as events. All are blocked: a command's broken pipe or terminal must not end the agent.

use crate::sys::{self, check, Fd, Res};

const SIGNAL_INFO: usize = std::mem::size_of::<libc::signalfd_siginfo>();
/// Signals read at once.
const KINDS: usize = 8;

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

/// The signals that came, all at once.
pub fn pending(signals: &Fd) -> impl Iterator<Item = i32> {
    // Room for all kinds that are waited for: one read takes them all.
    let mut infos = [0u8; KINDS * SIGNAL_INFO];
    let n = sys::read(signals.raw(), &mut infos).unwrap_or(0);
    (0..n / SIGNAL_INFO).map(move |i| {
        let info = &infos[i * SIGNAL_INFO..];
        u32::from_ne_bytes([info[0], info[1], info[2], info[3]]) as i32
    })
}
