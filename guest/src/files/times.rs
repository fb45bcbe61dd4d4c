//! The protocol's times as the kernel's.

use crate::sys::{check, Res};

/// Sets access and modification time of an open file.
pub fn set_mtime(fd: i32, seconds: u64, nanoseconds: u32) -> Res<()> {
    let times = times(seconds, nanoseconds);
    // SAFETY: two valid times.
    check(unsafe { libc::futimens(fd, times.as_ptr()) }).map(|_| ())
}

/// The pair that utimensat(2) takes: now, and the given time.
pub fn times(seconds: u64, nanoseconds: u32) -> [libc::timespec; 2] {
    // SAFETY: plain data.
    let mut times: [libc::timespec; 2] = unsafe { std::mem::zeroed() };
    times[0].tv_nsec = libc::UTIME_NOW;
    times[1].tv_sec = seconds.min(i64::MAX as u64) as i64;
    times[1].tv_nsec = nanoseconds.min(999_999_999).into();
    times
}
