//! `difference`: what lies on the disk over its base, as overlayfs keeps it there, or the base itself: records on channel 1.
//!
//! Names and removals are the disk's own (`root` on it). All else is read through overlayfs, which follows what it has renamed
//! and what of a file it has not copied: a directory that was moved here is sent whole.

use std::collections::BTreeMap;
use std::ffi::{CStr, CString};

use crate::errors::{failed_at, failure};
use crate::files::channels::Channels;
use crate::files::entries::each_entry;
use crate::files::host_mount::kept_at;
use crate::files::info::{info_at, FileStat};
use crate::files::paths::checked_path;
use crate::files::records::Records;
use crate::sys::{self, Errno, Fd, Res};
use crate::wire::messages::file_kind::{CHARACTER_DEVICE, DIRECTORY, FILE, HARD_LINK, SOCKET};
use crate::wire::messages::{code, Difference, Failure, FileInfo, Outcome};
use crate::wire::tree::{put_changed, put_removed, Extra, MAX_DEPTH};

/// Root directories: of the writable disk, and of the base.
#[derive(Clone, Copy)]
pub struct Layers {
    pub upper: i32,
    pub base: i32,
}

const OPEN_DIR: i32 = libc::O_RDONLY | libc::O_DIRECTORY | libc::O_NOFOLLOW;
const OPEN_FILE: i32 = libc::O_RDONLY | libc::O_NOFOLLOW | libc::O_NONBLOCK | libc::O_NOCTTY;

/// Sends it.
pub fn send(wanted: Difference, layers: Layers, channels: &Channels) -> Result<Outcome, Failure> {
    let mut single = None;
    let (whole, changed) = if !wanted.path.is_empty() {
        let path = checked_path(wanted.path)?;
        let open = libc::O_RDONLY | libc::O_NONBLOCK | libc::O_NOCTTY;
        let mut named = sys::open(&path, open).map_err(failed_at("cannot open", wanted.path))?;
        let stat = FileStat::of_fd(named.raw()).map_err(failed_at("cannot open", wanted.path))?;
        if stat.kind() == FILE {
            let at = wanted.path.iter().rposition(|&b| b == b'/').unwrap_or(0);
            let above = checked_path(&wanted.path[..=at])?;
            let above = sys::open(&above, libc::O_RDONLY | libc::O_DIRECTORY);
            let above = above.map_err(failed_at("cannot open", wanted.path))?;
            single = Some((std::mem::replace(&mut named, above), stat, wanted.path[at + 1..].to_vec()));
        }
        (Ok(named), None)
    } else if !wanted.overlay.is_empty() {
        let (whole, changed) = of_overlay(wanted.overlay, layers)?;
        (Ok(whole), Some(changed))
    } else if wanted.base {
        (sys::openat(layers.base, c".", OPEN_DIR, 0), None)
    } else {
        let upper = sys::openat(layers.upper, c"root", OPEN_DIR, 0);
        let upper = upper.map_err(|e| failure(b"cannot open the writable disk", e))?;
        (root_without_mounts(), Some(upper))
    };
    let whole = whole.map_err(failed_at("cannot open", if wanted.path.is_empty() { b"/" } else { wanted.path }))?;
    channels.opened(&[]);
    let mut walk = Walk {
        records: Records::new(channels),
        since: (wanted.since_s, wanted.since_ns),
        path: Vec::new(),
        linked: BTreeMap::new(),
        entries: 0,
        bytes: 0,
    };
    match single {
        Some((file, stat, name)) => walk.single(&whole, &file, &stat, name)?,
        None => walk.all(whole, changed)?,
    }
    walk.records.flush()?;
    Ok(Outcome { entries: walk.entries, bytes: walk.bytes, ..Outcome::default() })
}

/// A directory of the host that is an overlay, as programs see it, and what of it is on the disk.
fn of_overlay(path: &[u8], layers: Layers) -> Result<(Fd, Fd), Failure> {
    let none = |_| {
        let message = [b"no directory of the host is an overlay at '", path, b"'"].concat();
        Failure::new(code::NOT_FOUND, message)
    };
    let upper = sys::path(&[&kept_at(path), b"/upper"]);
    let changed = sys::openat(layers.upper, &upper, OPEN_DIR, 0).map_err(none)?;
    let whole = sys::open(&checked_path(path)?, OPEN_DIR).map_err(failed_at("cannot read", path))?;
    Ok((whole, changed))
}

/// The root directory's own file system: whatever is mounted in it hides nothing of it here.
fn root_without_mounts() -> Res<Fd> {
    // OPEN_TREE_CLONE, linux/mount.h; OPEN_TREE_CLOEXEC is O_CLOEXEC
    const CLONE: libc::c_int = 1;
    // SAFETY: the path is constant; what the call returns is ours.
    unsafe {
        let flags = CLONE | libc::O_CLOEXEC;
        let fd = sys::check(libc::syscall(libc::SYS_open_tree, libc::AT_FDCWD, c"/".as_ptr(), flags) as libc::c_int)?;
        let tree = Fd::own(fd);
        // A descriptor of the mount alone cannot be read.
        sys::openat(tree.raw(), c".", OPEN_DIR, 0)
    }
}

/// A directory that is being read.
struct Level {
    /// as programs see it
    whole: Fd,
    /// what of it is on the disk; none where all of it is sent
    changed: Option<Fd>,
    /// entries still to be sent, in reverse
    names: Vec<CString>,
    /// length of the path at this level
    path: usize,
}

struct Walk<'a> {
    records: Records<'a>,
    since: (u64, u32),
    /// relative path of the current entry
    path: Vec<u8>,
    /// the first path of files that have several
    linked: BTreeMap<(u64, u64), Vec<u8>>,
    entries: u64,
    bytes: u64,
}

impl Walk<'_> {
    fn fail(&self, what: &str, errno: Errno) -> Failure {
        failed_at(what, &self.path)(errno)
    }

    fn entry(&mut self, info: &FileInfo, extra: &Extra) -> Result<(), Failure> {
        self.entries += 1;
        if !put_changed(&mut self.records.out, info, extra) {
            let what = [b"the extended attributes of '", info.path, b"' are too large"].concat();
            return Err(Failure::new(code::INVALID, what));
        }
        self.records.flush_if_full()
    }

    /// Its names in the order of their bytes: the same content is sent the same way.
    fn open_level(&self, whole: Fd, changed: Option<Fd>) -> Result<Level, Failure> {
        let from = changed.as_ref().unwrap_or(&whole).raw();
        let again = sys::openat(from, c".", OPEN_DIR, 0).map_err(|e| self.fail("cannot read", e))?;
        let mut names = Vec::new();
        each_entry(again, |name| {
            names.push(name.to_owned());
            Ok(true)
        })?;
        names.sort_unstable_by(|a, b| b.cmp(a));
        Ok(Level { whole, changed, names, path: self.path.len() })
    }

    fn all(&mut self, whole: Fd, changed: Option<Fd>) -> Result<(), Failure> {
        let stat = FileStat::of_fd(whole.raw()).map_err(|e| self.fail("cannot read", e))?;
        self.directory(&stat, &whole, false)?;
        let mut levels = vec![self.open_level(whole, changed)?];
        while let Some(level) = levels.last_mut() {
            self.path.truncate(level.path);
            let Some(name) = level.names.pop() else {
                levels.pop();
                continue;
            };
            if !self.path.is_empty() {
                self.path.push(b'/');
            }
            self.path.extend_from_slice(name.to_bytes());
            if self.path.len() > 4096 || levels.len() > MAX_DEPTH {
                let message = "the disk has directories deeper than 256, or a path longer than 4096 bytes";
                return Err(Failure::new(code::INVALID, message));
            }
            if let Some(below) = self.one(levels.last().expect("it is there"), &name)? {
                levels.push(below);
            }
        }
        Ok(())
    }

    /// Sends an entry. Returns a directory, for what is in it to follow.
    fn one(&mut self, level: &Level, name: &CStr) -> Result<Option<Level>, Failure> {
        if let Some(changed) = &level.changed {
            let stat = FileStat::of(changed.raw(), name, false).map_err(|e| self.fail("cannot read", e))?;
            if stat.kind() == CHARACTER_DEVICE && stat.device() == (0, 0) {
                put_removed(&mut self.records.out, &self.path);
                self.entries += 1;
                self.records.flush_if_full()?;
                return Ok(None);
            }
        }
        let at = level.whole.raw();
        let (stat, target) = match info_at(at, name) {
            Err(Errno(libc::ENOENT)) => return Ok(None), // gone meanwhile
            other => other.map_err(|e| self.fail("cannot read", e))?,
        };
        match stat.kind() {
            DIRECTORY => {
                let whole = sys::openat(at, name, OPEN_DIR, 0).map_err(|e| self.fail("cannot read", e))?;
                let mut changed = None;
                let mut opaque = false;
                if let Some(above) = &level.changed {
                    let own = sys::openat(above.raw(), name, OPEN_DIR, 0).map_err(|e| self.fail("cannot read", e))?;
                    let moved = has_attribute(&own, c"trusted.overlay.redirect");
                    opaque = moved || attribute(&own, c"trusted.overlay.opaque").is_ok_and(|value| value == b"y");
                    changed = if moved { None } else { Some(own) };
                }
                self.directory(&stat, &whole, opaque)?;
                return self.open_level(whole, changed).map(Some);
            }
            FILE => {
                if self.is_other_name(&stat)? {
                    return Ok(None);
                }
                if stat.ctime() <= self.since {
                    let path = std::mem::take(&mut self.path);
                    self.entry(&stat.info(&path, b""), &Extra { same: true, ..Extra::default() })?;
                    self.path = path;
                    return Ok(None);
                }
                let file = sys::openat(at, name, OPEN_FILE, 0).map_err(|e| self.fail("cannot read", e))?;
                self.file(&stat, &file)?;
            }
            SOCKET => {} // belongs to a process
            _ => {
                if self.is_other_name(&stat)? {
                    return Ok(None);
                }
                let path = std::mem::take(&mut self.path);
                self.entry(&stat.info(&path, &target), &Extra { device: stat.device(), ..Extra::default() })?;
                self.path = path;
            }
        }
        Ok(None)
    }

    fn file(&mut self, stat: &FileStat, file: &Fd) -> Result<(), Failure> {
        let attributes = attributes_of(file).map_err(|e| self.fail("cannot read the attributes of", e))?;
        let path = std::mem::take(&mut self.path);
        self.entry(&stat.info(&path, b""), &Extra { attributes: &attributes, ..Extra::default() })?;
        self.path = path;
        let sent = self.records.content(file, stat.size());
        self.bytes += sent.map_err(|e| self.fail("cannot read", e))?;
        Ok(())
    }

    /// One file alone, in the directory that it was named in.
    fn single(&mut self, above: &Fd, file: &Fd, stat: &FileStat, name: Vec<u8>) -> Result<(), Failure> {
        let of_above = FileStat::of_fd(above.raw()).map_err(|e| self.fail("cannot read", e))?;
        self.directory(&of_above, above, false)?;
        self.path = name;
        self.file(stat, file)
    }

    fn directory(&mut self, stat: &FileStat, dir: &Fd, opaque: bool) -> Result<(), Failure> {
        let attributes = attributes_of(dir).map_err(|e| self.fail("cannot read the attributes of", e))?;
        let path = std::mem::take(&mut self.path);
        self.entry(&stat.info(&path, b""), &Extra { opaque, attributes: &attributes, ..Extra::default() })?;
        self.path = path;
        Ok(())
    }

    /// Sends one more name of what was sent, if it is that.
    fn is_other_name(&mut self, stat: &FileStat) -> Result<bool, Failure> {
        if stat.links() < 2 {
            return Ok(false);
        }
        let Some(first) = self.linked.get(&stat.identity()).cloned() else {
            self.linked.insert(stat.identity(), self.path.clone());
            return Ok(false);
        };
        let path = std::mem::take(&mut self.path);
        self.entry(&FileInfo { kind: HARD_LINK, target: &first, ..stat.info(&path, b"") }, &Extra::default())?;
        self.path = path;
        Ok(true)
    }
}

fn has_attribute(file: &Fd, name: &CStr) -> bool {
    // SAFETY: no buffer is asked to be filled.
    unsafe { libc::fgetxattr(file.raw(), name.as_ptr(), std::ptr::null_mut(), 0) >= 0 }
}

fn attribute(file: &Fd, name: &CStr) -> Res<Vec<u8>> {
    let mut value = vec![0u8; 65_536];
    // SAFETY: the buffer is valid for its length.
    let n = unsafe { libc::fgetxattr(file.raw(), name.as_ptr(), value.as_mut_ptr().cast(), value.len()) };
    if n < 0 {
        return Err(Errno::last());
    }
    value.truncate(n as usize);
    Ok(value)
}

fn attributes_of(file: &Fd) -> Res<Vec<(Vec<u8>, Vec<u8>)>> {
    let mut names = vec![0u8; 65_536];
    // SAFETY: the buffer is valid for its length.
    let n = unsafe { libc::flistxattr(file.raw(), names.as_mut_ptr().cast(), names.len()) };
    if n <= 0 {
        let error = Errno::last();
        return if n == 0 || error.0 == libc::EOPNOTSUPP { Ok(Vec::new()) } else { Err(error) };
    }
    names.truncate(n as usize);
    let mut found = Vec::new();
    for name in names.split(|&b| b == 0).filter(|name| !name.is_empty()) {
        let Ok(text) = CString::new(name) else { continue };
        if let Ok(value) = attribute(file, &text) {
            found.push((name.to_vec(), value));
        }
    }
    found.sort_unstable();
    Ok(found)
}
