//! One file's bytes into another, by the kernel where it can: shared (reflink), else copied without coming here; holes stay holes.

use crate::files::abort::aborted;
use crate::files::info::FileStat;
use crate::sys::{self, check, Errno, Fd, Res};

/// FICLONE, linux/fs.h
const CLONE: u32 = 0x4004_9409;
/// Most at once: a request that is cancelled is noticed in between.
const STEP: usize = 16 << 20;
/// Most at once where the bytes come here.
const PLAIN_STEP: usize = 65_536;

/// Copies all of `from` to `to`, which is empty. Returns its size; ends early when the request was cancelled.
pub fn copy_data(from: &Fd, to: &Fd) -> Res<u64> {
    // SAFETY: plain call on two descriptors.
    if unsafe { libc::ioctl(to.raw(), CLONE as _, from.raw()) } == 0 {
        return Ok(FileStat::of_fd(to.raw())?.size());
    }
    let size = FileStat::of_fd(from.raw())?.size();
    let mut copier = Copier { from: from.raw(), to: to.raw(), at: 0, plain: size == 0 };
    // The kernel's own files have content and no size.
    while let Some(end) = copier.next_stretch()? {
        if !copier.copy_to(end)? {
            break;
        }
    }
    let size = size.max(copier.at);
    // SAFETY: plain call. What the file ends in may be a hole.
    check(unsafe { libc::ftruncate(to.raw(), size as i64) })?;
    Ok(size)
}

struct Copier {
    from: i32,
    to: i32,
    /// how far it is
    at: u64,
    /// the kernel does not copy between these two
    plain: bool,
}

impl Copier {
    /// Goes to the next bytes that are no hole; where they end, or none if there are no more.
    fn next_stretch(&mut self) -> Res<Option<u64>> {
        let seek = |whence| {
            // SAFETY: plain call.
            let at = unsafe { libc::lseek(self.from, self.at as i64, whence) };
            if at < 0 {
                Err(Errno::last())
            } else {
                Ok(at as u64)
            }
        };
        match seek(libc::SEEK_DATA) {
            Ok(at) => self.at = at,
            Err(Errno(libc::ENXIO)) if self.at > 0 || !self.plain => return Ok(None),
            // A file system that does not know, or a file without a size.
            Err(_) => return Ok(Some(u64::MAX)),
        }
        // SAFETY: plain call.
        let end = unsafe { libc::lseek(self.from, self.at as i64, libc::SEEK_HOLE) };
        Ok(Some(if end < 0 { u64::MAX } else { end as u64 }))
    }

    /// Copies up to there. False: the file has ended, or the request was cancelled.
    fn copy_to(&mut self, end: u64) -> Res<bool> {
        while self.at < end {
            if aborted() {
                return Ok(false);
            }
            let want = (end - self.at).min(STEP as u64) as usize;
            let n = if self.plain { self.step_here(want)? } else { self.step(want)? };
            match n {
                Some(0) => return Ok(false),
                Some(n) => self.at += n,
                None => self.plain = true,
            }
        }
        Ok(true)
    }

    /// Has the kernel copy; none if it does not.
    fn step(&self, want: usize) -> Res<Option<u64>> {
        let (mut read, mut write) = (self.at as i64, self.at as i64);
        // SAFETY: the offsets are plain values.
        let n = unsafe { libc::syscall(libc::SYS_copy_file_range, self.from, &mut read, self.to, &mut write, want, 0) };
        if n >= 0 {
            return Ok(Some(n as u64));
        }
        match Errno::last() {
            Errno(libc::EINTR) => Ok(Some(self.step_here(want)?.unwrap_or(0))),
            Errno(libc::EXDEV | libc::EINVAL | libc::ENOSYS | libc::EOPNOTSUPP | libc::EBADF | libc::EPERM) => Ok(None),
            error => Err(error),
        }
    }

    fn step_here(&self, want: usize) -> Res<Option<u64>> {
        let mut buf = Vec::with_capacity(PLAIN_STEP);
        let at = self.at as i64;
        // SAFETY: plain calls.
        for fd in [self.from, self.to] {
            if unsafe { libc::lseek(fd, at, libc::SEEK_SET) } < 0 {
                return Err(Errno::last());
            }
        }
        let n = sys::read_append(self.from, &mut buf, want.min(PLAIN_STEP))?;
        sys::write_all(self.to, &buf)?;
        Ok(Some(n as u64))
    }
}
