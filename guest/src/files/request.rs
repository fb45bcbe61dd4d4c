//! File requests, run in a worker as the user they name: dispatch, and the requests that are one system call or two.

use std::ffi::CStr;
use std::sync::OnceLock;

use crate::errors::{failed_at, failure};
use crate::files::channels::Channels;
use crate::files::info::{outcome_with, FileStat};
use crate::files::paths::{absolute, checked_path, make_parents, rename_at};
use crate::machine::users::Identity;
use crate::sys::{check, Errno};
use crate::wire::messages::{code, Failure, FileInfo, FileOp, FileRequest, Outcome};

/// Does what the request says.
pub fn run(request: &FileRequest, channels: &Channels) -> Result<Outcome, Failure> {
    let at_home = request.path.first() == Some(&b'~');
    let (from, to) = (absolute(request.path, request.user)?, absolute(request.to, request.user)?);
    let request = &FileRequest { path: &from, to: &to, ..request.clone() };
    let path = checked_path(request.path)?;
    become_user(request.user)?;
    let done = match request.op {
        FileOp::Read => crate::files::read::read(request, &path, channels),
        FileOp::Write => crate::files::write::write(request, &path, channels),
        FileOp::Stat => stat(request, &path),
        FileOp::List if at_home => crate::files::list::list(request, &path, channels).map(|outcome| Outcome {
            file: outcome_with(&FileInfo { path: request.path, ..FileInfo::default() }).file,
            ..outcome
        }),
        FileOp::List => crate::files::list::list(request, &path, channels),
        FileOp::Mkdir => make_directory(request, &path),
        FileOp::Remove => crate::files::remove::remove(request, &path),
        FileOp::Rename => rename(request, &path),
        FileOp::TreeRead => crate::files::tree_read::read(&path, channels),
        FileOp::TreeWrite => crate::files::tree_write::write(request, &path, channels),
        FileOp::Copy => crate::files::copy::copy(request, &path),
        FileOp::Watch => crate::files::watch::watch(request, &path, channels),
    };
    done.map_err(|failure| match failure.code {
        code::NO_SPACE => {
            let written = if request.to.is_empty() { request.path } else { request.to };
            Failure { full: crate::files::full::what_is_full(written), ..failure }
        }
        _ => failure,
    })
}

/// Becomes the user of a request. A worker does that once: the requests that it waits for are the same user's.
fn become_user(user: &[u8]) -> Result<(), Failure> {
    static BECAME: OnceLock<Vec<u8>> = OnceLock::new();
    if user.is_empty() || BECAME.get().is_some_and(|became| became == user) {
        return Ok(());
    }
    let Identity { uid, gid, groups } = crate::machine::users::resolve(user)?.identity;
    // SAFETY: the list is valid for its length.
    let changed = unsafe {
        check(libc::setgroups(groups.len(), groups.as_ptr()))
            .and_then(|_| check(libc::setgid(gid)))
            .and_then(|_| check(libc::setuid(uid)))
    };
    changed.map_err(|e| failure(b"cannot change the user", e))?;
    let _ = BECAME.set(user.to_vec());
    Ok(())
}

fn stat(request: &FileRequest, path: &CStr) -> Result<Outcome, Failure> {
    let stat = FileStat::of(libc::AT_FDCWD, path, request.follow).map_err(failed_at("cannot stat", request.path))?;
    let target = stat.target(libc::AT_FDCWD, path);
    Ok(outcome_with(&stat.info(request.path, &target)))
}

fn make_directory(request: &FileRequest, path: &CStr) -> Result<Outcome, Failure> {
    let fail = || failed_at("cannot make the directory", request.path);
    let made = if request.parents {
        let made = make_parents(path, true).map_err(fail())?;
        let found = FileStat::of(libc::AT_FDCWD, path, true).map_err(fail())?;
        if !found.is_dir() {
            return Err(fail()(Errno(libc::EEXIST)));
        }
        made
    } else {
        // SAFETY: the path is NUL-terminated.
        check(unsafe { libc::mkdir(path.as_ptr(), 0o777) }).map_err(fail())?;
        true
    };
    if made && request.mode != 0 {
        // SAFETY: the path is NUL-terminated.
        check(unsafe { libc::chmod(path.as_ptr(), request.mode & 0o7777) }).map_err(fail())?;
    }
    Ok(Outcome::default())
}

fn rename(request: &FileRequest, from: &CStr) -> Result<Outcome, Failure> {
    let to = checked_path(request.to)?;
    let what = [b"cannot rename '", request.path, b"' to '", request.to, b"'"].concat();
    rename_at(libc::AT_FDCWD, from, &to, request.replace).map_err(|e| failure(&what, e))?;
    Ok(Outcome::default())
}
