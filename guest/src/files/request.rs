//! File requests, run in a worker as the user they name: dispatch, and the requests that are one system call or two.

use std::ffi::CStr;

use crate::errors::{failed_at, failure};
use crate::files::channels::{Channels, BUFFER};
use crate::files::entries::each_entry;
use crate::files::info::{info_at, outcome_with, FileStat};
use crate::files::paths::{checked_path, make_parents, rename_at};
use crate::machine::users::Identity;
use crate::sys::{self, check, Errno};
use crate::wire::messages::{code, put_record, Failure, FileOp, FileRequest, Outcome};

/// Does what the request says.
pub fn run(request: &FileRequest, channels: &Channels) -> Result<Outcome, Failure> {
    let path = checked_path(request.path)?;
    become_user(request.user)?;
    let done = match request.op {
        FileOp::Read => crate::files::read::read(request, &path, channels),
        FileOp::Write => crate::files::write::write(request, &path, channels),
        FileOp::Stat => stat(request, &path),
        FileOp::List => list(&path, channels),
        FileOp::Mkdir => make_directory(request, &path),
        FileOp::Remove => crate::files::remove::remove(request, &path),
        FileOp::Rename => rename(request, &path),
        FileOp::TreeRead => crate::files::tree_read::read(&path, channels),
        FileOp::TreeWrite => crate::files::tree_write::write(request, &path, channels),
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

fn become_user(user: &[u8]) -> Result<(), Failure> {
    let Identity { uid, gid, groups } = crate::machine::users::resolve(user)?.identity;
    if groups.is_empty() && uid == 0 {
        return Ok(());
    }
    // SAFETY: the list is valid for its length.
    let changed = unsafe {
        check(libc::setgroups(groups.len(), groups.as_ptr()))
            .and_then(|_| check(libc::setgid(gid)))
            .and_then(|_| check(libc::setuid(uid)))
    };
    changed.map(|_| ()).map_err(|e| failure(b"cannot change the user", e))
}

fn stat(request: &FileRequest, path: &CStr) -> Result<Outcome, Failure> {
    let stat = FileStat::of(libc::AT_FDCWD, path, request.follow).map_err(failed_at("cannot stat", request.path))?;
    let target = stat.target(libc::AT_FDCWD, path);
    Ok(outcome_with(&stat.info(request.path, &target)))
}

fn list(path: &CStr, channels: &Channels) -> Result<Outcome, Failure> {
    let shown = path.to_bytes();
    let dir = sys::open(path, libc::O_RDONLY | libc::O_DIRECTORY).map_err(failed_at("cannot list", shown))?;
    let at = dir.raw();
    let mut out = Vec::new();
    let mut record = Vec::new();
    let mut entries = 0;
    let lost = |e| failure(b"cannot send the list", e);
    each_entry(dir, |name| {
        // An entry that has gone in between is no entry.
        let Ok((stat, target)) = info_at(at, name) else { return Ok(true) };
        record.clear();
        stat.info(name.to_bytes(), &target).encode(&mut record);
        put_record(&mut out, &record);
        entries += 1;
        if out.len() >= BUFFER {
            sys::write_all(channels.output(), &out).map_err(lost)?;
            out.clear();
        }
        Ok(true)
    })?;
    sys::write_all(channels.output(), &out).map_err(lost)?;
    Ok(Outcome { entries, ..Outcome::default() })
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
