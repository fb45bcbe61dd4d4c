//! `file_watch`: what happens at a path, told by inotify(7), as records on channel 1.
//!
//! Every directory has a watch of its own; a file is watched through the directory that holds it, so that it may be replaced.
//! Whoever reads too slowly makes the kernel's queue overflow: that is an event too, and nothing grows.

use std::ffi::{CStr, CString};

use crate::errors::{failed_at, failure};
use crate::files::abort::aborted;
use crate::files::channels::{Channels, BUFFER};
use crate::files::entries::each_typed_entry;
use crate::files::info::FileStat;
use crate::files::paths::{directory_of, follow};
use crate::files::watched::Watched;
use crate::sys::{self, check, Errno, Fd, Res};
use crate::wire::messages::{code, put_record, Change, Failure, FileEvent, FileRequest, Outcome};

/// Directories of one watch. The kernel's own limits (fs.inotify) may be lower.
const MAX_DIRECTORIES: usize = 8192;
/// One read of events.
const READ: usize = 65_536;
/// The two halves of a rename come one right after the other, almost always in one read: in ms.
const RENAME_MS: i32 = 20;
/// Entries that a scan has told and whose own events may still come; beyond, an entry may be told twice.
const MAX_TOLD: usize = 8192;

const MASK: u32 = libc::IN_CREATE
    | libc::IN_DELETE
    | libc::IN_MODIFY
    | libc::IN_ATTRIB
    | libc::IN_MOVED_FROM
    | libc::IN_MOVED_TO
    | libc::IN_DELETE_SELF
    | libc::IN_MOVE_SELF
    | libc::IN_EXCL_UNLINK
    | libc::IN_ONLYDIR;

const OPEN_DIR: i32 = libc::O_RDONLY | libc::O_DIRECTORY | libc::O_NOFOLLOW;

pub fn watch(request: &FileRequest, path: &CStr, channels: &Channels) -> Result<Outcome, Failure> {
    let mut watch = Watch::new(request, path, channels.output())?;
    channels.opened(&[]);
    let result = watch.run();
    let flushed = watch.flush();
    match result.and(flushed.map(|()| Outcome::default())) {
        // Nobody listens any more.
        Err(Failure { errno: libc::EPIPE, .. }) => Ok(Outcome::default()),
        other => other,
    }
}

/// One event of the kernel.
struct Event<'a> {
    number: i32,
    mask: u32,
    cookie: u32,
    name: &'a [u8],
}

impl Event<'_> {
    fn is(&self, mask: u32) -> bool {
        self.mask & mask != 0
    }
}

/// The first event of a buffer, and its length.
fn next_event(buf: &[u8]) -> Option<(Event<'_>, usize)> {
    let word = |at: usize| buf.get(at..at + 4).map(|b| u32::from_ne_bytes([b[0], b[1], b[2], b[3]]));
    let len = word(12)? as usize;
    let name = buf.get(16..16 + len)?;
    let end = name.iter().position(|&b| b == 0).unwrap_or(len);
    let event = Event { number: word(0)? as i32, mask: word(4)?, cookie: word(8)?, name: &name[..end] };
    Some((event, 16 + len))
}

/// The first half of a rename.
struct Moved {
    cookie: u32,
    from: i32,
    name: Vec<u8>,
    directory: bool,
}

struct Watch<'a> {
    request: &'a FileRequest<'a>,
    recursive: bool,
    /// the watched directory
    root: CString,
    /// of a watched file: its name there
    only: Option<Vec<u8>>,
    device: u64,
    inotify: Fd,
    watched: Watched,
    top: i32,
    moved: Option<Moved>,
    told: Vec<(i32, Vec<u8>)>,
    output: i32,
    out: Vec<u8>,
    /// the path of the last event of this batch, if that was a change
    changed: Option<Vec<u8>>,
}

/// What goes on after an event.
#[derive(PartialEq, Eq)]
enum Next {
    Event,
    /// the queue overflowed: everything was set up anew, and what else was read means nothing
    Anew,
    /// the watched directory has gone
    End,
}

impl<'a> Watch<'a> {
    fn new(request: &'a FileRequest<'a>, path: &CStr, output: i32) -> Result<Watch<'a>, Failure> {
        let fail = || failed_at("cannot watch", request.path);
        let stat = FileStat::of(libc::AT_FDCWD, path, true).map_err(fail())?;
        let target = follow(path).map_err(fail())?;
        let (root, only) = if stat.is_dir() {
            (target, None)
        } else {
            let above = directory_of(target.to_bytes());
            let name = target.to_bytes()[above.len()..].to_vec();
            (CString::new(above).map_err(|_| fail()(Errno(libc::EINVAL)))?, Some(name))
        };
        let mut watch = Watch {
            request,
            recursive: request.recursive && only.is_none(),
            root,
            only,
            device: 0,
            inotify: inotify().map_err(fail())?,
            watched: Watched::default(),
            top: 0,
            moved: None,
            told: Vec::new(),
            output,
            out: Vec::new(),
            changed: None,
        };
        watch.begin()?;
        Ok(watch)
    }

    /// Watches the root and, if that is wanted, what is below.
    fn begin(&mut self) -> Result<(), Failure> {
        let fail = || failed_at("cannot watch", self.request.path);
        self.device = FileStat::of(libc::AT_FDCWD, &self.root, true).map_err(fail())?.identity().0;
        self.top = self.add(&self.root, 0).map_err(|e| self.refused(e))?;
        self.watched.put(self.top, self.top, b"");
        self.scan(self.top, false)
    }

    fn add(&self, path: &CStr, flags: u32) -> Res<i32> {
        // SAFETY: the path is NUL-terminated.
        check(unsafe { libc::inotify_add_watch(self.inotify.raw(), path.as_ptr(), MASK | flags) })
    }

    fn refused(&self, errno: Errno) -> Failure {
        match errno {
            // The kernel's word for it is "no space".
            Errno(libc::ENOSPC) => {
                Failure::new(code::LIMIT, "no more watches for this user (fs.inotify.max_user_watches)")
            }
            errno => failed_at("cannot watch", self.request.path)(errno),
        }
    }

    /// The absolute path of a watched directory.
    fn absolute(&self, number: i32, name: &[u8]) -> Option<CString> {
        let path = [self.root.to_bytes(), b"/", &self.watched.path(number, name)?].concat();
        CString::new(path).ok()
    }

    /// Watches all directories below one that is watched, if that is wanted. What has gone meanwhile, what may not be read and other
    /// file systems are left out. With `tell`, everything that is there is told.
    fn scan(&mut self, number: i32, tell: bool) -> Result<(), Failure> {
        if !self.recursive {
            return Ok(());
        }
        // A list: a guest's nesting must not reach our stack.
        let mut todo = vec![number];
        while let Some(number) = todo.pop() {
            let Some(path) = self.absolute(number, b"") else { continue };
            let flags = if number == self.top { OPEN_DIR & !libc::O_NOFOLLOW } else { OPEN_DIR };
            let Ok(dir) = sys::open(&path, flags) else { continue };
            let at = dir.raw();
            let mut found: Vec<(CString, bool)> = Vec::new();
            each_typed_entry(dir, |name, kind| {
                let unknown = kind == libc::DT_UNKNOWN;
                let is_dir =
                    kind == libc::DT_DIR || unknown && FileStat::of(at, name, false).is_ok_and(|stat| stat.is_dir());
                if is_dir || tell {
                    found.push((name.to_owned(), is_dir));
                }
                Ok(true)
            })?;
            for (name, is_dir) in found {
                if tell {
                    self.tell_found(number, name.to_bytes(), is_dir)?;
                }
                if is_dir {
                    todo.extend(self.enter(number, name.to_bytes())?);
                }
            }
        }
        Ok(())
    }

    /// Watches one directory more; its number if it is new.
    fn enter(&mut self, parent: i32, name: &[u8]) -> Result<Option<i32>, Failure> {
        let Some(path) = self.absolute(parent, name) else { return Ok(None) };
        let Ok(stat) = FileStat::of(libc::AT_FDCWD, &path, false) else { return Ok(None) };
        if !stat.is_dir() || stat.identity().0 != self.device {
            return Ok(None);
        }
        if self.watched.len() >= MAX_DIRECTORIES {
            return Err(Failure::new(code::LIMIT, "there are more than 8192 directories to watch"));
        }
        match self.add(&path, libc::IN_DONT_FOLLOW) {
            Ok(number) if number == self.top => Ok(None),
            Ok(number) => Ok(self.watched.put(number, parent, name).then_some(number)),
            Err(errno @ Errno(libc::ENOSPC | libc::ENOMEM)) => Err(self.refused(errno)),
            Err(_) => Ok(None),
        }
    }

    /// Tells an entry that a scan found. Its own event, if the watch was there before it, is left out when it comes.
    fn tell_found(&mut self, number: i32, name: &[u8], directory: bool) -> Result<(), Failure> {
        if self.told.len() < MAX_TOLD {
            self.told.push((number, name.to_vec()));
        }
        self.tell(Change::Created, number, name, directory)
    }

    fn was_told(&mut self, number: i32, name: &[u8]) -> bool {
        let found = self.told.iter().position(|(n, told)| *n == number && told == name);
        found.map(|at| self.told.swap_remove(at)).is_some()
    }

    fn run(&mut self) -> Result<Outcome, Failure> {
        let mut events = Vec::new();
        loop {
            self.flush()?;
            match self.wait() {
                Wake::Events => {}
                Wake::Quiet => {
                    self.settle_move()?;
                    continue;
                }
                Wake::Over => return Ok(Outcome::default()),
            }
            events.clear();
            match sys::read_append(self.inotify.raw(), &mut events, READ) {
                Err(errno) if errno.would_block() => continue,
                other => other.map_err(|e| failure(b"cannot read events", e))?,
            };
            self.changed = None;
            let mut rest = events.as_slice();
            while let Some((event, used)) = next_event(rest) {
                rest = &rest[used..];
                match self.take(&event)? {
                    Next::Event => {}
                    Next::Anew => break,
                    Next::End => {
                        self.flush()?;
                        return Ok(Outcome::default());
                    }
                }
            }
            if sys::unread(self.inotify.raw()) == 0 {
                self.told.clear();
            }
        }
    }

    /// Waits for events, for the end of whoever reads, or (in the middle of a rename) a moment.
    fn wait(&self) -> Wake {
        let mut fds = [
            libc::pollfd { fd: self.inotify.raw(), events: libc::POLLIN, revents: 0 },
            libc::pollfd { fd: self.output, events: 0, revents: 0 },
        ];
        let timeout = if self.moved.is_some() { RENAME_MS } else { -1 };
        // SAFETY: the array holds two entries.
        let ready = unsafe { libc::poll(fds.as_mut_ptr(), 2, timeout) };
        if aborted() || fds[1].revents != 0 {
            Wake::Over
        } else if ready == 0 {
            Wake::Quiet
        } else {
            Wake::Events // after an interruption the read finds nothing
        }
    }

    fn take(&mut self, event: &Event) -> Result<Next, Failure> {
        if event.is(libc::IN_Q_OVERFLOW) {
            return self.start_anew();
        }
        if let Some(moved) = &self.moved {
            if event.is(libc::IN_MOVED_TO) && event.cookie == moved.cookie {
                return self.renamed(event);
            }
            self.settle_move()?;
        }
        if event.number == self.top && event.is(libc::IN_DELETE_SELF | libc::IN_MOVE_SELF | libc::IN_UNMOUNT) {
            // A file's own removal was told before that of its directory.
            if self.only.is_none() || !event.is(libc::IN_DELETE_SELF) {
                self.put(Change::Removed, b"", b"", self.only.is_none());
            }
            return Ok(Next::End);
        }
        if event.is(libc::IN_IGNORED) {
            self.watched.remove(event.number);
            return Ok(Next::Event);
        }
        if event.name.is_empty() {
            // Of a directory itself: those below the top are told through the one above.
            if event.number == self.top && event.is(libc::IN_ATTRIB) && self.only.is_none() {
                self.put(Change::Changed, b"", b"", true);
            }
            return Ok(Next::Event);
        }
        if self.only.as_deref().is_some_and(|only| only != event.name) {
            return Ok(Next::Event);
        }
        let directory = event.is(libc::IN_ISDIR);
        let (number, name) = (event.number, event.name);
        if event.is(libc::IN_CREATE) {
            if !self.was_told(number, name) {
                self.tell(Change::Created, number, name, directory)?;
            }
            self.appeared(number, name, directory)?;
        } else if event.is(libc::IN_DELETE) {
            self.was_told(number, name);
            self.tell(Change::Removed, number, name, directory)?;
            if let (true, Some(gone)) = (directory, self.watched.child(number, name)) {
                self.watched.remove(gone);
            }
        } else if event.is(libc::IN_MOVED_FROM) {
            self.was_told(number, name);
            self.moved = Some(Moved { cookie: event.cookie, from: number, name: name.to_vec(), directory });
        } else if event.is(libc::IN_MOVED_TO) {
            // From where nobody looks.
            if !self.was_told(number, name) {
                self.tell(Change::Created, number, name, directory)?;
            }
            self.appeared(number, name, directory)?;
        } else if event.is(libc::IN_MODIFY | libc::IN_ATTRIB) {
            self.tell(Change::Changed, number, name, directory)?;
        }
        Ok(Next::Event)
    }

    /// A directory appeared: what is in it already has no events of its own.
    fn appeared(&mut self, parent: i32, name: &[u8], directory: bool) -> Result<(), Failure> {
        if !directory || !self.recursive {
            return Ok(());
        }
        match self.enter(parent, name)? {
            Some(number) => self.scan(number, true),
            None => Ok(()),
        }
    }

    /// The second half of a rename has come.
    fn renamed(&mut self, event: &Event) -> Result<Next, Failure> {
        let Some(moved) = self.moved.take() else { return Ok(Next::Event) };
        if let Some(only) = &self.only {
            let change = match (moved.name == *only, event.name == only.as_slice()) {
                (false, true) => Change::Created,
                (true, _) => Change::Removed,
                (false, false) => return Ok(Next::Event),
            };
            self.put(change, b"", b"", false);
            return Ok(Next::Event);
        }
        let from = self.watched.path(moved.from, &moved.name);
        let to = self.watched.path(event.number, event.name);
        if moved.directory {
            if let Some(replaced) = self.watched.child(event.number, event.name) {
                self.watched.remove(replaced);
            }
            if let Some(number) = self.watched.child(moved.from, &moved.name) {
                self.watched.put(number, event.number, event.name);
            }
        }
        match (from, to) {
            (Some(from), Some(to)) => self.put(Change::Renamed, &to, &from, moved.directory),
            (Some(from), None) => self.put(Change::Removed, &from, b"", moved.directory),
            (None, Some(to)) => self.put(Change::Created, &to, b"", moved.directory),
            (None, None) => {}
        }
        // It may never have been watched: it was gone again when its making was told.
        self.appeared(event.number, event.name, moved.directory)?;
        Ok(Next::Event)
    }

    /// The second half of a rename did not come: it went where nobody looks.
    fn settle_move(&mut self) -> Result<(), Failure> {
        let Some(moved) = self.moved.take() else { return Ok(()) };
        if self.only.as_deref().is_some_and(|only| only != moved.name) {
            return Ok(());
        }
        self.tell(Change::Removed, moved.from, &moved.name, moved.directory)?;
        if let (true, Some(gone)) = (moved.directory, self.watched.child(moved.from, &moved.name)) {
            for number in self.watched.subtree(gone) {
                self.watched.remove(number);
                // SAFETY: plain call; one that has gone by itself is no harm.
                unsafe { libc::inotify_rm_watch(self.inotify.raw(), number) };
            }
        }
        Ok(())
    }

    /// Events were lost, so what is known of the tree may be wrong: it is looked at again, then that is told.
    fn start_anew(&mut self) -> Result<Next, Failure> {
        self.moved = None;
        self.told.clear();
        self.watched = Watched::default();
        self.inotify = inotify().map_err(failed_at("cannot watch", self.request.path))?;
        let found = self.begin();
        self.put(Change::Overflow, b"", b"", false);
        match found {
            Ok(()) => Ok(Next::Anew),
            Err(failure) if failure.code == code::NOT_FOUND => {
                self.put(Change::Removed, b"", b"", self.only.is_none());
                Ok(Next::End)
            }
            Err(failure) => Err(failure),
        }
    }

    /// Tells what happened to an entry. One whose path is too long is left out: nobody could be told of it.
    fn tell(&mut self, change: Change, number: i32, name: &[u8], directory: bool) -> Result<(), Failure> {
        let path = if self.only.is_some() { Some(Vec::new()) } else { self.watched.path(number, name) };
        if let Some(path) = path {
            self.put(change, &path, b"", directory);
        }
        if self.out.len() >= BUFFER {
            self.flush()?;
        }
        Ok(())
    }

    fn put(&mut self, change: Change, path: &[u8], from: &[u8], directory: bool) {
        // A command that writes much changes one file a thousand times.
        let same = change == Change::Changed && self.changed.as_deref() == Some(path);
        if same {
            return;
        }
        self.changed = (change == Change::Changed).then(|| path.to_vec());
        let mut record = Vec::new();
        FileEvent { change, path, from, directory }.encode(&mut record);
        put_record(&mut self.out, &record);
    }

    fn flush(&mut self) -> Result<(), Failure> {
        let result = sys::write_all(self.output, &self.out).map_err(|e| failure(b"cannot send events", e));
        self.out.clear();
        result
    }
}

/// Why the wait is over.
enum Wake {
    Events,
    Quiet,
    Over,
}

fn inotify() -> Res<Fd> {
    // SAFETY: plain call.
    check(unsafe { libc::inotify_init1(libc::IN_CLOEXEC | libc::IN_NONBLOCK) }).map(Fd::own)
}
