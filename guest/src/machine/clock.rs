//! The wall clock of a machine that did not run for a while: its host slept, or its VMM was stopped.

use crate::sys::{self, check, Errno, Res};

/// What the guest's clock may be behind without anybody caring: a message's way takes time, too.
const TOLERATED_MS: i64 = 500;

/// How far the host's wall clock is ahead of this machine's monotonic one, as far as it is known.
#[derive(Default)]
pub struct HostClock {
    ahead_ms: Option<i64>,
}

impl HostClock {
    /// The clock was set to what the host says.
    pub fn told(&mut self, host_ms: u64, monotonic_ms: u64) {
        self.ahead_ms = ahead(host_ms, monotonic_ms);
    }

    /// By how much the machine has fallen behind since, if it is worth a step. The host's word may be late, never early:
    /// what it shows at least is true, and that a clock is ahead it cannot show. Pure.
    pub fn behind(&mut self, host_ms: u64, monotonic_ms: u64) -> Option<i64> {
        let now = ahead(host_ms, monotonic_ms)?;
        let lost = now.checked_sub(self.ahead_ms?)?;
        if lost <= TOLERATED_MS {
            return None;
        }
        self.ahead_ms = Some(now);
        Some(lost)
    }

    /// Steps the wall clock by what was lost. What the guest's root has set it to stays as it is, but for that.
    pub fn follow(&mut self, host_ms: u64) {
        if host_ms == 0 {
            return;
        }
        if let Some(lost) = self.behind(host_ms, sys::now_ms()) {
            if let Err(error) = step(lost) {
                crate::sys::console::warn("cannot step the clock", error);
            }
        }
    }
}

fn ahead(host_ms: u64, monotonic_ms: u64) -> Option<i64> {
    i64::try_from(host_ms).ok()?.checked_sub(i64::try_from(monotonic_ms).ok()?)
}

fn step(ms: i64) -> Res<()> {
    // SAFETY: plain parameters.
    unsafe {
        let mut time: libc::timespec = std::mem::zeroed();
        check(libc::clock_gettime(libc::CLOCK_REALTIME, &mut time))?;
        let ns = time.tv_nsec + ms % 1000 * 1_000_000;
        let seconds = time.tv_sec.checked_add(ms / 1000 + ns / 1_000_000_000).ok_or(Errno(libc::EINVAL))?;
        time.tv_sec = seconds;
        time.tv_nsec = ns % 1_000_000_000;
        check(libc::clock_settime(libc::CLOCK_REALTIME, &time)).map(|_| ())
    }
}
