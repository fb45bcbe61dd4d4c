//! `remove`, of files and whole trees.

use std::ffi::{CStr, CString};

use crate::errors::failed_at;
use crate::files::entries::each_entry;
use crate::files::info::FileStat;
use crate::files::paths::directory_of;
use crate::sys::{self, check, Errno, Fd, Res};
use crate::wire::messages::{code, Failure, FileRequest, Outcome};

pub fn remove(request: &FileRequest, path: &CStr) -> Result<Outcome, Failure> {
    let fail = || failed_at("cannot remove", request.path);
    let trimmed = path.to_bytes().iter().rposition(|&b| b != b'/').map(|last| &path.to_bytes()[..=last]);
    let Some(trimmed) = trimmed else {
        return Err(Failure::new(code::INVALID, "the root directory cannot be removed"));
    };
    if matches!(trimmed[directory_of(trimmed).len()..], [b'.'] | [b'.', b'.']) {
        // It could not go itself, only all that is in it, and that is more than most mean.
        let message = [b"cannot remove '", request.path, b"': a path that ends in . or .. is not removed"].concat();
        return Err(Failure { errno: libc::EINVAL, ..Failure::new(code::INVALID, message) });
    }
    let path = CString::new(trimmed).map_err(|_| fail()(Errno(libc::EINVAL)))?;
    let stat = match FileStat::of(libc::AT_FDCWD, &path, false) {
        Err(Errno(libc::ENOENT)) if request.force => return Ok(Outcome::default()),
        other => other.map_err(fail())?,
    };
    if stat.is_dir() && request.recursive {
        empty(&path, &stat, request.path)?;
    }
    match unlink(libc::AT_FDCWD, &path, stat.is_dir()) {
        Err(Errno(libc::ENOENT)) if request.force => {}
        other => other.map_err(fail())?,
    }
    Ok(Outcome::default())
}

fn unlink(dir: i32, name: &CStr, is_dir: bool) -> Res<()> {
    let flags = if is_dir { libc::AT_REMOVEDIR } else { 0 };
    // SAFETY: the path is NUL-terminated.
    check(unsafe { libc::unlinkat(dir, name.as_ptr(), flags) }).map(|_| ())
}

/// A directory on the way down.
struct Level {
    name: CString,
    /// device and inode of the directory above it
    parent: (u64, u64),
}

const OPEN_DIR: i32 = libc::O_RDONLY | libc::O_DIRECTORY | libc::O_NOFOLLOW;

/// Removes everything in a directory. One descriptor whatever the depth: a guest can nest deeper than descriptors or
/// a stack reach. The way up is "..", checked to be the directory the way down came from.
fn empty(path: &CStr, stat: &FileStat, shown: &[u8]) -> Result<(), Failure> {
    let fail = |e| failed_at("cannot remove all of", shown)(e);
    let device = stat.identity().0;
    let mut dir = sys::open(path, OPEN_DIR).map_err(fail)?;
    let mut levels: Vec<Level> = Vec::new();
    loop {
        match remove_files(&dir, device)? {
            Some(name) => {
                let parent = FileStat::of_fd(dir.raw()).map_err(fail)?.identity();
                dir = match sys::openat(dir.raw(), &name, OPEN_DIR, 0) {
                    Ok(below) => below,
                    Err(Errno(libc::ENOENT)) => continue,
                    Err(error) => return Err(fail(error)),
                };
                levels.push(Level { name, parent });
            }
            None => {
                let Some(level) = levels.pop() else { return Ok(()) };
                dir = sys::openat(dir.raw(), c"..", OPEN_DIR, 0).map_err(fail)?;
                if FileStat::of_fd(dir.raw()).map_err(fail)?.identity() != level.parent {
                    return Err(Failure::new(code::BUSY, "the tree was moved while it was removed"));
                }
                match unlink(dir.raw(), &level.name, true) {
                    Ok(()) | Err(Errno(libc::ENOENT)) => {}
                    Err(error) => return Err(fail(error)),
                }
            }
        }
    }
}

/// Removes what is no directory, and empty directories; the name of the first directory that is not empty.
fn remove_files(dir: &Fd, device: u64) -> Result<Option<CString>, Failure> {
    let again = sys::openat(dir.raw(), c".", OPEN_DIR, 0).map_err(|e| failed_at("cannot open", b".")(e))?;
    let mut found = None;
    each_entry(again, |name| {
        let fail = |e| failed_at("cannot remove", name.to_bytes())(e);
        match unlink(dir.raw(), name, false) {
            Ok(()) | Err(Errno(libc::ENOENT)) => return Ok(true),
            // Linux says EISDIR, POSIX EPERM.
            Err(Errno(libc::EISDIR | libc::EPERM)) => {}
            Err(error) => return Err(fail(error)),
        }
        match unlink(dir.raw(), name, true) {
            Ok(()) | Err(Errno(libc::ENOENT)) => Ok(true),
            Err(Errno(libc::ENOTEMPTY | libc::EEXIST)) => {
                let stat = FileStat::of(dir.raw(), name, false).map_err(fail)?;
                if stat.identity().0 != device {
                    // A mounted file system is not part of the tree.
                    return Err(fail(Errno(libc::EBUSY)));
                }
                found = Some(name.to_owned());
                Ok(false)
            }
            Err(error) => Err(fail(error)),
        }
    })?;
    Ok(found)
}
