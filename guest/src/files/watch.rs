//! `file_watch`: what happens at a path, told by inotify(7), as records on channel 1.
//!
//! Every directory has a watch of its own; a file is watched through the directory that holds it, so that it may be replaced.
//! Whoever reads too slowly makes the kernel's queue overflow: that is an event too, and nothing grows.

use std::ffi::{CStr, CString};

use crate::errors::{failed_at, failure};
use crate::files::abort::aborted;
use crate::files::channels::Channels;
use crate::files::info::FileStat;
use crate::files::inotify::{next_event, Event};
use crate::files::news::News;
use crate::files::paths::{directory_of, follow};
use crate::files::temporary::{place_of, Place};
use crate::files::watch_tree::{Found, Tree};
use crate::sys::Errno;
use crate::wire::messages::{code, Change, Failure, FileRequest, Outcome};

/// The two halves of a rename come one right after the other, almost always in one read: in ms.
const RENAME_MS: i32 = 20;
/// Entries that a scan has told and whose own events may still come; beyond, an entry may be told twice.
const MAX_TOLD: usize = 8192;

pub fn watch(request: &FileRequest, path: &CStr, channels: &Channels) -> Result<Outcome, Failure> {
    let mut watch = Watch::new(request, path, channels.output())?;
    channels.opened(&[]);
    let result = watch.run();
    let flushed = watch.news.flush();
    match result.and(flushed.map(|()| Outcome::default())) {
        // Nobody listens any more.
        Err(Failure { errno: libc::EPIPE, .. }) => Ok(Outcome::default()),
        other => other,
    }
}

/// The first half of a rename.
struct Moved {
    cookie: u32,
    from: i32,
    name: Vec<u8>,
    directory: bool,
}

impl Moved {
    fn of(event: &Event) -> Moved {
        let directory = event.is(libc::IN_ISDIR);
        Moved { cookie: event.cookie, from: event.number, name: event.name.to_vec(), directory }
    }

    /// Of a file that was written aside: the place that it is to take.
    fn place(&self) -> Option<Place> {
        place_of(&self.name).filter(|_| !self.directory)
    }
}

struct Watch<'a> {
    tree: Tree<'a>,
    /// of a watched file: its name in the root
    only: Option<Vec<u8>>,
    moved: Option<Moved>,
    /// entries that a scan has told: their own events, if the watch was there before them, are left out when they come
    told: Vec<(i32, Vec<u8>)>,
    news: News,
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
        let tree = Tree::begin(request.path, root, request.recursive && only.is_none())?;
        Ok(Watch { tree, only, moved: None, told: Vec::new(), news: News::new(output) })
    }

    fn was_told(&mut self, number: i32, name: &[u8]) -> bool {
        let found = self.told.iter().position(|(n, told)| *n == number && told == name);
        found.map(|at| self.told.swap_remove(at)).is_some()
    }

    fn run(&mut self) -> Result<Outcome, Failure> {
        let mut events = Vec::new();
        loop {
            self.news.flush()?;
            match self.wait() {
                Wake::Events => {}
                Wake::Quiet => {
                    self.settle_move()?;
                    continue;
                }
                Wake::Over => return Ok(Outcome::default()),
            }
            if !self.tree.inotify.read(&mut events).map_err(|e| failure(b"cannot read events", e))? {
                continue;
            }
            self.news.begin_batch();
            let mut rest = events.as_slice();
            while let Some((event, used)) = next_event(rest) {
                rest = &rest[used..];
                match self.take(&event)? {
                    Next::Event => {}
                    Next::Anew => break,
                    Next::End => {
                        self.news.flush()?;
                        return Ok(Outcome::default());
                    }
                }
            }
            if self.tree.inotify.is_read() {
                self.told.clear();
            }
        }
    }

    /// Waits for events, for the end of whoever reads, or (in the middle of a rename) a moment.
    fn wait(&self) -> Wake {
        let mut fds = [
            libc::pollfd { fd: self.tree.inotify.raw(), events: libc::POLLIN, revents: 0 },
            libc::pollfd { fd: self.news.output(), events: 0, revents: 0 },
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
        if event.number == self.tree.top && event.is(libc::IN_DELETE_SELF | libc::IN_MOVE_SELF | libc::IN_UNMOUNT) {
            // A file's own removal was told before that of its directory.
            if self.only.is_none() || !event.is(libc::IN_DELETE_SELF) {
                self.news.put(Change::Removed, b"", b"", self.only.is_none());
            }
            return Ok(Next::End);
        }
        if event.is(libc::IN_IGNORED) {
            self.tree.watched.remove(event.number);
            return Ok(Next::Event);
        }
        if event.name.is_empty() {
            // Of a directory itself: those below the top are told through the one above.
            if event.number == self.tree.top && event.is(libc::IN_ATTRIB) && self.only.is_none() {
                self.news.put(Change::Changed, b"", b"", true);
            }
            return Ok(Next::Event);
        }
        let directory = event.is(libc::IN_ISDIR);
        if !directory && place_of(event.name).is_some() {
            // Half of a file, and nobody's yet: only what it becomes is told.
            if event.is(libc::IN_MOVED_FROM) {
                self.moved = Some(Moved::of(event));
            }
            return Ok(Next::Event);
        }
        if self.only.as_deref().is_some_and(|only| only != event.name) {
            return Ok(Next::Event);
        }
        let (number, name) = (event.number, event.name);
        if event.is(libc::IN_CREATE) {
            if !self.was_told(number, name) {
                self.tell(Change::Created, number, name, directory)?;
            }
            self.appeared(number, name, directory)?;
        } else if event.is(libc::IN_DELETE) {
            self.was_told(number, name);
            self.tell(Change::Removed, number, name, directory)?;
            if directory {
                self.tree.removed(number, name);
            }
        } else if event.is(libc::IN_MOVED_FROM) {
            self.was_told(number, name);
            self.moved = Some(Moved::of(event));
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

    /// A directory appeared: what is in it already is told, if that is wanted.
    fn appeared(&mut self, parent: i32, name: &[u8], directory: bool) -> Result<(), Failure> {
        if !directory {
            return Ok(());
        }
        let Watch { tree, told, news, .. } = self;
        tree.appeared(parent, name, &mut |Found { number, name, path, directory }| {
            if told.len() < MAX_TOLD {
                told.push((number, name.to_vec()));
            }
            news.tell(Change::Created, path, directory)
        })
    }

    /// The second half of a rename has come.
    fn renamed(&mut self, event: &Event) -> Result<Next, Failure> {
        let Some(moved) = self.moved.take() else { return Ok(Next::Event) };
        let to_temporary = !moved.directory && place_of(event.name).is_some();
        if let Some(place) = moved.place() {
            if !to_temporary {
                self.written(place, event)?;
            }
            return Ok(Next::Event);
        }
        if to_temporary {
            self.tell(Change::Removed, moved.from, &moved.name, false)?;
            return Ok(Next::Event);
        }
        if let Some(only) = &self.only {
            let change = match (moved.name == *only, event.name == only.as_slice()) {
                (false, true) => Change::Created,
                (true, _) => Change::Removed,
                (false, false) => return Ok(Next::Event),
            };
            self.news.put(change, b"", b"", false);
            return Ok(Next::Event);
        }
        let from = self.tree.watched.path(moved.from, &moved.name);
        let to = self.tree.watched.path(event.number, event.name);
        if moved.directory {
            self.tree.renamed((moved.from, &moved.name), (event.number, event.name));
        }
        match (from, to) {
            (Some(from), Some(to)) => self.news.put(Change::Renamed, &to, &from, moved.directory),
            (Some(from), None) => self.news.put(Change::Removed, &from, b"", moved.directory),
            (None, Some(to)) => self.news.put(Change::Created, &to, b"", moved.directory),
            (None, None) => {}
        }
        // It may never have been watched: it was gone again when its making was told.
        self.appeared(event.number, event.name, moved.directory)?;
        Ok(Next::Event)
    }

    /// A file that was written aside has got its own name.
    fn written(&mut self, place: Place, event: &Event) -> Result<(), Failure> {
        if self.only.as_deref().is_some_and(|only| only != event.name) {
            return Ok(());
        }
        let told = self.was_told(event.number, event.name);
        match place {
            Place::New if told => Ok(()),
            Place::New => self.tell(Change::Created, event.number, event.name, false),
            Place::Taken => self.tell(Change::Changed, event.number, event.name, false),
        }
    }

    /// The second half of a rename did not come: it went where nobody looks.
    fn settle_move(&mut self) -> Result<(), Failure> {
        let Some(moved) = self.moved.take() else { return Ok(()) };
        if moved.place().is_some() {
            return Ok(());
        }
        if self.only.as_deref().is_some_and(|only| only != moved.name) {
            return Ok(());
        }
        self.tell(Change::Removed, moved.from, &moved.name, moved.directory)?;
        if moved.directory {
            self.tree.left(moved.from, &moved.name);
        }
        Ok(())
    }

    /// Events were lost, so what is known of the tree may be wrong: it is looked at again, then that is told.
    fn start_anew(&mut self) -> Result<Next, Failure> {
        self.moved = None;
        self.told.clear();
        let found = self.tree.begin_anew();
        self.news.put(Change::Overflow, b"", b"", false);
        match found {
            Ok(tree) => {
                self.tree = tree;
                Ok(Next::Anew)
            }
            Err(failure) if failure.code == code::NOT_FOUND => {
                self.news.put(Change::Removed, b"", b"", self.only.is_none());
                Ok(Next::End)
            }
            Err(failure) => Err(failure),
        }
    }

    /// Tells what happened to an entry.
    fn tell(&mut self, change: Change, number: i32, name: &[u8], directory: bool) -> Result<(), Failure> {
        let path = if self.only.is_some() { Some(Vec::new()) } else { self.tree.watched.path(number, name) };
        self.news.tell(change, path, directory)
    }
}

/// Why the wait is over.
enum Wake {
    Events,
    Quiet,
    Over,
}
