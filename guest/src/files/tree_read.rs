//! `tree_read`: a file, symlink or directory with everything in it, as records on channel 1.

use std::ffi::{CStr, CString};

use crate::errors::failed_at;
use crate::files::channels::Channels;
use crate::files::entries::each_entry;
use crate::files::info::{info_at, FileStat};
use crate::files::records::Records;
use crate::sys::{self, Errno, Fd};
use crate::wire::messages::file_kind::{DIRECTORY, FILE, SYMLINK};
use crate::wire::messages::{code, Failure, Outcome};
use crate::wire::tree::{put_entry, MAX_DEPTH};

/// Everything that a walk needs at hand.
struct Sender<'a> {
    records: Records<'a>,
    /// relative path of the current entry
    path: Vec<u8>,
    entries: u64,
    bytes: u64,
}

pub fn read(path: &CStr, channels: &Channels) -> Result<Outcome, Failure> {
    let shown = path.to_bytes();
    let (stat, target) = info_at(libc::AT_FDCWD, path).map_err(failed_at("cannot read", shown))?;
    let mut sender = Sender { records: Records::new(channels), path: Vec::new(), entries: 0, bytes: 0 };
    match stat.kind() {
        DIRECTORY => {
            let dir = sys::open(path, OPEN_DIR).map_err(failed_at("cannot read", shown))?;
            channels.opened(&[]);
            sender.directory(dir, &stat)?;
        }
        FILE => {
            let file = sys::open(path, OPEN_FILE).map_err(failed_at("cannot read", shown))?;
            channels.opened(&[]);
            sender.file(&file)?;
        }
        SYMLINK => {
            channels.opened(&[]);
            sender.entry(&stat, &target)?;
        }
        _ => return Err(Failure::new(code::INVALID, "a device, fifo or socket cannot be read as a tree")),
    }
    sender.records.flush()?;
    Ok(Outcome { entries: sender.entries, bytes: sender.bytes, ..Outcome::default() })
}

const OPEN_DIR: i32 = libc::O_RDONLY | libc::O_DIRECTORY | libc::O_NOFOLLOW;
// A fifo that took a file's place must not make us wait.
const OPEN_FILE: i32 = libc::O_RDONLY | libc::O_NOFOLLOW | libc::O_NONBLOCK | libc::O_NOCTTY;

/// A directory that is being read.
struct Level {
    dir: Fd,
    /// entries still to be sent, in reverse
    names: Vec<CString>,
    /// length of the path at this level
    path: usize,
}

impl Sender<'_> {
    fn entry(&mut self, stat: &FileStat, target: &[u8]) -> Result<(), Failure> {
        put_entry(&mut self.records.out, &stat.tree_info(&self.path, target));
        self.entries += 1;
        self.records.flush_if_full()
    }

    fn fail(&self, what: &str, errno: Errno) -> Failure {
        failed_at(what, &self.path)(errno)
    }

    fn open_level(&self, dir: Fd) -> Result<Level, Failure> {
        let again = sys::openat(dir.raw(), c".", OPEN_DIR, 0).map_err(|e| self.fail("cannot read", e))?;
        let mut names = Vec::new();
        each_entry(again, |name| {
            names.push(name.to_owned());
            Ok(true)
        })?;
        names.reverse();
        Ok(Level { dir, names, path: self.path.len() })
    }

    /// A directory, its content, and so on down. The levels are a list: a guest's nesting must not reach our stack.
    fn directory(&mut self, dir: Fd, stat: &FileStat) -> Result<(), Failure> {
        self.entry(stat, b"")?;
        let mut levels = vec![self.open_level(dir)?];
        while let Some(level) = levels.last_mut() {
            self.path.truncate(level.path);
            let Some(name) = level.names.pop() else {
                levels.pop();
                continue;
            };
            let at = level.dir.raw();
            if !self.path.is_empty() {
                self.path.push(b'/');
            }
            self.path.extend_from_slice(name.to_bytes());
            // What has gone in between is not sent.
            let Ok((stat, target)) = info_at(at, &name) else { continue };
            match stat.kind() {
                DIRECTORY => {
                    let dir = match sys::openat(at, &name, OPEN_DIR, 0) {
                        Err(Errno(libc::ENOENT | libc::ENOTDIR | libc::ELOOP)) => continue,
                        other => other.map_err(|e| self.fail("cannot read", e))?,
                    };
                    self.check_bounds(levels.len())?;
                    self.entry(&stat, b"")?;
                    levels.push(self.open_level(dir)?);
                }
                FILE => match sys::openat(at, &name, OPEN_FILE, 0) {
                    Err(Errno(libc::ENOENT | libc::ELOOP | libc::ENXIO)) => {}
                    other => {
                        let file = other.map_err(|e| self.fail("cannot read", e))?;
                        self.check_bounds(levels.len())?;
                        self.file(&file)?;
                    }
                },
                SYMLINK => {
                    self.check_bounds(levels.len())?;
                    self.entry(&stat, &target)?;
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn check_bounds(&self, depth: usize) -> Result<(), Failure> {
        if depth > MAX_DEPTH || self.path.len() > 4096 {
            let message = "the tree is deeper than 256 directories, or a path in it longer than 4096 bytes";
            return Err(Failure::new(code::INVALID, message));
        }
        Ok(())
    }

    /// A file's entry, content and end.
    fn file(&mut self, file: &Fd) -> Result<(), Failure> {
        let stat = FileStat::of_fd(file.raw()).map_err(|e| self.fail("cannot stat", e))?;
        if stat.kind() != FILE {
            return Ok(()); // something else took its place
        }
        self.entry(&stat, b"")?;
        let sent = self.records.content(file, stat.size());
        self.bytes += sent.map_err(|e| self.fail("cannot read", e))?;
        Ok(())
    }
}
