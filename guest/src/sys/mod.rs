//! Thin wrappers over the system calls the agent uses: owned descriptors, `Errno` instead of -1.

pub mod bpf;
pub mod console;
pub mod heap;
pub mod netlink;
pub mod poller;
pub mod text;

use std::ffi::{CStr, CString};
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
    /// strerror(3), as text.
    pub fn text(self) -> &'static str {
        // SAFETY: musl and glibc return a static string for known and unknown numbers (single-threaded use).
        let text = unsafe { CStr::from_ptr(libc::strerror(self.0)) };
        text.to_str().unwrap_or("unknown error")
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

fn check_size(value: isize) -> Res<usize> {
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
    /// Gives the descriptor away without closing it.
    pub fn into_raw(self) -> i32 {
        let fd = self.0;
        std::mem::forget(self);
        fd
    }
}

impl Drop for Fd {
    fn drop(&mut self) {
        // SAFETY: we own the descriptor.
        unsafe { libc::close(self.0) };
    }
}

/// open(2) with O_CLOEXEC.
pub fn open(path: &CStr, flags: i32) -> Res<Fd> {
    open_mode(path, flags, 0)
}

/// open(2) with O_CLOEXEC and a mode for new files.
pub fn open_mode(path: &CStr, flags: i32, mode: u32) -> Res<Fd> {
    // SAFETY: the path is NUL-terminated.
    check(unsafe { libc::open(path.as_ptr(), flags | libc::O_CLOEXEC, mode) }).map(Fd)
}

/// openat(2) with O_CLOEXEC.
pub fn openat(dir: i32, path: &CStr, flags: i32, mode: u32) -> Res<Fd> {
    // SAFETY: the path is NUL-terminated.
    check(unsafe { libc::openat(dir, path.as_ptr(), flags | libc::O_CLOEXEC, mode) }).map(Fd)
}

/// The calling process's nice value.
pub fn nice() -> i32 {
    // SAFETY: plain call. That it may be -1 is no failure: it cannot fail for the process itself.
    unsafe { libc::getpriority(libc::PRIO_PROCESS, 0) }
}

pub fn set_nice(nice: i32) {
    // SAFETY: plain call; who may not is as it was.
    unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, nice) };
}

/// read(2); interrupted calls are repeated.
pub fn read(fd: i32, buf: &mut [u8]) -> Res<usize> {
    loop {
        // SAFETY: the buffer is valid for its length.
        match check_size(unsafe { libc::read(fd, buf.as_mut_ptr().cast(), buf.len()) }) {
            Err(Errno(libc::EINTR)) => continue,
            other => return other,
        }
    }
}

/// Appends what one read(2) of at most `max` bytes gives to `buf`, without zeroing memory first.
pub fn read_append(fd: i32, buf: &mut Vec<u8>, max: usize) -> Res<usize> {
    buf.reserve(max);
    let spare: &mut [MaybeUninit<u8>] = &mut buf.spare_capacity_mut()[..max];
    loop {
        // SAFETY: the spare capacity is valid for writes of its length.
        match check_size(unsafe { libc::read(fd, spare.as_mut_ptr().cast(), max) }) {
            Err(Errno(libc::EINTR)) => continue,
            Err(error) => return Err(error),
            Ok(n) => {
                // SAFETY: the kernel has just written n bytes there.
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

/// Writes everything to a blocking descriptor.
pub fn write_all(fd: i32, mut buf: &[u8]) -> Res<()> {
    while !buf.is_empty() {
        match write(fd, buf)? {
            0 => return Err(Errno(libc::EIO)),
            n => buf = &buf[n..],
        }
    }
    Ok(())
}

/// Reads a small file whole, at most `limit` bytes of it. What an image, or root of the guest, has put in its place (a pipe, a terminal) is not
/// waited for: nobody else would serve the machine.
pub fn read_file(path: &CStr, limit: usize) -> Res<Vec<u8>> {
    let fd = open(path, libc::O_RDONLY | libc::O_NONBLOCK | libc::O_NOCTTY)?;
    let mut out = Vec::new();
    while out.len() < limit {
        let want = (limit - out.len()).min(4096);
        if read_append(fd.raw(), &mut out, want)? == 0 {
            break;
        }
    }
    Ok(out)
}

/// It is a regular file.
pub fn is_file(file: &Fd) -> Res<bool> {
    // SAFETY: the structure is a plain out parameter.
    unsafe {
        let mut stat: libc::stat = std::mem::zeroed();
        check(libc::fstat(file.raw(), &mut stat))?;
        Ok(stat.st_mode & libc::S_IFMT == libc::S_IFREG)
    }
}

/// Writes a file in place, creating it with `mode`; waits for nobody, as [`read_file`].
pub fn write_file(path: &CStr, content: &[u8], mode: u32) -> Res<()> {
    let flags = libc::O_WRONLY | libc::O_CREAT | libc::O_TRUNC | libc::O_NONBLOCK | libc::O_NOCTTY;
    let fd = open_mode(path, flags, mode)?;
    write_all(fd.raw(), content)
}

/// pipe2(2) with O_CLOEXEC: (read end, write end).
pub fn pipe() -> Res<(Fd, Fd)> {
    let mut fds = [0; 2];
    // SAFETY: the array holds two descriptors.
    check(unsafe { libc::pipe2(fds.as_mut_ptr(), libc::O_CLOEXEC) })?;
    Ok((Fd(fds[0]), Fd(fds[1])))
}

/// Two connected sockets that carry a stream of bytes, both close-on-exec.
pub fn socket_pair() -> Res<(Fd, Fd)> {
    let mut fds = [0; 2];
    // SAFETY: the array holds two descriptors.
    check(unsafe { libc::socketpair(libc::AF_UNIX, libc::SOCK_STREAM | libc::SOCK_CLOEXEC, 0, fds.as_mut_ptr()) })?;
    Ok((Fd(fds[0]), Fd(fds[1])))
}

/// Makes this end of a pipe, terminal or socket non-blocking (not the other end). Other status flags are not kept:
/// such descriptors have none.
pub fn set_nonblocking(fd: i32) -> Res<()> {
    // SAFETY: plain fcntl.
    check(unsafe { libc::fcntl(fd, libc::F_SETFL, libc::O_NONBLOCK) }).map(|_| ())
}

/// A pipe that carries much: fewer switches between its two ends.
pub fn widen_pipe(fd: i32) {
    // SAFETY: plain call. One that stays as it was still works.
    unsafe { libc::fcntl(fd, libc::F_SETPIPE_SZ, 512 * 1024) };
}

/// The error that waits at a socket (SO_ERROR), which this takes away; `None` if there is none.
pub fn socket_error(fd: i32) -> Option<Errno> {
    let mut error: libc::c_int = 0;
    let mut length = std::mem::size_of::<libc::c_int>() as libc::socklen_t;
    // SAFETY: writes one int.
    unsafe {
        libc::getsockopt(fd, libc::SOL_SOCKET, libc::SO_ERROR, &mut error as *mut _ as *mut _, &mut length);
    }
    (error != 0).then_some(Errno(error))
}

/// Closing this connection resets it (socket(7), SO_LINGER): its other end sees that it was cut. A Unix socket has no such thing.
pub fn reset_on_close(fd: i32) {
    let at_once = libc::linger { l_onoff: 1, l_linger: 0 };
    let length = std::mem::size_of::<libc::linger>() as libc::socklen_t;
    // SAFETY: reads one structure.
    unsafe { libc::setsockopt(fd, libc::SOL_SOCKET, libc::SO_LINGER, &at_once as *const _ as *const _, length) };
}

/// Bytes that wait unread in a pipe or terminal (FIONREAD).
pub fn unread(fd: i32) -> usize {
    let mut n: libc::c_int = 0;
    // SAFETY: FIONREAD writes one int.
    if unsafe { libc::ioctl(fd, libc::FIONREAD as _, &mut n) } < 0 {
        0
    } else {
        n.max(0) as usize
    }
}

/// Seconds and nanoseconds of a clock.
pub fn clock(id: libc::clockid_t) -> (u64, u32) {
    // SAFETY: plain out parameter.
    unsafe {
        let mut ts: libc::timespec = std::mem::zeroed();
        libc::clock_gettime(id, &mut ts);
        (ts.tv_sec as u64, ts.tv_nsec as u32)
    }
}

/// Milliseconds of the monotonic clock.
pub fn now_ms() -> u64 {
    let (s, ns) = clock(libc::CLOCK_MONOTONIC);
    s * 1000 + u64::from(ns) / 1_000_000
}

/// Fills the buffer, of at most 256 bytes, from the kernel's generator.
pub fn random(buf: &mut [u8]) -> Res<()> {
    // SAFETY: the buffer is valid for its length.
    check_size(unsafe { libc::getrandom(buf.as_mut_ptr().cast(), buf.len(), 0) }).map(|_| ())
}

/// Sleeps, and lets everybody else run.
pub fn sleep_us(us: u32) {
    let time = libc::timespec { tv_sec: 0, tv_nsec: (us * 1000).into() };
    // SAFETY: plain in parameter; an early end is fine.
    unsafe { libc::nanosleep(&time, std::ptr::null_mut()) };
}

/// kill(2).
pub fn kill(pid: i32, signal: i32) -> Res<()> {
    // SAFETY: plain call.
    check(unsafe { libc::kill(pid, signal) }).map(|_| ())
}

/// statfs(2)
pub fn statfs(path: &CStr) -> Res<libc::statfs> {
    // SAFETY: the path is NUL-terminated, the structure a plain out parameter.
    unsafe {
        let mut fs: libc::statfs = std::mem::zeroed();
        check(libc::statfs(path.as_ptr(), &mut fs)).map(|_| fs)
    }
}

/// mkdir(2) that is content with an existing entry.
pub fn mkdir(path: &CStr, mode: u32) -> Res<()> {
    // SAFETY: the path is NUL-terminated.
    match check(unsafe { libc::mkdir(path.as_ptr(), mode) }) {
        Ok(_) | Err(Errno(libc::EEXIST)) => Ok(()),
        Err(error) => Err(error),
    }
}

/// mkdirat(2) that is content with an existing entry.
pub fn mkdirat(dir: i32, name: &CStr, mode: u32) -> Res<()> {
    // SAFETY: the name is NUL-terminated.
    match check(unsafe { libc::mkdirat(dir, name.as_ptr(), mode) }) {
        Ok(_) | Err(Errno(libc::EEXIST)) => Ok(()),
        Err(error) => Err(error),
    }
}

/// mount(2) without data where `data` is empty.
pub fn mount(source: &CStr, target: &CStr, kind: &CStr, flags: libc::c_ulong, data: &CStr) -> Res<()> {
    // SAFETY: all strings are NUL-terminated.
    check(unsafe { libc::mount(source.as_ptr(), target.as_ptr(), kind.as_ptr(), flags, data.as_ptr().cast()) })
        .map(|_| ())
}

/// The path of an open descriptor, of a file that may have no other.
pub fn fd_path(fd: i32) -> CString {
    path(&[b"/proc/self/fd/", text::decimal(fd as u64).as_bytes()])
}

/// A path made of parts; they hold no NUL.
pub fn path(parts: &[&[u8]]) -> CString {
    CString::new(parts.concat()).unwrap_or_default()
}

/// rename(2)
pub fn rename(from: &CStr, to: &CStr) -> Res<()> {
    // SAFETY: both paths are NUL-terminated.
    check(unsafe { libc::rename(from.as_ptr(), to.as_ptr()) }).map(|_| ())
}

/// What poll(2) says of a descriptor.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct Readiness {
    pub readable: bool,
    /// nobody has the other end open
    pub hung_up: bool,
}

/// How descriptors are at this moment; negative ones are nothing.
pub fn readiness<const N: usize>(fds: [i32; N]) -> [Readiness; N] {
    let mut polls = fds.map(|fd| libc::pollfd { fd, events: libc::POLLIN, revents: 0 });
    // SAFETY: as many entries as said, no waiting. If it fails nothing was found.
    unsafe { libc::poll(polls.as_mut_ptr(), N as libc::nfds_t, 0) };
    polls.map(|poll| Readiness {
        readable: poll.revents & libc::POLLIN != 0,
        hung_up: poll.revents & libc::POLLHUP != 0,
    })
}

/// True if nobody has a port's or connection's other side open.
pub fn is_hung_up(fd: &Fd) -> bool {
    readiness([fd.raw()])[0].hung_up
}
