//! The files that the guest's kernel knows, by numbers that are never used again: what each is (identity), how it is reached (directory
//! and name), how often the kernel was told of it. Pure, but for the descriptors that directories keep.

use std::collections::HashMap;
use std::ffi::CStr;
use std::rc::Rc;

use crate::share::budget::{Budget, Share};
use crate::share::table::Table;
use crate::sys::files::{Stat, Time};
use crate::sys::{Errno, Fd, Res};
use crate::wire::fuse::ROOT;

/// A node's number, as the guest has it.
pub type Id = u64;

/// The device of nodes without a file.
const NO_DEVICE: u64 = u64::MAX;
/// The most names that a node is known by; another takes the place of the oldest.
const MAX_NAMES: usize = 8;
/// The most names of a directory, and of all, that are known not to be there.
const MAX_ABSENT: usize = 4096;
const MAX_ALL_ABSENT: usize = 200_000;
/// The most handles of a node that are found by it.
const MAX_OPENS: usize = 8;

/// What tells a file from others, also from one that gets its inode after it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct Identity {
    dev: u64,
    ino: u64,
    kind: u32,
    born: (i64, u32),
}

impl Identity {
    pub fn of(stat: &Stat) -> Identity {
        Identity { dev: stat.dev, ino: stat.ino, kind: stat.kind(), born: (stat.born.s, stat.born.ns) }
    }
    pub fn ino(&self) -> u64 {
        self.ino
    }
    pub fn kind(&self) -> u32 {
        self.kind
    }
    pub fn is_file(&self) -> bool {
        self.kind == libc::S_IFREG
    }
    /// There is, or was, a file that it is of.
    pub fn is_real(&self) -> bool {
        self.dev != NO_DEVICE
    }
    /// As numbers: device, inode, type, and when it was made.
    pub fn parts(&self) -> [u64; 5] {
        [self.dev, self.ino, self.kind.into(), self.born.0 as u64, self.born.1.into()]
    }
    /// What has these numbers; None: nothing can.
    pub fn from_parts([dev, ino, kind, s, ns]: [u64; 5]) -> Option<Identity> {
        let it = Identity { dev, ino, kind: kind.try_into().ok()?, born: (s as i64, ns.try_into().ok()?) };
        it.is_real().then_some(it)
    }
}

/// What the guest was told last of a file, as far as it says whether the file has changed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Told {
    pub size: u64,
    pub mtime: Time,
    pub ctime: Time,
    pub mode: u32,
    pub owner: (u32, u32),
}

impl Told {
    /// The same but for the time of its last change of any kind, which also another name of it, or one less, changes.
    pub fn looks_like(&self, other: &Told) -> bool {
        Told { ctime: other.ctime, ..*self } == *other
    }
    pub fn of(stat: &Stat) -> Told {
        Told { size: stat.size, mtime: stat.mtime, ctime: stat.ctime, mode: stat.mode, owner: (stat.uid, stat.gid) }
    }
}

/// What a directory has beside.
#[derive(Default, Debug)]
pub struct Directory {
    /// its entries that are nodes
    pub children: HashMap<Rc<CStr>, Id>,
    /// a descriptor of it, kept for a while
    pub fd: Option<Rc<Fd>>,
    /// it was used since the last look for one to close
    recent: bool,
    /// the inotify watch on it
    pub watch: Option<i32>,
    /// names that the kernel was told not to be there
    pub absent: HashMap<Rc<CStr>, Share>,
    /// how often the kernel has asked for a name of it that it was not told of
    pub asked: u32,
}

/// One file.
#[derive(Debug)]
pub struct Node {
    pub identity: Identity,
    /// how many times the kernel was told of it, less what it forgot
    lookups: u64,
    /// directory and name, the latest last
    names: Vec<(Id, Rc<CStr>)>,
    /// the right to each name but the first
    more_names: Vec<Share>,
    pub directory: Option<Box<Directory>>,
    pub told: Option<Told>,
    /// some of its handles
    opens: Vec<u64>,
    open_count: usize,
    /// how many of them are for reading and writing
    mappable: usize,
    _share: Share,
}

impl Node {
    /// Where it is: the latest first.
    pub fn names(&self) -> impl DoubleEndedIterator<Item = &(Id, Rc<CStr>)> {
        self.names.iter().rev()
    }
    /// How many times the kernel was told of it, less what it forgot.
    pub fn lookups(&self) -> u64 {
        self.lookups
    }
    /// A handle of it.
    pub fn open(&self) -> Option<u64> {
        self.opens.last().copied()
    }
    pub fn open_count(&self) -> usize {
        self.open_count
    }
    /// Whether somebody in the guest may have it mapped to write: what is in the mapping is not in the file before the guest's kernel says so. Who closes
    /// it is told of only when it is mapped no longer.
    pub fn may_be_mapped(&self) -> bool {
        self.mappable > 0
    }
    pub fn opened(&mut self, handle: u64, access: i32) {
        self.open_count += 1;
        self.mappable += usize::from(access == libc::O_RDWR);
        if self.opens.len() < MAX_OPENS {
            self.opens.push(handle);
        }
    }
    pub fn closed(&mut self, handle: u64, access: i32) {
        self.open_count = self.open_count.saturating_sub(1);
        self.mappable = self.mappable.saturating_sub(usize::from(access == libc::O_RDWR));
        self.opens.retain(|open| *open != handle);
    }
    /// An open handle, found by other means.
    pub fn found_open(&mut self, handle: u64) {
        if self.opens.len() < MAX_OPENS && !self.opens.contains(&handle) {
            self.opens.push(handle);
        }
    }
}

/// All of a mount.
#[derive(Debug)]
pub struct Nodes {
    /// a slot is kept for good, and its node is many times as large
    table: Table<Box<Node>>,
    by_identity: HashMap<Identity, Id>,
    /// directories whose descriptors are kept, and where the next look for one to close begins
    kept: Vec<Id>,
    hand: usize,
    max_kept: usize,
    /// names that are known not to be there, in all directories
    absent: usize,
    phantoms: u64,
    budget: Rc<Budget>,
}

impl Nodes {
    /// With the root, which is node 1. At most `max_kept` descriptors of directories are kept.
    pub fn new(root: &Stat, root_fd: Option<Rc<Fd>>, budget: &Rc<Budget>, max_kept: usize) -> Res<Nodes> {
        let mut nodes = Nodes {
            table: Table::default(),
            by_identity: HashMap::new(),
            kept: Vec::new(),
            hand: 0,
            max_kept,
            absent: 0,
            phantoms: 0,
            budget: budget.clone(),
        };
        let id = nodes.add(Identity::of(root))?;
        debug_assert_eq!(id, ROOT);
        if let Some(directory) = nodes.get_mut(id)?.directory.as_mut() {
            directory.fd = root_fd;
        }
        Ok(nodes)
    }

    fn fresh(&self, identity: Identity) -> Res<Node> {
        let share = self.budget.take().ok_or(Errno(libc::ENFILE))?;
        let directory = (identity.kind == libc::S_IFDIR).then(Box::default);
        Ok(Node {
            identity,
            lookups: 0,
            names: Vec::new(),
            more_names: Vec::new(),
            directory,
            told: None,
            opens: Vec::new(),
            open_count: 0,
            mappable: 0,
            _share: share,
        })
    }

    fn add(&mut self, identity: Identity) -> Res<Id> {
        let node = self.fresh(identity)?;
        let id = self.table.add(Box::new(node));
        self.by_identity.insert(identity, id);
        Ok(id)
    }

    /// The node of that number; ESTALE where there is none.
    pub fn get(&self, id: Id) -> Res<&Node> {
        self.table.get(id).map(Box::as_ref).ok_or(Errno(libc::ESTALE))
    }
    pub fn get_mut(&mut self, id: Id) -> Res<&mut Node> {
        self.table.get_mut(id).map(Box::as_mut).ok_or(Errno(libc::ESTALE))
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.table.count()
    }

    /// The node of a file, if it is one.
    pub fn find(&self, identity: &Identity) -> Option<Id> {
        self.by_identity.get(identity).copied()
    }

    /// What is known to have that name.
    pub fn child(&self, parent: Id, name: &CStr) -> Option<Id> {
        self.get(parent).ok()?.directory.as_ref()?.children.get(name).copied()
    }

    /// The kernel is told of the file that has this name: the node, which counts that.
    pub fn tell(&mut self, parent: Id, name: &CStr, identity: Identity) -> Res<Id> {
        let id = match self.find(&identity) {
            Some(id) => id,
            None => self.add(identity)?,
        };
        if id == ROOT {
            // It is beneath itself: somebody has mounted it there.
            return Err(Errno(libc::ELOOP));
        }
        self.get_mut(id)?.lookups += 1;
        self.name(parent, name, id);
        Ok(id)
    }

    /// A node has this name from now on, and nothing else has it.
    pub fn name(&mut self, parent: Id, name: &CStr, id: Id) {
        match self.child(parent, name) {
            Some(known) if known == id => return,
            Some(_) => drop(self.unname(parent, name)),
            None => {}
        }
        let budget = self.budget.clone();
        let Ok(node) = self.get_mut(id) else { return };
        // A directory has one name, and nothing needs more than some.
        let most = if node.directory.is_some() { 1 } else { MAX_NAMES };
        let share = if node.names.is_empty() { None } else { budget.take() };
        if node.names.len() >= most || (!node.names.is_empty() && share.is_none()) {
            let (old_parent, old_name) = node.names[0].clone();
            self.unname(old_parent, &old_name);
        }
        let shared: Rc<CStr> = name.into();
        let Some(directory) = self.get_mut(parent).ok().and_then(|parent| parent.directory.as_mut()) else { return };
        directory.children.insert(shared.clone(), id);
        if directory.absent.remove(name).is_some() {
            self.absent -= 1;
        }
        if let Ok(node) = self.get_mut(id) {
            node.names.push((parent, shared));
            node.more_names.extend(share);
            node.more_names.truncate(node.names.len() - 1);
        }
    }

    /// The kernel may be told that nothing has this name, and believe it, if we can tell it of the contrary later.
    pub fn absent(&mut self, parent: Id, name: &CStr) -> bool {
        let (all, budget) = (self.absent, self.budget.clone());
        let Some(directory) = self.get_mut(parent).ok().and_then(|node| node.directory.as_mut()) else { return false };
        if directory.absent.contains_key(name) {
            return true;
        }
        if directory.absent.len() >= MAX_ABSENT || all >= MAX_ALL_ABSENT {
            return false;
        }
        let Some(share) = budget.take() else { return false };
        directory.absent.insert(name.into(), share);
        self.absent += 1;
        true
    }

    /// Something has this name now.
    pub fn present(&mut self, parent: Id, name: &CStr) {
        if let Some(directory) = self.get_mut(parent).ok().and_then(|node| node.directory.as_mut()) {
            if directory.absent.remove(name).is_some() {
                self.absent -= 1;
            }
        }
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = (Id, &Node)> {
        self.table.iter().map(|(id, node)| (id, node.as_ref()))
    }

    /// A node by the number that it had with an earlier server. Afterwards: `settle`.
    pub fn add_again(&mut self, id: Id, identity: Identity, lookups: u64) -> Res<()> {
        let node = Node { lookups, ..self.fresh(identity)? };
        self.table.add_again(id, self.budget.max(), Box::new(node)).ok_or(Errno(libc::EINVAL))?;
        self.by_identity.insert(identity, id);
        Ok(())
    }

    /// What the kernel was told of a node by an earlier server.
    pub fn known_again(&mut self, id: Id, told: Option<Told>) {
        if let Ok(node) = self.get_mut(id) {
            node.told = told;
        }
    }

    /// The highest generation of a number so far.
    pub fn last_generation(&self) -> u32 {
        self.table.last_generation()
    }

    /// All of an earlier server's are there: what is new gets numbers that none of them had. `last`: the highest generation of those.
    pub fn settle(&mut self, last: u32) {
        self.table.settle(last);
    }

    /// All numbers.
    pub fn ids(&self) -> Vec<Id> {
        self.table.iter().map(|(id, _)| id).collect()
    }

    /// A node without a file, told of once: what the guest makes of a name while it does again what was done on the host.
    pub fn phantom(&mut self, kind: u32) -> Res<Id> {
        self.phantoms += 1;
        let id = self.add(Identity { dev: NO_DEVICE, ino: self.phantoms, kind, born: (0, 0) })?;
        self.get_mut(id)?.lookups = 1;
        Ok(id)
    }

    /// The kind of a node without a file; None for all others.
    pub fn phantom_kind(&self, id: Id) -> Option<u32> {
        self.get(id).ok().map(|node| node.identity).filter(|it| it.dev == NO_DEVICE).map(|it| it.kind)
    }

    /// The kernel is told of a node once more.
    pub fn told_again(&mut self, id: Id) {
        if let Ok(node) = self.get_mut(id) {
            node.lookups += 1;
        }
    }

    /// Nothing has that name any more. Returns what had it.
    pub fn unname(&mut self, parent: Id, name: &CStr) -> Option<Id> {
        let id = self.get_mut(parent).ok()?.directory.as_mut()?.children.remove(name)?;
        if let Ok(node) = self.get_mut(id) {
            node.names.retain(|(at, known)| *at != parent || **known != *name);
            node.more_names.truncate(node.names.len().saturating_sub(1));
        }
        Some(id)
    }

    /// The file of a node is another one from now on: of the root where that is one file, by its name.
    pub fn identify(&mut self, id: Id, identity: Identity) {
        let Ok(node) = self.get_mut(id) else { return };
        let old = std::mem::replace(&mut node.identity, identity);
        if self.by_identity.get(&old) == Some(&id) {
            self.by_identity.remove(&old);
        }
        self.by_identity.insert(identity, id);
    }

    /// The file is gone for good, so that another may get its inode: it is not found any more, though the kernel may still name it.
    pub fn lost(&mut self, id: Id) {
        let Ok(node) = self.get(id) else { return };
        let identity = node.identity;
        if self.by_identity.get(&identity) == Some(&id) {
            self.by_identity.remove(&identity);
        }
    }

    /// The kernel forgets it that many times. Returns the watch on it that is to be removed.
    pub fn forget(&mut self, id: Id, times: u64) -> Option<i32> {
        let node = self.get_mut(id).ok()?;
        node.lookups = node.lookups.saturating_sub(times);
        if node.lookups > 0 || id == ROOT {
            return None;
        }
        self.remove(id)
    }

    fn remove(&mut self, id: Id) -> Option<i32> {
        self.lost(id);
        let node = self.table.remove(id)?;
        for (parent, name) in &node.names {
            if let Some(directory) = self.get_mut(*parent).ok().and_then(|parent| parent.directory.as_mut()) {
                if directory.children.get(name) == Some(&id) {
                    directory.children.remove(name);
                }
            }
        }
        let directory = node.directory?;
        self.absent -= directory.absent.len();
        directory.watch
    }

    /// The descriptor of a directory, if one is kept.
    pub fn kept(&mut self, id: Id) -> Res<Option<Rc<Fd>>> {
        let directory = self.get_mut(id)?.directory.as_mut().ok_or(Errno(libc::ENOTDIR))?;
        directory.recent = true;
        Ok(directory.fd.clone())
    }

    /// Keeps a directory's descriptor, and closes another one where there are too many.
    pub fn keep(&mut self, id: Id, fd: &Rc<Fd>) {
        while self.kept.len() >= self.max_kept {
            self.hand = if self.hand < self.kept.len() { self.hand } else { 0 };
            let old = self.kept[self.hand];
            match self.get_mut(old).ok().and_then(|node| node.directory.as_mut()) {
                Some(directory) if directory.recent && directory.fd.is_some() => {
                    directory.recent = false;
                    self.hand += 1;
                }
                Some(directory) => {
                    directory.fd = None;
                    self.kept.swap_remove(self.hand);
                }
                None => drop(self.kept.swap_remove(self.hand)),
            }
        }
        if let Some(directory) = self.get_mut(id).ok().and_then(|node| node.directory.as_mut()) {
            directory.fd = Some(fd.clone());
            directory.recent = false;
            self.kept.push(id);
        }
    }

    /// A directory, and what is known beneath it, is no longer where it was: its descriptors are closed.
    pub fn let_go(&mut self, id: Id) {
        let mut rest = vec![id];
        while let Some(id) = rest.pop() {
            let Some(directory) = self.get_mut(id).ok().and_then(|node| node.directory.as_mut()) else { continue };
            if id != ROOT {
                directory.fd = None;
            }
            rest.extend(directory.children.values().copied());
            if rest.len() > self.count() {
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stat(ino: u64, kind: u32) -> Stat {
        Stat { ino, mode: kind, ..Stat::default() }
    }
    fn nodes(max: usize) -> Nodes {
        Nodes::new(&stat(1, libc::S_IFDIR), None, &Budget::new(max), 4).unwrap()
    }

    #[test]
    fn numbers_are_never_used_again() {
        let mut nodes = nodes(100);
        let file = Identity::of(&stat(2, libc::S_IFREG));
        let first = nodes.tell(ROOT, c"a", file).unwrap();
        assert_eq!(nodes.tell(ROOT, c"a", file), Ok(first));
        nodes.forget(first, 1);
        assert!(nodes.get(first).is_ok());
        nodes.forget(first, u64::MAX);
        assert!(nodes.get(first).is_err());
        let second = nodes.tell(ROOT, c"a", file).unwrap();
        assert_ne!(first, second);
        assert!(nodes.get(first).is_err());
        assert_eq!(nodes.child(ROOT, c"a"), Some(second));
        for wrong in [0, u64::MAX, 1 << 32, 1 << 32 | 1, 77] {
            assert!(nodes.get(wrong).is_err(), "{wrong}");
            assert_eq!(nodes.forget(wrong, 1), None);
        }
        nodes.forget(ROOT, u64::MAX);
        assert!(nodes.get(ROOT).is_ok());
    }

    #[test]
    fn hard_links_are_one_node_with_several_names() {
        let mut nodes = nodes(100);
        let file = Identity::of(&stat(2, libc::S_IFREG));
        let id = nodes.tell(ROOT, c"a", file).unwrap();
        assert_eq!(nodes.tell(ROOT, c"b", file), Ok(id));
        assert_eq!(nodes.unname(ROOT, c"b"), Some(id));
        let names: Vec<_> = nodes.get(id).unwrap().names().map(|(_, name)| name.to_bytes().to_vec()).collect();
        assert_eq!(names, [b"a"]);
        for i in 0..50 {
            let name = std::ffi::CString::new(format!("n{i}")).unwrap();
            nodes.tell(ROOT, &name, file).unwrap();
        }
        assert_eq!(nodes.get(id).unwrap().names().count(), MAX_NAMES);
        assert_eq!(nodes.get(ROOT).unwrap().directory.as_ref().unwrap().children.len(), MAX_NAMES);
    }

    #[test]
    fn another_file_of_that_name_is_another_node() {
        let mut nodes = nodes(100);
        let one = nodes.tell(ROOT, c"a", Identity::of(&stat(2, libc::S_IFREG))).unwrap();
        let two = nodes.tell(ROOT, c"a", Identity::of(&stat(2, libc::S_IFLNK))).unwrap();
        assert_ne!(one, two);
        assert_eq!(nodes.child(ROOT, c"a"), Some(two));
        assert_eq!(nodes.get(one).unwrap().names().count(), 0);
    }

    #[test]
    fn are_bounded_together() {
        let mut nodes = nodes(3);
        let a = nodes.tell(ROOT, c"a", Identity::of(&stat(2, libc::S_IFREG))).unwrap();
        nodes.tell(ROOT, c"b", Identity::of(&stat(3, libc::S_IFREG))).unwrap();
        let third = Identity::of(&stat(4, libc::S_IFREG));
        assert_eq!(nodes.tell(ROOT, c"c", third), Err(Errno(libc::ENFILE)));
        nodes.forget(a, 1);
        assert!(nodes.tell(ROOT, c"c", third).is_ok());
        assert_eq!(nodes.count(), 3);
    }

    #[test]
    fn few_descriptors_are_kept() {
        let mut nodes = nodes(100);
        let fd = Rc::new(Fd::own(-1));
        for ino in 2..50 {
            let name = std::ffi::CString::new(format!("d{ino}")).unwrap();
            let id = nodes.tell(ROOT, &name, Identity::of(&stat(ino, libc::S_IFDIR))).unwrap();
            nodes.keep(id, &fd);
            assert!(nodes.kept(id).unwrap().is_some());
        }
        assert_eq!(Rc::strong_count(&fd), 1 + 4);
        let children: Vec<Id> =
            nodes.get(ROOT).unwrap().directory.as_ref().unwrap().children.values().copied().collect();
        for id in children {
            nodes.forget(id, 1);
        }
        assert_eq!(Rc::strong_count(&fd), 1);
    }
}
