//! Opens terminals.

use crate::sys::{self, check, Fd, Res};
use crate::wire::messages::Size;

/// A new terminal: (master, slave).
pub fn open() -> Res<(Fd, Fd)> {
    // Where /dev holds no multiplexer of its own, the one of the mounted devpts is used.
    let master = sys::open(c"/dev/ptmx", libc::O_RDWR | libc::O_NOCTTY)
        .or_else(|_| sys::open(c"/dev/pts/ptmx", libc::O_RDWR | libc::O_NOCTTY))?;
    let unlock: libc::c_int = 0;
    // SAFETY: TIOCSPTLCK reads one int.
    check(unsafe { libc::ioctl(master.raw(), libc::TIOCSPTLCK as _, &unlock) })?;
    let flags = libc::O_RDWR | libc::O_NOCTTY | libc::O_CLOEXEC;
    // SAFETY: TIOCGPTPEER takes open(2)'s flags by value. It needs no path, so a guest cannot lead it astray.
    let slave = check(unsafe { libc::ioctl(master.raw(), libc::TIOCGPTPEER as _, flags) })?;
    Ok((master, Fd::own(slave)))
}

/// Sets a terminal's size.
pub fn resize(terminal: i32, size: Size) {
    let clamp = |value: u32| value.min(u32::from(u16::MAX)) as u16;
    let size = libc::winsize { ws_row: clamp(size.rows), ws_col: clamp(size.cols), ws_xpixel: 0, ws_ypixel: 0 };
    // SAFETY: TIOCSWINSZ reads one winsize. A terminal that has gone needs no size.
    unsafe { libc::ioctl(terminal, libc::TIOCSWINSZ as _, &size) };
}
