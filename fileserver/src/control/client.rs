//! The other end: a request is sent, its answer printed.

use crate::sys::{check, sockets, write, Errno, Fd, Res};

/// The longest answer.
const MAX_ANSWER: usize = 4 << 20;

/// A directory, by a descriptor that can do no more than name it; not through a link.
pub fn directory(path: &[u8]) -> Res<Fd> {
    let path = std::ffi::CString::new(path).map_err(|_| Errno(libc::EINVAL))?;
    let flags = libc::O_PATH | libc::O_DIRECTORY | libc::O_NOFOLLOW | libc::O_CLOEXEC;
    // SAFETY: the path is NUL-terminated.
    check(unsafe { libc::open(path.as_ptr(), flags) }).map(Fd::own)
}

/// Sends a request, with a descriptor if it takes one, and prints the answer. True: it says that it worked.
pub fn ask(control: &[u8], line: &str, passed: Option<&Fd>) -> Res<bool> {
    let connection = sockets::connect(control)?;
    let mut rest = line.as_bytes();
    if let Some(fd) = passed {
        let n = sockets::send_with(connection.raw(), rest, fd.raw())?;
        rest = &rest[n..];
    }
    while !rest.is_empty() {
        let n = sockets::send(connection.raw(), rest)?;
        rest = &rest[n..];
    }
    let mut answer = Vec::new();
    while answer.last() != Some(&b'\n') {
        if answer.len() > MAX_ANSWER || sockets::receive(connection.raw(), &mut answer, 64 << 10)? == 0 {
            return Err(Errno(libc::ECONNRESET));
        }
    }
    let mut rest = &answer[..];
    while !rest.is_empty() {
        let n = write(1, rest)?;
        rest = &rest[n..];
    }
    Ok(answer.starts_with(b"{\"ok\":true"))
}
