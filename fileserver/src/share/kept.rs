//! What the guest knows of a share, as bytes that its agent keeps over a capture: which files, by which numbers, and what it has open. Nothing in them is a
//! path of the host's, and nothing is believed: they come from a guest, which can have written them itself. What they name is looked for beneath the new
//! root, by names like all others, and an open file goes on only where it is as it was; what is not found is ESTALE.

use std::collections::HashMap;
use std::ffi::{CStr, CString};

use crate::share::names::checked;
use crate::share::nodes::{Id, Identity, Told};
use crate::share::shared::Shared;
use crate::sys::files::{Stat, Time};
use crate::sys::{files, now_s};
use crate::wire::fields::{put_varint, read_varint};
use crate::wire::fuse::ROOT;
use crate::wire::kept::MAX_KEPT;

/// The version of the bytes.
const VERSION: u64 = 1;
/// More often the kernel has been told of no file, in all its time.
const MAX_LOOKUPS: u64 = 1 << 48;

/// What was kept of a mount.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Before {
    /// what INIT agreed on
    pub agreed: u64,
    /// when it was kept, in seconds of the host's clock
    pub at_s: i64,
    /// nodes of which something was open that is stale now, each once
    pub stale: Vec<Id>,
}

/// All that the guest knows; None: it is too much.
pub fn export(shared: &Shared, agreed: u64) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    let last = (shared.nodes.last_generation(), shared.handles.last_generation());
    for value in [VERSION, agreed, now_s() as u64, last.0.into(), last.1.into()] {
        put_varint(&mut out, value);
    }
    let nodes: Vec<_> = shared.nodes.iter().filter(|(_, node)| node.identity.is_real()).collect();
    put_varint(&mut out, nodes.len() as u64);
    for (id, node) in nodes {
        put_varint(&mut out, id);
        put_varint(&mut out, node.lookups());
        node.identity.parts().into_iter().for_each(|value| put_varint(&mut out, value));
        put_told(&mut out, node.told.as_ref());
        let names: Vec<_> = node.names().rev().collect();
        put_varint(&mut out, names.len() as u64);
        for (parent, name) in names {
            put_varint(&mut out, *parent);
            put_name(&mut out, name);
        }
        let absent = node.directory.iter().flat_map(|directory| directory.absent.keys());
        put_varint(&mut out, absent.clone().count() as u64);
        absent.for_each(|name| put_name(&mut out, name));
        if out.len() > MAX_KEPT {
            return None;
        }
    }
    for (number, handle) in shared.handles.iter() {
        let Ok(stat) = files::stat(handle.fd.raw()) else { continue };
        for value in [number, handle.node, handle.access as u64] {
            put_varint(&mut out, value);
        }
        put_told(&mut out, Some(&Told::of(&stat)));
    }
    (out.len() <= MAX_KEPT).then_some(out)
}

fn put_name(out: &mut Vec<u8>, name: &CStr) {
    put_varint(out, name.to_bytes().len() as u64);
    out.extend_from_slice(name.to_bytes());
}

fn put_told(out: &mut Vec<u8>, told: Option<&Told>) {
    put_varint(out, told.is_some().into());
    let Some(Told { size, mtime, ctime, mode, owner }) = told else { return };
    for value in [*size, mtime.s as u64, mtime.ns.into(), ctime.s as u64, ctime.ns.into(), (*mode).into()] {
        put_varint(out, value);
    }
    put_varint(out, owner.0.into());
    put_varint(out, owner.1.into());
}

/// A node as it was kept.
struct Node {
    id: Id,
    lookups: u64,
    identity: Identity,
    told: Option<Told>,
    names: Vec<(Id, CString)>,
    absent: Vec<CString>,
}

/// An open file as it was kept.
struct Open {
    number: u64,
    node: Id,
    access: i32,
    was: Told,
}

/// What is left of the bytes. None at any place: they are not what `export` writes.
struct Rest<'a>(&'a [u8]);

impl Rest<'_> {
    fn number(&mut self) -> Option<u64> {
        let (value, used) = read_varint(self.0).ok()??;
        self.0 = &self.0[used..];
        Some(value)
    }
    fn small(&mut self) -> Option<u32> {
        self.number()?.try_into().ok()
    }
    fn name(&mut self) -> Option<CString> {
        let length = self.number()? as usize;
        let (bytes, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        let name = CString::new(bytes).ok()?;
        checked(&name).ok()?;
        Some(name)
    }
    fn time(&mut self) -> Option<Time> {
        Some(Time { s: self.number()? as i64, ns: self.small()? })
    }
    fn told(&mut self) -> Option<Option<Told>> {
        if self.number()? == 0 {
            return Some(None);
        }
        let (size, mtime, ctime) = (self.number()?, self.time()?, self.time()?);
        Some(Some(Told { size, mtime, ctime, mode: self.small()?, owner: (self.small()?, self.small()?) }))
    }
    fn node(&mut self) -> Option<Node> {
        let (id, lookups) = (self.number()?, self.number()?.min(MAX_LOOKUPS));
        let mut parts = [0; 5];
        for part in &mut parts {
            *part = self.number()?;
        }
        let (identity, told) = (Identity::from_parts(parts)?, self.told()?);
        let (mut names, mut absent) = (Vec::new(), Vec::new());
        for _ in 0..self.number()? {
            names.push((self.number()?, self.name()?));
        }
        for _ in 0..self.number()? {
            absent.push(self.name()?);
        }
        Some(Node { id, lookups, identity, told, names, absent })
    }
    fn open(&mut self) -> Option<Open> {
        let (number, node, access) = (self.number()?, self.number()?, self.number()?);
        let access = i32::try_from(access).ok().filter(|access| (0..=libc::O_RDWR).contains(access))?;
        Some(Open { number, node, access, was: self.told()?? })
    }
}

/// Takes in what an earlier server of the same guest has kept, into a share of which the guest has been told nothing yet. Directories are what is at their
/// paths now; files are known again where they are the same, and open ones where nothing of them has changed besides. None: the bytes are not such.
pub fn import(shared: &mut Shared, bytes: &[u8]) -> Option<Before> {
    let mut rest = Rest(bytes);
    if bytes.len() > MAX_KEPT || rest.number()? != VERSION {
        return None;
    }
    let (agreed, at_s) = (rest.number()?, rest.number()? as i64);
    let last = (rest.small()?, rest.small()?);
    let mut nodes = HashMap::new();
    for _ in 0..rest.number()? {
        let node = rest.node()?;
        nodes.insert(node.id, node);
    }
    let mut opens = Vec::new();
    while !rest.0.is_empty() {
        opens.push(rest.open()?);
    }
    take_in_nodes(shared, nodes);
    // Without a file behind it, it is ESTALE.
    opens.retain(|open| take_in_handle(shared, open).is_none());
    let mut stale: Vec<Id> = opens.iter().map(|open| open.node).collect();
    stale.sort_unstable();
    stale.dedup();
    shared.nodes.settle(last.0);
    shared.handles.settle(last.1);
    Some(Before { agreed, at_s, stale })
}

/// From the root downwards: what is not reached from there does not exist, and no directory is below itself.
fn take_in_nodes(shared: &mut Shared, mut nodes: HashMap<Id, Node>) {
    let mut below: HashMap<Id, Vec<(Id, CString)>> = HashMap::new();
    for node in nodes.values_mut().filter(|node| node.id != ROOT) {
        for (parent, name) in std::mem::take(&mut node.names) {
            below.entry(parent).or_default().push((node.id, name));
        }
    }
    if let Some(root) = nodes.remove(&ROOT) {
        shared.nodes.known_again(ROOT, root.told);
        for name in &root.absent {
            shared.nodes.absent(ROOT, name);
        }
    }
    let mut directories = vec![ROOT];
    while let Some(parent) = directories.pop() {
        for (id, name) in below.remove(&parent).unwrap_or_default() {
            let Some(node) = nodes.remove(&id) else {
                // Another name of one that is there.
                if shared.nodes.get(id).is_ok_and(|node| node.directory.is_none()) {
                    shared.nodes.name(parent, &name, id);
                }
                continue;
            };
            let is_directory = node.identity.kind() == libc::S_IFDIR;
            let now = if is_directory { there(shared, parent, &name) } else { None };
            if shared.nodes.add_again(id, now.unwrap_or(node.identity), node.lookups).is_err() {
                continue;
            }
            shared.nodes.name(parent, &name, id);
            shared.nodes.known_again(id, node.told);
            if now.is_some() {
                for name in &node.absent {
                    shared.nodes.absent(id, name);
                }
                directories.push(id);
            }
        }
    }
}

/// The directory that has that name now.
fn there(shared: &mut Shared, parent: Id, name: &CStr) -> Option<Identity> {
    let found = files::stat_at(shared.dir(parent).ok()?.raw(), name).ok()?;
    (found.kind() == libc::S_IFDIR).then(|| Identity::of(&found))
}

fn take_in_handle(shared: &mut Shared, open: &Open) -> Option<()> {
    let writable = open.access != libc::O_RDONLY;
    if (writable && shared.terms.read_only) || !shared.is_file(open.node).ok()? {
        return None;
    }
    let room = shared.handles.room().ok()?;
    let (fd, stat) = shared.open(open.node, open.access).ok()?;
    if !is_as_it_was(&open.was, &stat) {
        return None;
    }
    shared.handles.add_again(room, open.number, fd, open.node, open.access)?;
    shared.nodes.get_mut(open.node).ok()?.opened(open.number, open.access);
    Some(())
}

/// Whose it is may be another here than where it was kept.
fn is_as_it_was(was: &Told, stat: &Stat) -> bool {
    let now = Told::of(stat);
    (was.size, was.mtime, was.ctime) == (now.size, now.mtime, now.ctime)
}
