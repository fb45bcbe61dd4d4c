//! The image's own init: the first process of a pid namespace within the machine, in which commands start, too.

use std::ffi::{CStr, CString};

use crate::sys::text::decimal;
use crate::sys::{self, check, Fd, Res};

/// Where images have an init, as far as anybody looks.
pub const PLACES: [&CStr; 5] =
    [c"/sbin/init", c"/usr/sbin/init", c"/lib/systemd/systemd", c"/usr/lib/systemd/systemd", c"/bin/init"];

/// What tells systemd to halt (systemd(1), SIGRTMIN+3); SIGTERM would have it start itself anew.
const HALT_SYSTEMD: i32 = 37;

/// An init that runs.
pub struct Init {
    /// its number among the commands
    pub process: u32,
    pub pid: i32,
    pidfd: Fd,
    /// the agent's own pid namespace, to come back to
    own: Fd,
}

impl Init {
    /// Of a process that was just started.
    pub fn of(process: u32, pid: i32) -> Res<Init> {
        let own = sys::open(c"/proc/self/ns/pid", libc::O_RDONLY)?;
        // SAFETY: plain call; the descriptor is closed on exec by itself.
        let pidfd = check(unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) } as libc::c_int)?;
        Ok(Init { process, pid, pidfd: Fd::own(pidfd), own })
    }

    /// For the child of a start, which has to enter the rest.
    pub fn pidfd(&self) -> i32 {
        self.pidfd.raw()
    }

    /// What is forked from now on is in its pid namespace, until [`Init::leave`].
    pub fn enter(&self) -> Res<()> {
        // SAFETY: plain call.
        check(unsafe { libc::setns(self.pidfd.raw(), libc::CLONE_NEWPID) }).map(|_| ())
    }

    pub fn leave(&self) -> Res<()> {
        // SAFETY: plain call.
        check(unsafe { libc::setns(self.own.raw(), libc::CLONE_NEWPID) }).map(|_| ())
    }

    /// What asks it to end everything.
    pub fn halt_signal(&self) -> i32 {
        let path = [b"/proc/", decimal(self.pid as u64).as_bytes(), b"/comm"].concat();
        let name = CString::new(path).ok().and_then(|path| sys::read_file(&path, 32).ok()).unwrap_or_default();
        if name.trim_ascii() == b"systemd" {
            HALT_SYSTEMD
        } else {
            libc::SIGTERM
        }
    }
}

/// The machine's console is the agent's: an init that finds one would reset it, and ask there who logs in. Without one it does as in any container.
pub fn hide_console() {
    // SAFETY: a constant path; the agent has it open.
    unsafe { libc::unlink(c"/dev/console".as_ptr()) };
}
