//! Files that are to take another's place.

use std::ffi::CString;

use crate::sys::text::decimal;
use crate::sys::{self, Errno, Fd, Res};

/// Modes of new files, before the umask.
pub const NEW_FILE: u32 = 0o666;

/// A new file with a name that nobody else uses: `directory` is a prefix that ends with a slash, or empty.
pub fn make_temporary(dir: i32, directory: &[u8]) -> Res<(Fd, CString)> {
    // SAFETY: plain call.
    let pid = unsafe { libc::getpid() } as u64;
    for attempt in 0..100u64 {
        let (_, ns) = sys::clock(libc::CLOCK_MONOTONIC);
        let unique = decimal(u64::from(ns) + attempt);
        let name = [directory, b".smolvm-", decimal(pid).as_bytes(), b"-", unique.as_bytes(), b".tmp"].concat();
        let name = CString::new(name).map_err(|_| Errno(libc::EINVAL))?;
        let flags = libc::O_WRONLY | libc::O_CREAT | libc::O_EXCL | libc::O_NOFOLLOW;
        match sys::openat(dir, &name, flags, NEW_FILE) {
            Err(Errno(libc::EEXIST)) => {}
            other => return other.map(|fd| (fd, name)),
        }
    }
    Err(Errno(libc::EEXIST))
}
