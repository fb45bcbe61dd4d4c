//! inotify: one instance for a share, a watch for each directory of which the guest knows something.

use std::collections::HashMap;

use crate::share::nodes::Id;
use crate::sys::{append, check, Errno, Fd, Res};

/// What is heard of a directory and what is in it.
const MASK: u32 = libc::IN_CREATE
    | libc::IN_DELETE
    | libc::IN_MODIFY
    | libc::IN_ATTRIB
    | libc::IN_MOVED_FROM
    | libc::IN_MOVED_TO
    | libc::IN_ONLYDIR
    | libc::IN_EXCL_UNLINK;
/// The most of a share: other programs of this user need some, too.
const MAX_WATCHES: usize = 65_536;
const PIECE: usize = 64 << 10;

/// The watches of a share.
pub struct Watches {
    inotify: Fd,
    nodes: HashMap<i32, Id>,
}

impl Watches {
    pub fn new() -> Res<Watches> {
        // SAFETY: plain call.
        let inotify = check(unsafe { libc::inotify_init1(libc::IN_NONBLOCK | libc::IN_CLOEXEC) }).map(Fd::own)?;
        Ok(Watches { inotify, nodes: HashMap::new() })
    }

    pub fn fd(&self) -> i32 {
        self.inotify.raw()
    }

    pub fn count(&self) -> usize {
        self.nodes.len()
    }

    /// Watches the directory behind a descriptor; ENOSPC where there are no more watches.
    pub fn add(&mut self, dir: i32, id: Id) -> Res<i32> {
        if self.nodes.len() >= MAX_WATCHES {
            return Err(Errno(libc::ENOSPC));
        }
        // A watch is for a path; this one leads nowhere but to the descriptor.
        // SAFETY: plain calls with a constant path.
        let watch = unsafe {
            check(libc::fchdir(dir))?;
            check(libc::inotify_add_watch(self.inotify.raw(), c".".as_ptr(), MASK))?
        };
        self.nodes.insert(watch, id);
        Ok(watch)
    }

    /// The watch on a node is no longer needed.
    pub fn remove(&mut self, watch: i32, id: Id) {
        if self.nodes.get(&watch) == Some(&id) {
            self.nodes.remove(&watch);
            // SAFETY: plain call.
            unsafe { libc::inotify_rm_watch(self.inotify.raw(), watch) };
        }
    }

    /// The kernel has removed it.
    pub fn gone(&mut self, watch: i32) -> Option<Id> {
        self.nodes.remove(&watch)
    }

    pub fn node(&self, watch: i32) -> Option<Id> {
        self.nodes.get(&watch).copied()
    }

    /// Reads what has happened; empty where nothing has.
    pub fn read(&self, buf: &mut Vec<u8>) {
        buf.clear();
        // SAFETY: the memory is valid for its length.
        let _ = append(buf, PIECE, |memory, length| unsafe { libc::read(self.inotify.raw(), memory, length) });
    }
}
