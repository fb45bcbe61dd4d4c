//! Thin wrappers over system calls: owned descriptors, `Errno` instead of -1.

pub mod files;
pub mod log;
pub mod sockets;

use std::mem::MaybeUninit;

/// A Linux error number.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Errno(pub i32);

pub type Res<T> = Result<T, Errno>;

impl Errno {
    pub fn last() -> Errno {
        // SAFETY: errno is thread-local and always valid.
        Errno(unsafe { *libc::__errno_location() })
    }
    /// The descriptor is non-blocking and has nothing to give or no room to take.
    pub fn would_block(self) -> bool {
        self.0 == libc::EAGAIN
    }
}

impl std::fmt::Display for Errno {
    fn fmt(&self, out: &mut std::fmt::Formatter) -> std::fmt::Result {
        std::io::Error::from_raw_os_error(self.0).fmt(out)
    }
}

/// Turns a C return value into a result.
pub fn check(value: libc::c_int) -> Res<libc::c_int> {
    if value < 0 {
        Err(Errno::last())
    } else {
        Ok(value)
    }
}

/// The same for counts of bytes.
pub fn check_size(value: isize) -> Res<usize> {
    if value < 0 {
        Err(Errno::last())
    } else {
        Ok(value as usize)
    }
}

/// The same for the results of syscall(2).
pub fn check_long(value: libc::c_long) -> Res<usize> {
    if value < 0 {
        Err(Errno::last())
    } else {
        Ok(value as usize)
    }
}

/// A file descriptor that is closed when dropped.
#[derive(Debug, PartialEq, Eq)]
pub struct Fd(i32);

impl Fd {
    /// Takes ownership of `fd`.
    pub fn own(fd: i32) -> Fd {
        Fd(fd)
    }
    pub fn raw(&self) -> i32 {
        self.0
    }
}

impl Drop for Fd {
    fn drop(&mut self) {
        // SAFETY: we own the descriptor.
        unsafe { libc::close(self.0) };
    }
}

/// Appends what one call that fills memory gives to `buf`, at most `max` bytes, without zeroing them first.
pub fn append(buf: &mut Vec<u8>, max: usize, fill: impl Fn(*mut libc::c_void, usize) -> isize) -> Res<usize> {
    buf.reserve(max);
    let spare: &mut [MaybeUninit<u8>] = &mut buf.spare_capacity_mut()[..max];
    loop {
        match check_size(fill(spare.as_mut_ptr().cast(), max)) {
            Err(Errno(libc::EINTR)) => continue,
            Err(error) => return Err(error),
            Ok(n) => {
                let n = n.min(max);
                // SAFETY: the call has just written n bytes there.
                unsafe { buf.set_len(buf.len() + n) };
                return Ok(n);
            }
        }
    }
}

/// write(2); interrupted calls are repeated.
pub fn write(fd: i32, buf: &[u8]) -> Res<usize> {
    loop {
        // SAFETY: the buffer is valid for its length.
        match check_size(unsafe { libc::write(fd, buf.as_ptr().cast(), buf.len()) }) {
            Err(Errno(libc::EINTR)) => continue,
            other => return other,
        }
    }
}

/// Milliseconds of a clock that only rises.
pub fn now_ms() -> u64 {
    // SAFETY: plain out parameter.
    unsafe {
        let mut now: libc::timespec = std::mem::zeroed();
        libc::clock_gettime(libc::CLOCK_MONOTONIC, &mut now);
        now.tv_sec as u64 * 1000 + now.tv_nsec as u64 / 1_000_000
    }
}

/// The wall clock, by which files have their times, in whole seconds.
pub fn now_s() -> i64 {
    // SAFETY: plain out parameter.
    unsafe {
        let mut now: libc::timespec = std::mem::zeroed();
        libc::clock_gettime(libc::CLOCK_REALTIME, &mut now);
        now.tv_sec
    }
}

/// Bytes that nobody can guess.
pub fn random<const N: usize>() -> Res<[u8; N]> {
    let mut bytes = [0; N];
    // SAFETY: the array holds N bytes; as few as that come in one piece.
    check_size(unsafe { libc::getrandom(bytes.as_mut_ptr().cast(), N, 0) })?;
    Ok(bytes)
}

/// One descriptor to wait for.
pub fn waiting(fd: i32, write: bool) -> libc::pollfd {
    libc::pollfd { fd, events: libc::POLLIN | if write { libc::POLLOUT } else { 0 }, revents: 0 }
}

/// Waits until one of them is ready, at most `timeout_ms` (-1: for ever).
pub fn poll(fds: &mut [libc::pollfd], timeout_ms: i32) -> Res<()> {
    // SAFETY: as many entries as said.
    match check(unsafe { libc::poll(fds.as_mut_ptr(), fds.len() as libc::nfds_t, timeout_ms) }) {
        Ok(_) | Err(Errno(libc::EINTR)) => Ok(()),
        Err(error) => Err(error),
    }
}
