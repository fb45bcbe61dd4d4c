//! inotify(7): what the kernel tells of directories.

use std::ffi::CStr;

use crate::sys::{self, check, Errno, Fd, Res};

/// One read of events.
const READ: usize = 65_536;

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

/// One event of the kernel.
pub struct Event<'a> {
    /// which watch it is of
    pub number: i32,
    mask: u32,
    /// the same in the two halves of a rename
    pub cookie: u32,
    pub name: &'a [u8],
}

impl Event<'_> {
    pub fn is(&self, mask: u32) -> bool {
        self.mask & mask != 0
    }
}

/// The first event of a buffer, and its length. Pure.
pub fn next_event(buf: &[u8]) -> Option<(Event<'_>, usize)> {
    let word = |at: usize| buf.get(at..at + 4).map(|b| u32::from_ne_bytes([b[0], b[1], b[2], b[3]]));
    let len = word(12)? as usize;
    let name = buf.get(16..16 + len)?;
    let end = name.iter().position(|&b| b == 0).unwrap_or(len);
    let event = Event { number: word(0)? as i32, mask: word(4)?, cookie: word(8)?, name: &name[..end] };
    Some((event, 16 + len))
}

/// A queue of events, and the directories that they are of.
pub struct Inotify(Fd);

impl Inotify {
    pub fn new() -> Res<Inotify> {
        // SAFETY: plain call.
        let fd = check(unsafe { libc::inotify_init1(libc::IN_CLOEXEC | libc::IN_NONBLOCK) })?;
        Ok(Inotify(Fd::own(fd)))
    }

    /// Its descriptor, to wait for.
    pub fn raw(&self) -> i32 {
        self.0.raw()
    }

    /// Watches a directory; the number that its events have. One that is watched already keeps its number.
    pub fn add(&self, path: &CStr, flags: u32) -> Res<i32> {
        // SAFETY: the path is NUL-terminated.
        check(unsafe { libc::inotify_add_watch(self.0.raw(), path.as_ptr(), MASK | flags) })
    }

    /// Watches a directory no more; one that has gone by itself is no harm.
    pub fn remove(&self, number: i32) {
        // SAFETY: plain call.
        unsafe { libc::inotify_rm_watch(self.0.raw(), number) };
    }

    /// Reads events into `buf`; false if there are none.
    pub fn read(&self, buf: &mut Vec<u8>) -> Res<bool> {
        buf.clear();
        match sys::read_append(self.0.raw(), buf, READ) {
            Err(errno) if errno.would_block() => Ok(false),
            Err(Errno(libc::EINTR)) => Ok(false),
            other => other.map(|_| true),
        }
    }

    /// No event waits to be read.
    pub fn is_read(&self) -> bool {
        sys::unread(self.0.raw()) == 0
    }
}
