//! File requests, run in a worker as the user they name: dispatch, and the requests that are one system call or two.

use std::ffi::{CStr, CString};

use crate::errors::failure;
use crate::exec::spawn::Identity;
use crate::files::info::{info_at, FileStat};
use crate::serve::worker::Channels;
use crate::sys::{self, check, Errno, Fd, Res};
use crate::wire::messages::{code, put_record, Failure, FileInfo, FileOp, FileRequest, Outcome};

/// The kernel's PATH_MAX, with the final NUL.
const MAX_PATH: usize = 4096;
/// Symlinks followed by hand, as many as the kernel follows.
const MAX_LINKS: usize = 40;
/// Output is written in pieces of about this size.
pub const BUFFER: usize = 65_536;

/// Does what the request says.
pub fn run(request: &FileRequest, channels: &Channels) -> Result<Outcome, Failure> {
    let path = checked_path(request.path)?;
    become_user(request.user)?;
    match request.op {
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
    }
}

/// An absolute path without NUL bytes. Pure.
pub fn checked_path(path: &[u8]) -> Result<CString, Failure> {
    let invalid = |why: &str| Failure::new(code::INVALID, [b"the path ", why.as_bytes()].concat());
    if path.first() != Some(&b'/') {
        return Err(invalid("is not absolute"));
    }
    if path.len() >= MAX_PATH {
        return Err(invalid("is longer than 4095 bytes"));
    }
    CString::new(path).map_err(|_| invalid("holds a NUL byte"))
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

/// A failure that names what was tried with which path.
pub fn failed_at<'a>(what: &'a str, path: &'a [u8]) -> impl FnOnce(Errno) -> Failure + 'a {
    move |errno| failure(&[what.as_bytes(), b" '", path, b"'"].concat(), errno)
}

/// An outcome that carries a file's facts.
pub fn outcome_with(info: &FileInfo) -> Outcome {
    let mut file = Vec::new();
    info.encode(&mut file);
    Outcome { file, ..Outcome::default() }
}

fn stat(request: &FileRequest, path: &CStr) -> Result<Outcome, Failure> {
    let stat = FileStat::of(libc::AT_FDCWD, path, request.follow).map_err(failed_at("cannot stat", request.path))?;
    let target = stat.target(libc::AT_FDCWD, path);
    Ok(outcome_with(&stat.info(request.path, &target)))
}

/// Calls `each` with the name of every entry but "." and "..", until it returns false.
pub fn each_entry(dir: Fd, mut each: impl FnMut(&CStr) -> Result<bool, Failure>) -> Result<(), Failure> {
    each_typed_entry(dir, |name, _| each(name))
}

/// [`each_entry`] with what readdir(3) says of the type: `DT_UNKNOWN` where the file system does not tell.
pub fn each_typed_entry(dir: Fd, mut each: impl FnMut(&CStr, u8) -> Result<bool, Failure>) -> Result<(), Failure> {
    // SAFETY: fdopendir takes the descriptor over; an entry is read before the next call.
    unsafe {
        let stream = libc::fdopendir(dir.raw());
        if stream.is_null() {
            return Err(failure(b"cannot read a directory", Errno::last()));
        }
        dir.into_raw();
        let result = loop {
            *libc::__errno_location() = 0;
            let entry = libc::readdir(stream);
            if entry.is_null() {
                let errno = Errno::last();
                break if errno.0 == 0 { Ok(()) } else { Err(failure(b"cannot read a directory", errno)) };
            }
            let name = CStr::from_ptr((*entry).d_name.as_ptr());
            if matches!(name.to_bytes(), b"." | b"..") {
                continue;
            }
            match each(name, (*entry).d_type) {
                Ok(true) => {}
                Ok(false) => break Ok(()),
                Err(error) => break Err(error),
            }
        };
        libc::closedir(stream);
        result
    }
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

/// mkdir -p, for the directories above `path` and, with `whole`, itself. True if the last one was made.
pub fn make_parents(path: &CStr, whole: bool) -> Res<bool> {
    let bytes = path.to_bytes();
    let ends = bytes.iter().enumerate().skip(1).filter(|(_, &b)| b == b'/').map(|(i, _)| i);
    let mut made = false;
    for end in ends.chain(whole.then_some(bytes.len())) {
        let part = CString::new(&bytes[..end]).map_err(|_| Errno(libc::EINVAL))?;
        // SAFETY: the path is NUL-terminated.
        match check(unsafe { libc::mkdir(part.as_ptr(), 0o777) }) {
            Ok(_) => made = true,
            Err(Errno(libc::EEXIST | libc::EISDIR)) => made = false,
            // A directory above that exists may be unwritable or read-only; what is missing shows below.
            Err(Errno(libc::EACCES | libc::EROFS)) if FileStat::of(libc::AT_FDCWD, &part, true).is_ok() => made = false,
            Err(error) => return Err(error),
        }
    }
    Ok(made)
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

/// renameat2(2) inside one directory, or between absolute paths.
pub fn rename_at(dir: i32, from: &CStr, to: &CStr, replace: bool) -> Res<()> {
    if !replace {
        let flags = libc::RENAME_NOREPLACE;
        // SAFETY: both paths are NUL-terminated.
        let result = unsafe { libc::syscall(libc::SYS_renameat2, dir, from.as_ptr(), dir, to.as_ptr(), flags) };
        match check(result as libc::c_int) {
            Ok(_) => return Ok(()),
            // This file system cannot: look first.
            Err(Errno(libc::EINVAL | libc::ENOSYS)) => {
                if FileStat::of(dir, to, false).is_ok() {
                    return Err(Errno(libc::EEXIST));
                }
            }
            Err(error) => return Err(error),
        }
    }
    // SAFETY: both paths are NUL-terminated.
    check(unsafe { libc::renameat(dir, from.as_ptr(), dir, to.as_ptr()) }).map(|_| ())
}

/// Where a path leads when its last component is a symlink. A link that leads nowhere names the file to be made.
pub fn follow(path: &CStr) -> Res<CString> {
    let mut path = path.to_owned();
    for _ in 0..MAX_LINKS {
        let target = match FileStat::of(libc::AT_FDCWD, &path, false) {
            Ok(stat) if stat.is_symlink() => stat.target(libc::AT_FDCWD, &path),
            Ok(_) | Err(Errno(libc::ENOENT)) => return Ok(path),
            Err(error) => return Err(error),
        };
        let base: &[u8] = if target.first() == Some(&b'/') { b"" } else { directory_of(path.to_bytes()) };
        let next = [base, &target].concat();
        if next.len() >= MAX_PATH {
            return Err(Errno(libc::ENAMETOOLONG));
        }
        path = CString::new(next).map_err(|_| Errno(libc::EINVAL))?;
    }
    Err(Errno(libc::ELOOP))
}

/// The part of a path up to and with its last slash. Pure.
pub fn directory_of(path: &[u8]) -> &[u8] {
    &path[..path.iter().rposition(|&b| b == b'/').map_or(0, |at| at + 1)]
}
