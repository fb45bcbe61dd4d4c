//! `list`: what is in a directory, and in those below it to a depth, as records on channel 1.

use std::ffi::{CStr, CString};

use crate::errors::{failed_at, failure};
use crate::files::channels::{Channels, BUFFER};
use crate::files::entries::each_entry;
use crate::files::info::{info_at, FileStat};
use crate::sys::{self, Errno, Fd};
use crate::wire::messages::{code, put_record, Failure, FileRequest, Outcome};
use crate::wire::tree::MAX_DEPTH;

const OPEN_DIR: i32 = libc::O_RDONLY | libc::O_DIRECTORY;

/// A directory whose entries were told, with those in it that are directories and still to be listed.
struct Level {
    /// none where nothing in it is listed
    dir: Option<Fd>,
    names: Vec<CString>,
    /// length of its path
    path: usize,
}

struct Listing<'a> {
    request: &'a FileRequest<'a>,
    output: i32,
    out: Vec<u8>,
    record: Vec<u8>,
    /// relative path of the directory that is being listed
    path: Vec<u8>,
    entries: u64,
}

pub fn list(request: &FileRequest, path: &CStr, channels: &Channels) -> Result<Outcome, Failure> {
    let depth = request.depth.clamp(1, MAX_DEPTH as u32);
    let dir = sys::open(path, OPEN_DIR).map_err(failed_at("cannot list", request.path))?;
    let output = channels.output();
    let mut listing = Listing { request, output, out: Vec::new(), record: Vec::new(), path: Vec::new(), entries: 0 };
    // A list: a guest's nesting must not reach our stack.
    let mut levels = vec![listing.level(dir, depth > 1)?];
    while let Some(level) = levels.last_mut() {
        listing.path.truncate(level.path);
        let Some(name) = level.names.pop() else {
            levels.pop();
            continue;
        };
        let below = match sys::openat(level.dir.as_ref().map_or(-1, Fd::raw), &name, OPEN_DIR | libc::O_NOFOLLOW, 0) {
            // It has gone since it was told, or something else has its place.
            Err(Errno(libc::ENOENT | libc::ENOTDIR | libc::ELOOP | libc::ESRCH)) => continue,
            other => other.map_err(|e| listing.fail(name.to_bytes(), e))?,
        };
        listing.enter(name.to_bytes());
        let deeper = levels.len() + 1 < depth as usize;
        levels.push(listing.level(below, deeper)?);
    }
    listing.flush()?;
    Ok(Outcome { entries: listing.entries, depth, ..Outcome::default() })
}

impl Listing<'_> {
    fn fail(&self, name: &[u8], errno: Errno) -> Failure {
        let slash: &[u8] = if self.path.is_empty() { b"" } else { b"/" };
        failed_at("cannot list", &[self.request.path, b"/", &self.path, slash, name].concat())(errno)
    }

    fn enter(&mut self, name: &[u8]) {
        if !self.path.is_empty() {
            self.path.push(b'/');
        }
        self.path.extend_from_slice(name);
    }

    /// Tells what is in a directory; with `deeper`, what is in it is to be listed, too.
    fn level(&mut self, dir: Fd, deeper: bool) -> Result<Level, Failure> {
        let at = dir.raw();
        let (read, dir) = if deeper {
            let again = sys::openat(at, c".", OPEN_DIR, 0).map_err(|e| self.fail(b"", e))?;
            (again, Some(dir))
        } else {
            (dir, None)
        };
        let mut names = Vec::new();
        let start = self.path.len();
        each_entry(read, |name| {
            // An entry that has gone in between is no entry.
            let Ok((stat, target)) = info_at(at, name) else { return Ok(true) };
            self.enter(name.to_bytes());
            let told = self.tell(&stat, &target);
            self.path.truncate(start);
            told?;
            if deeper && stat.is_dir() {
                names.push(name.to_owned());
            }
            Ok(true)
        })?;
        Ok(Level { dir, names, path: start })
    }

    fn tell(&mut self, stat: &FileStat, target: &[u8]) -> Result<(), Failure> {
        if self.path.len() > 4096 {
            return Err(Failure::new(code::INVALID, "a path in the directory is longer than 4096 bytes"));
        }
        self.record.clear();
        stat.info(&self.path, target).encode(&mut self.record);
        put_record(&mut self.out, &self.record);
        self.entries += 1;
        if self.out.len() >= BUFFER {
            self.flush()?;
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<(), Failure> {
        sys::write_all(self.output, &self.out).map_err(|e| failure(b"cannot send the list", e))?;
        self.out.clear();
        Ok(())
    }
}
