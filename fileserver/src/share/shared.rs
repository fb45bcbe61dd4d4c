//! A shared directory (or one file of it), and how its nodes are reached: from the descriptor that was passed to us, by one name after the
//! other, each looked at before it is believed.

use std::ffi::{CStr, CString};
use std::rc::Rc;

use crate::share::budget::Budget;
use crate::share::handles::Handles;
use crate::share::nodes::{Id, Identity, Nodes};
use crate::share::owners::Owners;
use crate::sys::{files, Errno, Fd, Res};
use crate::wire::fuse::ROOT;

/// The deepest directory that is reached.
const MAX_DEPTH: usize = 2048;
/// How many descriptors of directories a share keeps.
const KEPT: usize = 128;

/// How it is shared.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Terms {
    /// nothing may be changed
    pub read_only: bool,
    /// the guest keeps nothing in its caches
    pub strict: bool,
}

/// One shared directory, or one file.
pub struct Shared {
    top: Rc<Fd>,
    /// the name of the one file that is shared
    file: Option<CString>,
    pub terms: Terms,
    pub owners: Owners,
    pub nodes: Nodes,
    pub handles: Handles,
}

/// Where a file is: an open directory, and a name in it.
pub struct Place {
    pub dir: Rc<Fd>,
    pub name: Rc<CStr>,
}

impl Shared {
    /// Shares what `top` is a descriptor of, or only the file of that name in it.
    pub fn new(top: Fd, file: Option<CString>, terms: Terms, nodes: &Rc<Budget>, handles: &Rc<Budget>) -> Res<Shared> {
        let found = files::stat(top.raw())?;
        if found.kind() != libc::S_IFDIR {
            return Err(Errno(libc::ENOTDIR));
        }
        let top = Rc::new(top);
        let (root, root_fd) = match &file {
            None => (found, Some(top.clone())),
            Some(name) => {
                let root = files::stat_at(top.raw(), name)?;
                if root.kind() != libc::S_IFREG {
                    return Err(Errno(libc::EINVAL));
                }
                (root, None)
            }
        };
        Ok(Shared {
            nodes: Nodes::new(&root, root_fd, nodes, KEPT)?,
            handles: Handles::new(handles),
            owners: Owners::default(),
            top,
            file,
            terms,
        })
    }

    /// A descriptor of the directory that was passed.
    pub fn top(&self) -> &Rc<Fd> {
        &self.top
    }

    /// The name of the one file, if it is one.
    pub fn file(&self) -> Option<&CStr> {
        self.file.as_deref()
    }

    /// A descriptor of a node that is a directory.
    pub fn dir(&mut self, id: Id) -> Res<Rc<Fd>> {
        if let Some(fd) = self.nodes.kept(id)? {
            return Ok(fd);
        }
        // Up to one whose descriptor is kept, and down again.
        let mut path = vec![id];
        let mut fd = loop {
            let last = path[path.len() - 1];
            let (parent, _) = self.nodes.get(last)?.names().next().ok_or(Errno(libc::ESTALE))?;
            let parent = *parent;
            if let Some(fd) = self.nodes.kept(parent)? {
                break fd;
            }
            if path.len() > MAX_DEPTH {
                return Err(Errno(libc::ESTALE));
            }
            path.push(parent);
        };
        while let Some(id) = path.pop() {
            let node = self.nodes.get(id)?;
            let (_, name) = node.names().next().ok_or(Errno(libc::ESTALE))?;
            let opened = files::open_beneath(fd.raw(), name, libc::O_PATH | libc::O_DIRECTORY, 0).map_err(gone)?;
            if Identity::of(&files::stat(opened.raw())?) != node.identity {
                return Err(Errno(libc::ESTALE));
            }
            fd = Rc::new(opened);
            self.nodes.keep(id, &fd);
        }
        Ok(fd)
    }

    /// Where a node is, as far as is known; its latest place first.
    pub fn places(&mut self, id: Id) -> Res<Vec<Place>> {
        if id == ROOT {
            let name = self.file.as_deref().ok_or(Errno(libc::EISDIR))?;
            return Ok(vec![Place { dir: self.top.clone(), name: name.into() }]);
        }
        let names: Vec<(Id, Rc<CStr>)> = self.nodes.get(id)?.names().cloned().collect();
        Ok(names.into_iter().filter_map(|(parent, name)| Some(Place { dir: self.dir(parent).ok()?, name })).collect())
    }

    /// Whether what is at a place is the node. The one file that is shared is whatever has its name.
    fn is_it(&mut self, id: Id, found: &files::Stat) -> bool {
        let identity = Identity::of(found);
        let Ok(node) = self.nodes.get(id) else { return false };
        if node.identity == identity {
            return true;
        }
        if id == ROOT && self.file.is_some() && found.kind() == libc::S_IFREG {
            self.nodes.identify(id, identity);
            return true;
        }
        false
    }

    /// What a node is at this moment. ESTALE: it is not where it was.
    pub fn stat(&mut self, id: Id) -> Res<files::Stat> {
        if let Some(fd) = self.nodes.get(id)?.directory.as_ref().and_then(|directory| directory.fd.clone()) {
            return files::stat(fd.raw());
        }
        for place in self.places(id)? {
            match files::stat_at(place.dir.raw(), &place.name) {
                Ok(found) if self.is_it(id, &found) => return Ok(found),
                _ => {}
            }
        }
        let handle = self.a_handle(id).ok_or(Errno(libc::ESTALE))?;
        files::stat(self.handles.get(handle)?.fd.raw())
    }

    /// A handle of a node that is open.
    pub fn a_handle(&mut self, id: Id) -> Option<u64> {
        let node = self.nodes.get(id).ok()?;
        if let Some(handle) = node.open() {
            return Some(handle);
        }
        if node.open_count() == 0 {
            return None;
        }
        let handle = self.handles.of_node(id)?;
        self.nodes.get_mut(id).ok()?.found_open(handle);
        Some(handle)
    }

    /// Opens a node: only what is really it, and a file or directory where the flags would have an effect on something else.
    pub fn open(&mut self, id: Id, flags: i32) -> Res<(Fd, files::Stat)> {
        let mut failed = Errno(libc::ESTALE);
        // Opening a fifo would wait, and opening a device do something.
        let flags = flags | libc::O_NONBLOCK;
        if id == ROOT && self.file.is_none() {
            let fd = files::open_beneath(self.top.raw(), c".", flags, 0)?;
            let found = files::stat(fd.raw())?;
            return Ok((fd, found));
        }
        for place in self.places(id)? {
            if flags & libc::O_PATH == 0 {
                let before = files::stat_at(place.dir.raw(), &place.name).map_err(gone)?;
                if !self.is_it(id, &before) || !matches!(before.kind(), libc::S_IFREG | libc::S_IFDIR) {
                    continue;
                }
            }
            match files::open_beneath(place.dir.raw(), &place.name, flags & !libc::O_TRUNC, 0) {
                Ok(fd) => {
                    let mut found = files::stat(fd.raw())?;
                    if self.is_it(id, &found) {
                        if flags & libc::O_TRUNC != 0 {
                            files::truncate(fd.raw(), 0)?;
                            found = files::stat(fd.raw())?;
                        }
                        return Ok((fd, found));
                    }
                }
                Err(error) => failed = gone(error),
            }
        }
        Err(failed)
    }

    /// A node's path from the root, which has the empty one; None: it is not known to be anywhere.
    pub fn path(&self, id: Id) -> Option<Vec<u8>> {
        let mut parts: Vec<Rc<CStr>> = Vec::new();
        let mut at = id;
        while at != ROOT {
            let (parent, name) = self.nodes.get(at).ok()?.names().next()?;
            parts.push(name.clone());
            at = *parent;
            if parts.len() > MAX_DEPTH {
                return None;
            }
        }
        let parts: Vec<&[u8]> = parts.iter().rev().map(|name| name.to_bytes()).collect();
        Some(parts.join(&b'/'))
    }

    /// The file's type where that says that it can have content.
    pub fn is_file(&self, id: Id) -> Res<bool> {
        Ok(self.nodes.get(id)?.identity.is_file())
    }
}

/// What had a name has it no more: the kernel looks again.
fn gone(error: Errno) -> Errno {
    match error.0 {
        libc::ENOENT | libc::ENOTDIR | libc::ELOOP => Errno(libc::ESTALE),
        _ => error,
    }
}
