//! `tree_write`: records from channel 0 become files below one directory, and nowhere else.

use std::ffi::{CStr, CString};

use crate::errors::{failed_at, failure};
use crate::files::abort::aborted;
use crate::files::channels::Channels;
use crate::files::info::FileStat;
use crate::files::paths::{make_parents, rename_at};
use crate::files::temporary::{make_temporary, put_name, Place};
use crate::files::times::{set_mtime, times};
use crate::sys::{self, check, Errno, Fd, Res};
use crate::wire::messages::file_kind::{DIRECTORY, FILE, HARD_LINK, SYMLINK};
use crate::wire::messages::{code, Failure, FileInfo, FileRequest, Outcome};
use crate::wire::tree::{next, Attribute, Broken, Order, Record};

/// One read of the input.
const READ: usize = 65_536;
/// Bytes kept to set the directories' modes and times at the end.
const MAX_DIRECTORIES: usize = 64 << 20;

/// A file whose content is arriving.
struct Open {
    fd: Fd,
    /// the directory that holds it
    dir: i32,
    temporary: CString,
    name: CString,
    path: Vec<u8>,
    mode: u32,
    mtime: (u64, u32),
    owner: (u32, u32),
    attributes: Vec<(Vec<u8>, Vec<u8>)>,
    /// what it replaces
    existing: Option<FileStat>,
}

/// A directory whose mode and time are set when nothing more is put into it.
struct Finished {
    path: Vec<u8>,
    mode: u32,
    mtime: (u64, u32),
}

struct Receiver<'a> {
    root: CString,
    keep_owner: bool,
    /// the open directories from the root down to where the last entry went
    levels: Vec<(Vec<u8>, Fd)>,
    open: Option<Open>,
    finished: Vec<Finished>,
    finished_bytes: usize,
    entries: u64,
    bytes: u64,
    shown: &'a [u8],
}

fn broken(rule: Broken) -> Failure {
    Failure::new(code::INVALID, [b"the tree is malformed: ", rule.0.as_bytes()].concat())
}

pub fn write(request: &FileRequest, path: &CStr, channels: &Channels) -> Result<Outcome, Failure> {
    let mut receiver = Receiver {
        root: path.to_owned(),
        keep_owner: request.keep_owner,
        levels: Vec::new(),
        open: None,
        finished: Vec::new(),
        finished_bytes: 0,
        entries: 0,
        bytes: 0,
        shown: request.path,
    };
    channels.opened(&[]);
    let result = receiver.receive(channels);
    if let Some(open) = receiver.open.take() {
        // SAFETY: the name is NUL-terminated; half a file is no file.
        unsafe { libc::unlinkat(open.dir, open.temporary.as_ptr(), 0) };
    }
    result?;
    receiver.finish_directories()?;
    Ok(Outcome { entries: receiver.entries, bytes: receiver.bytes, ..Outcome::default() })
}

/// Runs `change` on an error number the C way.
fn did(result: libc::c_int) -> Res<()> {
    check(result).map(|_| ())
}

/// Those that the file system has no room for by its kind are left away.
fn set_attributes(file: &Fd, attributes: &[Attribute]) -> Res<()> {
    for (name, value) in attributes {
        let name = CString::new(*name).map_err(|_| Errno(libc::EINVAL))?;
        // SAFETY: the name is NUL-terminated, the value valid for its length.
        let set = did(unsafe { libc::fsetxattr(file.raw(), name.as_ptr(), value.as_ptr().cast(), value.len(), 0) });
        if set.is_err_and(|e| e.0 != libc::EOPNOTSUPP) {
            return set;
        }
    }
    Ok(())
}

impl Receiver<'_> {
    fn receive(&mut self, channels: &Channels) -> Result<(), Failure> {
        let mut order = Order::default();
        let mut buf = Vec::new();
        loop {
            let n =
                sys::read_append(channels.input(), &mut buf, READ).map_err(|e| failure(b"cannot read the tree", e))?;
            if aborted() {
                return Err(Failure::new(code::CANCELLED, "the request was cancelled"));
            }
            if n == 0 {
                break;
            }
            let mut done = 0;
            while let Some((record, used)) = next(&buf[done..]).map_err(broken)? {
                order.take(&record).map_err(broken)?;
                self.take(&record)?;
                done += used;
            }
            buf.drain(..done);
        }
        if !buf.is_empty() {
            return Err(broken(Broken("the stream ends inside a record")));
        }
        order.end().map_err(broken)
    }

    fn take(&mut self, record: &Record) -> Result<(), Failure> {
        match record {
            Record::Entry(info, attributes) => {
                self.entries += 1;
                self.entry(info, attributes)
            }
            Record::Data(data) => {
                let Some(open) = &self.open else { return Ok(()) };
                self.bytes += data.len() as u64;
                sys::write_all(open.fd.raw(), data).map_err(failed_at("cannot write", &open.path))
            }
            Record::End => self.end_file(),
        }
    }

    fn entry(&mut self, info: &FileInfo, attributes: &[Attribute]) -> Result<(), Failure> {
        // They are the owner's, as the rest that is kept with it.
        let attributes = if self.keep_owner { attributes } else { &[] };
        if info.path.is_empty() && info.kind == DIRECTORY {
            return self.begin_root(info);
        }
        let at = info.path.iter().rposition(|&b| b == b'/');
        let (parent, name) = match at {
            _ if info.path.is_empty() => self.parent_of_root()?,
            Some(at) => (self.directory(&info.path[..at])?, &info.path[at + 1..]),
            None => (self.directory(b"")?, info.path),
        };
        let name = CString::new(name).map_err(|_| broken(Broken("a name holds a NUL byte")))?;
        match info.kind {
            DIRECTORY => self.make_directory(parent, &name, info, attributes),
            SYMLINK => self.make_symlink(parent, &name, info),
            FILE => self.begin_file(parent, name, info, attributes),
            HARD_LINK => self.make_hard_link(parent, &name, info),
            _ => Err(broken(Broken("an entry is no file, directory or symlink"))),
        }
    }

    fn begin_root(&mut self, info: &FileInfo) -> Result<(), Failure> {
        let fail = || failed_at("cannot make the directory", self.shown);
        make_parents(&self.root, true).map_err(fail())?;
        // The path is the host's own word: a symlink in it is followed.
        let dir = sys::open(&self.root, libc::O_RDONLY | libc::O_DIRECTORY).map_err(fail())?;
        self.note_directory(&dir, info)?;
        self.levels = vec![(Vec::new(), dir)];
        Ok(())
    }

    /// The directory above the request's path, where a tree that is one file goes.
    fn parent_of_root(&mut self) -> Result<(i32, &'static [u8]), Failure> {
        let path = self.root.to_bytes().to_vec();
        let fail = || failed_at("cannot write", self.shown);
        let at = path.iter().rposition(|&b| b == b'/').unwrap_or(0);
        if at + 1 == path.len() {
            return Err(fail()(Errno(libc::EISDIR)));
        }
        let parent = CString::new(&path[..=at]).map_err(|_| fail()(Errno(libc::EINVAL)))?;
        let dir = sys::open(&parent, libc::O_RDONLY | libc::O_DIRECTORY).map_err(fail())?;
        let raw = dir.raw();
        self.levels = vec![(Vec::new(), dir)];
        // The worker lives as long as its request, and so may this name.
        Ok((raw, Vec::leak(path[at + 1..].to_vec())))
    }

    /// The open directory of a relative path. No symlink is followed: a tree must not lead itself outside.
    fn directory(&mut self, path: &[u8]) -> Result<i32, Failure> {
        let components: Vec<&[u8]> = path.split(|&b| b == b'/').filter(|part| !part.is_empty()).collect();
        let same = self.levels[1..].iter().zip(&components).take_while(|((name, _), part)| name == *part).count();
        self.levels.truncate(1 + same);
        for part in &components[same..] {
            let fail = |e| failed_at("cannot enter", path)(e);
            let name = CString::new(*part).map_err(|_| fail(Errno(libc::EINVAL)))?;
            let flags = libc::O_RDONLY | libc::O_DIRECTORY | libc::O_NOFOLLOW;
            let at = self.levels.last().map_or(-1, |(_, fd)| fd.raw());
            let fd = sys::openat(at, &name, flags, 0).map_err(fail)?;
            self.levels.push((part.to_vec(), fd));
        }
        Ok(self.levels.last().map_or(-1, |(_, fd)| fd.raw()))
    }

    fn note_directory(&mut self, dir: &Fd, info: &FileInfo) -> Result<(), Failure> {
        let fail = |e| failed_at("cannot set up the directory", info.path)(e);
        // One that is only on the way keeps its own.
        if self.keep_owner && info.mode != 0 {
            // SAFETY: plain call.
            did(unsafe { libc::fchown(dir.raw(), info.uid, info.gid) }).map_err(fail)?;
        }
        // Until its content is there, it must be possible to write to it. What is so already is no change that a watch would tell.
        let mode = info.mode | 0o700;
        if info.mode != 0 && FileStat::of_fd(dir.raw()).map_err(fail)?.mode() != mode {
            // SAFETY: plain call. Another user's directory that exists already stays as it is.
            let changed = did(unsafe { libc::fchmod(dir.raw(), mode) });
            if changed.is_err_and(|e| e.0 != libc::EPERM) {
                return changed.map_err(fail);
            }
        }
        let mtime = (info.mtime_s, info.mtime_ns);
        if info.mode == 0 && mtime == (0, 0) {
            return Ok(()); // nothing to set at the end
        }
        self.finished_bytes += info.path.len() + 64;
        if self.finished_bytes > MAX_DIRECTORIES {
            return Err(Failure::new(code::LIMIT, "the tree has too many directories"));
        }
        self.finished.push(Finished { path: info.path.to_vec(), mode: info.mode, mtime });
        Ok(())
    }

    fn make_directory(
        &mut self,
        parent: i32,
        name: &CStr,
        info: &FileInfo,
        attributes: &[Attribute],
    ) -> Result<(), Failure> {
        let fail = |e| failed_at("cannot make the directory", info.path)(e);
        // SAFETY: the name is NUL-terminated.
        match did(unsafe { libc::mkdirat(parent, name.as_ptr(), 0o755) }) {
            Ok(()) | Err(Errno(libc::EEXIST)) => {}
            Err(error) => return Err(fail(error)),
        }
        let flags = libc::O_RDONLY | libc::O_DIRECTORY | libc::O_NOFOLLOW;
        let dir = sys::openat(parent, name, flags, 0).map_err(fail)?;
        self.note_directory(&dir, info)?;
        set_attributes(&dir, attributes).map_err(fail)?;
        // Its content comes next, most likely.
        if self.levels.last().is_some_and(|(_, fd)| fd.raw() == parent) {
            self.levels.push((name.to_bytes().to_vec(), dir));
        }
        Ok(())
    }

    fn make_symlink(&mut self, parent: i32, name: &CStr, info: &FileInfo) -> Result<(), Failure> {
        let fail = |e| failed_at("cannot make the symlink", info.path)(e);
        let target = CString::new(info.target).map_err(|_| fail(Errno(libc::EINVAL)))?;
        let (times, flags) = (times(info.mtime_s, info.mtime_ns), libc::AT_SYMLINK_NOFOLLOW);
        // SAFETY: all strings are NUL-terminated, the times valid.
        let make = |name: &CStr| did(unsafe { libc::symlinkat(target.as_ptr(), parent, name.as_ptr()) });
        let finish = |name: &CStr| unsafe {
            if self.keep_owner {
                did(libc::fchownat(parent, name.as_ptr(), info.uid, info.gid, flags))?;
            }
            if info.mtime_s != 0 || info.mtime_ns != 0 {
                did(libc::utimensat(parent, name.as_ptr(), times.as_ptr(), flags))?;
            }
            Ok(())
        };
        put_name(parent, name, make, finish).map_err(fail)
    }

    /// Gives an entry that came before another name. It is found as everything here: no symlink is followed.
    fn make_hard_link(&mut self, parent: i32, name: &CStr, info: &FileInfo) -> Result<(), Failure> {
        let fail = |e| failed_at("cannot make the link", info.path)(e);
        // Going to the other directory closes this one.
        let here = sys::openat(parent, c".", libc::O_RDONLY | libc::O_DIRECTORY, 0).map_err(fail)?;
        let at = info.target.iter().rposition(|&b| b == b'/');
        let (above, last) = at.map_or((&b""[..], info.target), |at| (&info.target[..at], &info.target[at + 1..]));
        let target = CString::new(last).map_err(|_| fail(Errno(libc::EINVAL)))?;
        let there = self.directory(above)?;
        let link = |name: &CStr| {
            // SAFETY: both strings are NUL-terminated.
            did(unsafe { libc::linkat(there, target.as_ptr(), here.raw(), name.as_ptr(), 0) })
        };
        put_name(here.raw(), name, link, |_| Ok(())).map_err(fail)
    }

    fn begin_file(
        &mut self,
        parent: i32,
        name: CString,
        info: &FileInfo,
        attributes: &[Attribute],
    ) -> Result<(), Failure> {
        let existing = FileStat::of(parent, &name, false).ok();
        let place = if existing.is_some() { Place::Taken } else { Place::New };
        let (fd, temporary) = make_temporary(parent, b"", place).map_err(failed_at("cannot write", info.path))?;
        self.open = Some(Open {
            fd,
            dir: parent,
            temporary,
            name,
            path: info.path.to_vec(),
            mode: info.mode,
            mtime: (info.mtime_s, info.mtime_ns),
            owner: (info.uid, info.gid),
            attributes: attributes.iter().map(|(name, value)| (name.to_vec(), value.to_vec())).collect(),
            existing,
        });
        Ok(())
    }

    fn end_file(&mut self) -> Result<(), Failure> {
        let Some(open) = &self.open else { return Ok(()) };
        let fail = |e| failed_at("cannot write", &open.path)(e);
        // SAFETY: plain calls.
        unsafe {
            if self.keep_owner {
                did(libc::fchown(open.fd.raw(), open.owner.0, open.owner.1)).map_err(fail)?;
            }
            let replaced = open.existing.as_ref().filter(|stat| stat.kind() == FILE);
            if open.mode != 0 {
                did(libc::fchmod(open.fd.raw(), open.mode)).map_err(fail)?;
            } else if let Some(stat) = replaced {
                // Only root can give files away; another user's file becomes the writer's.
                libc::fchown(open.fd.raw(), stat.owner().0, stat.owner().1);
                did(libc::fchmod(open.fd.raw(), stat.mode())).map_err(fail)?;
            }
        }
        // A change of the owner takes capabilities away: they come after it.
        let attributes: Vec<Attribute> = open.attributes.iter().map(|(name, value)| (&name[..], &value[..])).collect();
        set_attributes(&open.fd, &attributes).map_err(fail)?;
        if open.mtime != (0, 0) {
            set_mtime(open.fd.raw(), open.mtime.0, open.mtime.1).map_err(fail)?;
        }
        rename_at(open.dir, &open.temporary, &open.name, true).map_err(fail)?;
        self.open = None;
        Ok(())
    }

    /// Modes and times of the directories, the deepest first: setting them changes nothing above.
    fn finish_directories(&mut self) -> Result<(), Failure> {
        let mut finished = std::mem::take(&mut self.finished);
        finished.sort_by(|a, b| b.path.cmp(&a.path));
        for directory in finished {
            let fail = |e| failed_at("cannot set up the directory", &directory.path)(e);
            let fd = self.directory(&directory.path)?;
            if directory.mode != 0 && directory.mode & 0o700 != 0o700 {
                // SAFETY: plain call.
                did(unsafe { libc::fchmod(fd, directory.mode) }).map_err(fail)?;
            }
            if directory.mtime != (0, 0) {
                match set_mtime(fd, directory.mtime.0, directory.mtime.1) {
                    // Another user's directory that existed already.
                    Ok(()) | Err(Errno(libc::EPERM)) => {}
                    Err(error) => return Err(fail(error)),
                }
            }
        }
        Ok(())
    }
}
