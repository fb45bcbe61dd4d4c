//! `file_read`: a file's bytes on channel 1.

use std::ffi::CStr;

use crate::errors::failure;
use crate::files::info::FileStat;
use crate::files::request::failed_at;
use crate::serve::worker::Channels;
use crate::sys::{self, check, Errno, Res};
use crate::wire::fields::put_field;
use crate::wire::messages::{Failure, FileRequest, Outcome};

/// What is asked for at once; a pipe's whole capacity.
const STEP: usize = 65_536;

pub fn read(request: &FileRequest, path: &CStr, channels: &Channels) -> Result<Outcome, Failure> {
    let fail = || failed_at("cannot read", request.path);
    let file = sys::open(path, libc::O_RDONLY | libc::O_NOCTTY).map_err(fail())?;
    let stat = FileStat::of_fd(file.raw()).map_err(fail())?;
    if stat.is_dir() {
        return Err(fail()(Errno(libc::EISDIR)));
    }
    if request.offset > 0 {
        let offset = request.offset.try_into().map_err(|_| fail()(Errno(libc::EINVAL)))?;
        // SAFETY: plain call.
        if unsafe { libc::lseek(file.raw(), offset, libc::SEEK_SET) } < 0 {
            return Err(fail()(Errno::last()));
        }
    }
    let mut opened = Vec::new();
    let mut info = Vec::new();
    stat.info(request.path, b"").encode(&mut info);
    put_field(&mut opened, 3, &info);
    channels.opened(&opened);
    let mut left = if request.length == 0 { u64::MAX } else { request.length };
    let mut mover = Mover::default();
    while left > 0 {
        let want = left.min(STEP as u64) as usize;
        match mover.step(file.raw(), channels.output(), want) {
            Ok(0) => break,
            Ok(n) => left -= n as u64,
            // The stream was reset.
            Err(Errno(libc::EPIPE)) => break,
            Err(errno) => return Err(failure(&[b"cannot read '", request.path, b"' to its end"].concat(), errno)),
        }
    }
    Ok(Outcome::default())
}

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
                    if crate::files::abort::aborted() {
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
