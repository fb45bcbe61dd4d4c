//! The directories of a watch: which ones the kernel is asked to tell of, and where they are.

use std::ffi::CString;

use crate::errors::failed_at;
use crate::files::entries::each_typed_entry;
use crate::files::info::FileStat;
use crate::files::inotify::Inotify;
use crate::files::temporary::place_of;
use crate::files::watched::Watched;
use crate::sys::{self, Errno};
use crate::wire::messages::{code, Failure};

/// Directories of one watch. The kernel's own limits (fs.inotify) may be lower.
const MAX_DIRECTORIES: usize = 8192;

const OPEN_DIR: i32 = libc::O_RDONLY | libc::O_DIRECTORY | libc::O_NOFOLLOW;

/// An entry that a scan found.
pub struct Found<'a> {
    /// the directory that it is in
    pub number: i32,
    pub name: &'a [u8],
    /// relative to the root; none if nobody could be told of it
    pub path: Option<Vec<u8>>,
    pub directory: bool,
}

/// Gets what a scan finds.
type Tell<'t> = dyn FnMut(Found) -> Result<(), Failure> + 't;

/// A directory and, if that is wanted, all below it.
pub struct Tree<'a> {
    /// the root as it was asked for
    shown: &'a [u8],
    root: CString,
    recursive: bool,
    device: u64,
    /// the root's number
    pub top: i32,
    pub inotify: Inotify,
    pub watched: Watched,
}

impl<'a> Tree<'a> {
    /// Watches the root and, if that is wanted, what is below.
    pub fn begin(shown: &'a [u8], root: CString, recursive: bool) -> Result<Tree<'a>, Failure> {
        let fail = || failed_at("cannot watch", shown);
        let inotify = Inotify::new().map_err(fail())?;
        let device = FileStat::of(libc::AT_FDCWD, &root, true).map_err(fail())?.identity().0;
        let mut tree = Tree { shown, root, recursive, device, top: 0, inotify, watched: Watched::default() };
        tree.top = tree.inotify.add(&tree.root, 0).map_err(|e| tree.refused(e))?;
        tree.watched.put(tree.top, tree.top, b"");
        tree.scan(tree.top, None)?;
        Ok(tree)
    }

    /// The same with a new queue: what is known of it may be wrong.
    pub fn begin_anew(&self) -> Result<Tree<'a>, Failure> {
        Tree::begin(self.shown, self.root.clone(), self.recursive)
    }

    fn refused(&self, errno: Errno) -> Failure {
        match errno {
            // The kernel's word for it is "no space".
            Errno(libc::ENOSPC) => {
                Failure::new(code::LIMIT, "no more watches for this user (fs.inotify.max_user_watches)")
            }
            errno => failed_at("cannot watch", self.shown)(errno),
        }
    }

    /// The absolute path of a watched directory.
    fn absolute(&self, number: i32, name: &[u8]) -> Option<CString> {
        let path = [self.root.to_bytes(), b"/", &self.watched.path(number, name)?].concat();
        CString::new(path).ok()
    }

    /// Watches all directories below one that is watched, if that is wanted. What has gone meanwhile, what may not be read and other
    /// file systems are left out. `tell` gets everything that is there.
    fn scan(&mut self, number: i32, mut tell: Option<&mut Tell>) -> Result<(), Failure> {
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
                if is_dir || tell.is_some() && place_of(name.to_bytes()).is_none() {
                    found.push((name.to_owned(), is_dir));
                }
                Ok(true)
            })?;
            for (name, directory) in found {
                let name = name.to_bytes();
                if let Some(tell) = &mut tell {
                    tell(Found { number, name, path: self.watched.path(number, name), directory })?;
                }
                if directory {
                    todo.extend(self.enter(number, name)?);
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
        match self.inotify.add(&path, libc::IN_DONT_FOLLOW) {
            Ok(number) if number == self.top => Ok(None),
            Ok(number) => Ok(self.watched.put(number, parent, name).then_some(number)),
            Err(errno @ Errno(libc::ENOSPC | libc::ENOMEM)) => Err(self.refused(errno)),
            Err(_) => Ok(None),
        }
    }

    /// A directory appeared: what is in it already has no events of its own, and is told.
    pub fn appeared(&mut self, parent: i32, name: &[u8], tell: &mut Tell) -> Result<(), Failure> {
        if !self.recursive {
            return Ok(());
        }
        match self.enter(parent, name)? {
            Some(number) => self.scan(number, Some(tell)),
            None => Ok(()),
        }
    }

    /// A directory has gone.
    pub fn removed(&mut self, parent: i32, name: &[u8]) {
        if let Some(gone) = self.watched.child(parent, name) {
            self.watched.remove(gone);
        }
    }

    /// A directory has another place, and whatever was there has gone.
    pub fn renamed(&mut self, from: (i32, &[u8]), to: (i32, &[u8])) {
        self.removed(to.0, to.1);
        if let Some(number) = self.watched.child(from.0, from.1) {
            self.watched.put(number, to.0, to.1);
        }
    }

    /// A directory has gone where nobody looks, with all that are below it.
    pub fn left(&mut self, parent: i32, name: &[u8]) {
        let Some(gone) = self.watched.child(parent, name) else { return };
        for number in self.watched.subtree(gone) {
            self.watched.remove(number);
            self.inotify.remove(number);
        }
    }
}
