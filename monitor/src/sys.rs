//! The few system calls that the standard library lacks.

use std::fs::{File, OpenOptions};
use std::os::fd::{FromRawFd, OwnedFd, RawFd};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

/// A new file of our user's alone, or an empty one in its place.
pub fn create(path: &Path) -> std::io::Result<File> {
    OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).custom_flags(libc::O_NOFOLLOW).open(path)
}

/// What tells a file from others, whatever it is called: its inode.
pub fn file_id(file: &File) -> Option<u64> {
    file.metadata().ok().map(|found| found.ino())
}

/// The calling thread's last error number.
pub fn errno() -> i32 {
    std::io::Error::last_os_error().raw_os_error().unwrap_or(0)
}

/// Turns a C return value into a result with the error number.
pub fn check(value: libc::c_int) -> Result<libc::c_int, i32> {
    if value < 0 {
        Err(errno())
    } else {
        Ok(value)
    }
}

/// A pipe: (read end, write end), both closed on exec.
pub fn pipe() -> Result<(OwnedFd, OwnedFd), i32> {
    let mut fds = [0; 2];
    // SAFETY: the array holds two descriptors, which become ours.
    unsafe {
        check(libc::pipe2(fds.as_mut_ptr(), libc::O_CLOEXEC))?;
        Ok((OwnedFd::from_raw_fd(fds[0]), OwnedFd::from_raw_fd(fds[1])))
    }
}

/// A pair of connected sockets, closed on exec. What is read from the first says which process wrote it.
pub fn credential_pair() -> Result<(OwnedFd, OwnedFd), i32> {
    let mut fds = [0; 2];
    let on: libc::c_int = 1;
    // SAFETY: the array holds two descriptors, which become ours; the option's value is a C int.
    unsafe {
        check(libc::socketpair(libc::AF_UNIX, libc::SOCK_STREAM | libc::SOCK_CLOEXEC, 0, fds.as_mut_ptr()))?;
        let pair = (OwnedFd::from_raw_fd(fds[0]), OwnedFd::from_raw_fd(fds[1]));
        let size = std::mem::size_of_val(&on) as libc::socklen_t;
        check(libc::setsockopt(fds[0], libc::SOL_SOCKET, libc::SO_PASSCRED, (&raw const on).cast(), size))?;
        Ok(pair)
    }
}

/// Waits for the first byte on such a socket: the pid, as we see it, of the process that wrote it (the kernel says so,
/// unix(7)). None: the other end was closed instead.
pub fn read_writer(fd: RawFd) -> Result<Option<i32>, i32> {
    let mut byte = 0u8;
    let mut part = libc::iovec { iov_base: (&raw mut byte).cast(), iov_len: 1 };
    let mut control = [0u64; 8];
    // SAFETY: all pointers are to locals that live as long as the call; the control buffer is aligned for a header.
    unsafe {
        let mut message: libc::msghdr = std::mem::zeroed();
        message.msg_iov = &raw mut part;
        message.msg_iovlen = 1;
        message.msg_control = control.as_mut_ptr().cast();
        message.msg_controllen = std::mem::size_of_val(&control) as _;
        loop {
            let n = libc::recvmsg(fd, &raw mut message, libc::MSG_CMSG_CLOEXEC);
            if n == 0 {
                return Ok(None);
            }
            if n > 0 {
                break;
            }
            match errno() {
                libc::EINTR => {}
                other => return Err(other),
            }
        }
        let header = libc::CMSG_FIRSTHDR(&raw const message);
        if header.is_null() || (*header).cmsg_type != libc::SCM_CREDENTIALS {
            return Ok(None);
        }
        let credentials: libc::ucred = std::ptr::read_unaligned(libc::CMSG_DATA(header).cast());
        Ok((credentials.pid > 0).then_some(credentials.pid))
    }
}

/// read(2), repeated when a signal interrupts it.
pub fn read(fd: RawFd, buf: &mut [u8]) -> Result<usize, i32> {
    loop {
        // SAFETY: the buffer is valid for its length.
        let n = unsafe { libc::read(fd, buf.as_mut_ptr().cast(), buf.len()) };
        if n >= 0 {
            return Ok(n as usize);
        }
        match errno() {
            libc::EINTR => {}
            other => return Err(other),
        }
    }
}

/// Reads of this descriptor no longer wait.
pub fn set_nonblocking(fd: RawFd) -> Result<(), i32> {
    // SAFETY: plain call.
    check(unsafe { libc::fcntl(fd, libc::F_SETFL, libc::O_NONBLOCK) }).map(|_| ())
}

/// How a child has ended (wait(2)), which is reaped then; None: it has not.
pub fn exit_status(process: i32) -> Option<i32> {
    let mut status = 0;
    // SAFETY: plain out parameter.
    match unsafe { libc::waitpid(process, &raw mut status, libc::WNOHANG) } {
        0 => None,
        pid if pid == process => Some(status),
        _ => Some(-1), // it is none of ours
    }
}

pub fn end_process(process: i32) {
    // SAFETY: our own child, which is not reaped yet.
    unsafe {
        libc::kill(process, libc::SIGKILL);
        libc::waitpid(process, std::ptr::null_mut(), 0);
    }
}

fn clock(id: libc::clockid_t) -> (u64, u64) {
    // SAFETY: plain out parameter.
    unsafe {
        let mut now: libc::timespec = std::mem::zeroed();
        libc::clock_gettime(id, &mut now);
        (now.tv_sec as u64, now.tv_nsec as u64)
    }
}

/// Nanoseconds of the raw monotonic clock.
#[cfg(target_arch = "x86_64")]
pub fn monotonic_raw_ns() -> u64 {
    let (s, ns) = clock(libc::CLOCK_MONOTONIC_RAW);
    s * 1_000_000_000 + ns
}

/// Milliseconds since 1970.
pub fn wall_ms() -> u64 {
    let (s, ns) = clock(libc::CLOCK_REALTIME);
    s * 1000 + ns / 1_000_000
}
