//! `file_copy`: a file, or a directory with everything in it, once more in the same guest.

use std::ffi::{CStr, CString};

use crate::errors::failed_at;
use crate::files::abort::aborted;
use crate::files::copy_data::copy_data;
use crate::files::entries::each_entry;
use crate::files::info::{info_at, FileStat};
use crate::files::paths::{checked_path, directory_of, follow_to, make_parents, rename_at};
use crate::files::temporary::{make_temporary, place_at, put_name};
use crate::files::times::{set_mtime, times};
use crate::sys::{self, check, Errno, Fd, Res};
use crate::wire::messages::file_kind::{DIRECTORY, FILE, SYMLINK};
use crate::wire::messages::{code, Failure, FileRequest, Outcome};
use crate::wire::tree::MAX_DEPTH;

const OPEN_DIR: i32 = libc::O_RDONLY | libc::O_DIRECTORY;
// A fifo that took a file's place must not make us wait.
const OPEN_FILE: i32 = libc::O_RDONLY | libc::O_NONBLOCK | libc::O_NOCTTY;
/// Set-id bits would be another's power in a copy that is mine.
const MODE: u32 = 0o1777;

pub fn copy(request: &FileRequest, from: &CStr) -> Result<Outcome, Failure> {
    let fail = || failed_at("cannot copy", request.path);
    let fail_to = || failed_at("cannot copy to", request.to);
    let to = checked_path(request.to)?;
    let source = FileStat::of(libc::AT_FDCWD, from, true).map_err(fail())?;
    match source.kind() {
        FILE => {}
        DIRECTORY if request.recursive => {}
        DIRECTORY => return Err(fail()(Errno(libc::EISDIR))),
        _ => return Err(senseless(request, "a device, fifo or socket cannot be copied")),
    }
    if request.parents {
        make_parents(&to, false).map_err(fail_to())?;
    }
    let (to, existing) = follow_to(&to).map_err(fail_to())?;
    if let Some(stat) = &existing {
        if !request.replace {
            return Err(fail_to()(Errno(libc::EEXIST)));
        }
        if stat.identity() == source.identity() {
            return Err(senseless(request, "the two are the same"));
        }
        match (source.is_dir(), stat.kind()) {
            (false, FILE) | (true, DIRECTORY) => {}
            (false, DIRECTORY) => return Err(fail_to()(Errno(libc::EISDIR))),
            (true, _) => return Err(fail_to()(Errno(libc::ENOTDIR))),
            (false, _) => return Err(senseless(request, "a device, fifo or socket is not replaced")),
        }
    }
    let mut copier = Copier { path: Vec::new(), target: (0, 0), entries: 0, bytes: 0, skipped: 0, request };
    if source.is_dir() {
        copier.tree(from, &source, &to, existing.is_some())?;
    } else {
        let bytes = to.to_bytes();
        if bytes.ends_with(b"/") {
            return Err(fail_to()(Errno(libc::EISDIR)));
        }
        let above = CString::new(directory_of(bytes)).map_err(|_| fail_to()(Errno(libc::EINVAL)))?;
        let name = CString::new(&bytes[above.as_bytes().len()..]).map_err(|_| fail_to()(Errno(libc::EINVAL)))?;
        let file = sys::open(from, OPEN_FILE).map_err(fail())?;
        let dir = sys::open(&above, OPEN_DIR).map_err(fail_to())?;
        copier.file(&file, &dir, &name)?;
        copier.entries = 1;
    }
    let Copier { entries, bytes, skipped, .. } = copier;
    Ok(Outcome { entries, bytes, skipped, ..Outcome::default() })
}

fn senseless(request: &FileRequest, why: &str) -> Failure {
    let message = [b"cannot copy '", request.path, b"' to '", request.to, b"': ", why.as_bytes()].concat();
    Failure { errno: libc::EINVAL, ..Failure::new(code::INVALID, message) }
}

/// A directory that is being copied.
struct Level {
    from: Fd,
    to: Fd,
    /// entries still to be copied
    names: Vec<CString>,
    /// of one that was not there before: its mode and time, which are set when nothing more is put into it
    made: Option<FileStat>,
    /// length of its path
    path: usize,
}

struct Copier<'a> {
    /// relative to what is copied: of the current entry
    path: Vec<u8>,
    /// the directory that is filled
    target: (u64, u64),
    entries: u64,
    bytes: u64,
    skipped: u64,
    request: &'a FileRequest<'a>,
}

impl Copier<'_> {
    fn fail(&self, errno: Errno) -> Failure {
        let slash: &[u8] = if self.path.is_empty() { b"" } else { b"/" };
        failed_at("cannot copy", &[self.request.path, slash, &self.path].concat())(errno)
    }

    fn tree(&mut self, from: &CStr, source: &FileStat, to: &CStr, exists: bool) -> Result<(), Failure> {
        let fail_to = || failed_at("cannot copy to", self.request.to);
        let dir = sys::open(from, OPEN_DIR).map_err(|e| self.fail(e))?;
        let last = to.to_bytes().iter().rposition(|&b| b != b'/').map_or(0, |at| at + 1);
        let above = directory_of(&to.to_bytes()[..last.max(1)]);
        let above = CString::new(above).map_err(|_| fail_to()(Errno(libc::EINVAL)))?;
        // Before anything is made: the target, or what is to hold it, may be in what is copied.
        if is_within(if exists { to } else { &above }, source.identity()).map_err(fail_to())? {
            return Err(senseless(self.request, "a directory cannot be copied into itself"));
        }
        if !exists {
            // SAFETY: the path is NUL-terminated.
            check(unsafe { libc::mkdir(to.as_ptr(), 0o700) }).map_err(fail_to())?;
        }
        let target = sys::open(to, OPEN_DIR).map_err(fail_to())?;
        self.target = FileStat::of_fd(target.raw()).map_err(fail_to())?.identity();
        let made = FileStat::of_fd(dir.raw()).map_err(|e| self.fail(e))?;
        // A list: a guest's nesting must not reach our stack.
        let mut levels = vec![self.level(dir, target, (!exists).then_some(made))?];
        while let Some(level) = levels.last_mut() {
            self.path.truncate(level.path);
            let Some(name) = level.names.pop() else {
                if let Some(Level { to, made: Some(stat), .. }) = levels.pop() {
                    finish(&to, &stat).map_err(|e| self.fail(e))?;
                }
                continue;
            };
            if aborted() {
                return Err(Failure::new(code::CANCELLED, "the request was cancelled"));
            }
            if !self.path.is_empty() {
                self.path.push(b'/');
            }
            self.path.extend_from_slice(name.to_bytes());
            if levels.len() > MAX_DEPTH {
                return Err(Failure::new(code::INVALID, "the directory is nested deeper than 256 directories"));
            }
            if let Some(below) = self.entry(&levels[levels.len() - 1], &name)? {
                levels.push(below);
            }
        }
        Ok(())
    }

    fn level(&self, from: Fd, to: Fd, made: Option<FileStat>) -> Result<Level, Failure> {
        let again = sys::openat(from.raw(), c".", OPEN_DIR, 0).map_err(|e| self.fail(e))?;
        let mut names = Vec::new();
        each_entry(again, |name| {
            names.push(name.to_owned());
            Ok(true)
        })?;
        Ok(Level { from, to, names, made, path: self.path.len() })
    }

    /// Copies one entry; of a directory what there is to go on with. What has gone in between is not copied.
    fn entry(&mut self, level: &Level, name: &CStr) -> Result<Option<Level>, Failure> {
        let from = level.from.raw();
        let Ok((stat, target)) = info_at(from, name) else { return Ok(None) };
        match stat.kind() {
            DIRECTORY => {
                let dir = match sys::openat(from, name, OPEN_DIR | libc::O_NOFOLLOW, 0) {
                    Err(Errno(libc::ENOENT | libc::ENOTDIR | libc::ELOOP)) => return Ok(None),
                    other => other.map_err(|e| self.fail(e))?,
                };
                let stat = FileStat::of_fd(dir.raw()).map_err(|e| self.fail(e))?;
                if stat.identity() == self.target {
                    // By a mount, or because somebody has moved it here.
                    return Err(senseless(self.request, "a directory cannot be copied into itself"));
                }
                self.entries += 1;
                // SAFETY: the name is NUL-terminated.
                let made = check(unsafe { libc::mkdirat(level.to.raw(), name.as_ptr(), 0o700) });
                let made = match made {
                    Ok(_) => Some(stat),
                    Err(Errno(libc::EEXIST)) => None,
                    Err(error) => return Err(self.fail(error)),
                };
                let to = sys::openat(level.to.raw(), name, OPEN_DIR | libc::O_NOFOLLOW, 0).map_err(|e| self.fail(e))?;
                return self.level(dir, to, made).map(Some);
            }
            FILE => match sys::openat(from, name, OPEN_FILE | libc::O_NOFOLLOW, 0) {
                Err(Errno(libc::ENOENT | libc::ELOOP | libc::ENXIO)) => {}
                other => {
                    let file = other.map_err(|e| self.fail(e))?;
                    self.entries += 1;
                    self.file(&file, &level.to, name)?;
                }
            },
            SYMLINK => {
                self.entries += 1;
                copy_symlink(&level.to, name, &stat, target).map_err(|e| self.fail(e))?;
            }
            _ => self.skipped += 1,
        }
        Ok(None)
    }

    /// Copies a file to a name: all of it, or what is there stays.
    fn file(&mut self, from: &Fd, dir: &Fd, name: &CStr) -> Result<(), Failure> {
        let stat = FileStat::of_fd(from.raw()).map_err(|e| self.fail(e))?;
        if stat.kind() != FILE {
            self.skipped += 1; // something else took its place
            return Ok(());
        }
        let (file, temporary) = make_temporary(dir.raw(), b"", place_at(dir.raw(), name)).map_err(|e| self.fail(e))?;
        let copied = copy_data(from, &file).and_then(|bytes| finish(&file, &stat).map(|()| bytes));
        let put = copied.map_err(|e| self.fail(e)).and_then(|bytes| {
            if aborted() {
                return Err(Failure::new(code::CANCELLED, "the request was cancelled"));
            }
            let put = rename_at(dir.raw(), &temporary, name, self.request.replace);
            put.map(|()| bytes).map_err(|e| self.fail(e))
        });
        if put.is_err() {
            // SAFETY: the name is NUL-terminated.
            unsafe { libc::unlinkat(dir.raw(), temporary.as_ptr(), 0) };
        }
        self.bytes += put?;
        Ok(())
    }
}

/// Mode and time of what was copied.
fn finish(to: &Fd, stat: &FileStat) -> Res<()> {
    // SAFETY: plain call.
    check(unsafe { libc::fchmod(to.raw(), stat.mode() & MODE) })?;
    let (seconds, nanoseconds) = stat.mtime();
    set_mtime(to.raw(), seconds, nanoseconds)
}

fn copy_symlink(dir: &Fd, name: &CStr, stat: &FileStat, target: Vec<u8>) -> Res<()> {
    let target = CString::new(target).map_err(|_| Errno(libc::EINVAL))?;
    let (seconds, nanoseconds) = stat.mtime();
    let times = times(seconds, nanoseconds);
    // SAFETY: all strings are NUL-terminated, the times valid.
    let make = |name: &CStr| check(unsafe { libc::symlinkat(target.as_ptr(), dir.raw(), name.as_ptr()) }).map(|_| ());
    let finish = |name: &CStr| {
        let flags = libc::AT_SYMLINK_NOFOLLOW;
        check(unsafe { libc::utimensat(dir.raw(), name.as_ptr(), times.as_ptr(), flags) }).map(|_| ())
    };
    put_name(dir.raw(), name, make, finish)
}

/// Whether a directory is another one, or in it: going up leads there.
fn is_within(path: &CStr, other: (u64, u64)) -> Res<bool> {
    let mut dir = sys::open(path, OPEN_DIR)?;
    let mut at = FileStat::of_fd(dir.raw())?.identity();
    loop {
        if at == other {
            return Ok(true);
        }
        dir = sys::openat(dir.raw(), c"..", OPEN_DIR, 0)?;
        let above = FileStat::of_fd(dir.raw())?.identity();
        if above == at {
            return Ok(false);
        }
        at = above;
    }
}
