//! Bytes from one descriptor to another.

use crate::files::abort::aborted;
use crate::sys::{self, Errno, Res};

/// Moves bytes from one descriptor to another, by splice(2) where both can.
#[derive(Default)]
pub struct Mover {
    plain: bool,
    buf: Vec<u8>,
}

impl Mover {
    /// Moves at most `max` bytes; 0 at the end.
    pub fn step(&mut self, from: i32, to: i32, max: usize) -> Res<usize> {
        while !self.plain {
            let none = std::ptr::null_mut();
            // SAFETY: no offsets are passed.
            let n = unsafe { libc::splice(from, none, to, none, max, libc::SPLICE_F_MOVE) };
            if n >= 0 {
                return Ok(n as usize);
            }
            match Errno::last() {
                Errno(libc::EINTR) => {
                    if aborted() {
                        return Ok(0);
                    }
                }
                // One of the two cannot: /proc, terminals, files opened for appending.
                Errno(libc::EINVAL | libc::ENOSYS | libc::EBADF) => self.plain = true,
                error => return Err(error),
            }
        }
        self.buf.clear();
        let n = sys::read_append(from, &mut self.buf, max)?;
        sys::write_all(to, &self.buf)?;
        Ok(n)
    }
}
