//! Writes of what nobody else has changed meanwhile.

use std::ffi::CStr;

use crate::errors::failed_at;
use crate::files::abort::aborted;
use crate::files::info::{outcome_with, FileStat};
use crate::sys::{self, check, Errno, Fd};
use crate::wire::messages::{code, Failure, FileRequest};

/// How often, and after how many ms each, a lock is tried that a program of the guest holds.
const STEPS: u32 = 1000;
const STEP_MS: i32 = 5;

/// What is at a path must be what the request wants there. The failure says what it is.
pub fn check_version(request: &FileRequest, found: Option<&FileStat>) -> Result<(), Failure> {
    if request.if_version.is_empty() || found.is_some_and(|stat| stat.version() == request.if_version) {
        return Ok(());
    }
    let found = found.map(|stat| outcome_with(&stat.info(request.path, b"")).file).unwrap_or_default();
    let message = [b"'", request.path, b"' is not of that version"].concat();
    Err(Failure { found, ..Failure::new(code::CHANGED, message) })
}

/// Checks once more right before the file is replaced. Of several writers one is first, and the others see what it wrote: they wait
/// for each other by a lock on the file that is to go, which lasts as long as what this returns.
pub fn lock_unchanged(request: &FileRequest, path: &CStr) -> Result<Option<Fd>, Failure> {
    if request.if_version.is_empty() {
        return Ok(None);
    }
    let flags = libc::O_NOFOLLOW | libc::O_NONBLOCK | libc::O_NOCTTY;
    // Who may replace a file may not always read it: another user's, which then has no lock, is still looked at.
    let file = sys::open(path, flags | libc::O_RDONLY).or_else(|_| sys::open(path, flags | libc::O_WRONLY)).ok();
    if let Some(file) = &file {
        lock(file, request.path)?;
    }
    check_version(request, FileStat::of(libc::AT_FDCWD, path, false).ok().as_ref())?;
    Ok(file)
}

fn lock(file: &Fd, shown: &[u8]) -> Result<(), Failure> {
    for _ in 0..STEPS {
        if aborted() {
            return Err(Failure::new(code::CANCELLED, "the request was cancelled"));
        }
        // SAFETY: plain call.
        match check(unsafe { libc::flock(file.raw(), libc::LOCK_EX | libc::LOCK_NB) }) {
            Ok(_) => return Ok(()),
            Err(Errno(libc::EWOULDBLOCK | libc::EINTR)) => {}
            // A file system without locks.
            Err(Errno(libc::ENOSYS | libc::EOPNOTSUPP | libc::ENOLCK)) => return Ok(()),
            Err(errno) => return Err(failed_at("cannot lock", shown)(errno)),
        }
        // SAFETY: no descriptors, only a pause.
        unsafe { libc::poll(std::ptr::null_mut(), 0, STEP_MS) };
    }
    let message = [b"a program in the guest holds a lock on '", shown, b"' (flock)"].concat();
    Err(Failure::new(code::BUSY, message))
}
