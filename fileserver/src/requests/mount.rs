//! A share as it is mounted in the guest, and how its files are told of.

use std::ffi::CStr;

use crate::changes::follow::Changes;
use crate::share::kept::{export, import, Before};
use crate::share::listing::{raw_entries, Listing};
use crate::share::nodes::{Id, Identity, Told};
use crate::share::shared::Shared;
use crate::sys::files::Stat;
use crate::sys::{files, Errno, Res};
use crate::wire::fuse::{put_attributes, put_entry, Attributes, Validity, ROOT};
use crate::wire::kept::MAX_KEPT;
use crate::wire::known::{encode, Known, ATTRIBUTES};

/// How long the kernel may believe what it was told, in milliseconds: where nothing would tell it of a change, and where it will be told.
const SHORT_MS: u64 = 1000;
const LONG_MS: u64 = 3_600_000;

/// A directory is read for the guest when so many of its names have been looked up one by one, if it has no more than so many entries for each of
/// these (a question takes as long as what is told of so many), and no more than so many at all: changes wait for it.
const FEWEST: usize = 4;
const WORTH: usize = 16;
const MAX_READ: usize = 1024;
/// Not while so many changes wait.
const FEW: usize = 4;
/// How much of it is counted at a time, in bytes.
const ENTRIES: usize = 32 << 10;

/// How much of a new directory is looked at.
const PIECE: usize = 1024;

/// What is counted.
#[derive(Clone, Copy, Default, Debug)]
pub struct Figures {
    pub requests: u64,
    pub read_bytes: u64,
    pub written_bytes: u64,
}

/// One mount.
pub struct Mount {
    pub shared: Shared,
    /// what INIT agreed on
    pub agreed: Option<u64>,
    /// listings of directories that are being read, the latest last
    pub listings: Vec<(Id, Listing)>,
    pub figures: Figures,
    /// what happens on the host, while the guest can be told of it
    pub changes: Option<Changes>,
    /// what goes before and behind the answer, for the agent; whether it has been told something that it may still answer
    pub before: Vec<Vec<u8>>,
    pub behind: Vec<Vec<u8>>,
    pub lent: bool,
    /// what an earlier server has kept, as far as it has come; and when that was, in seconds, once it is taken in
    kept: Vec<u8>,
    pub before_s: Option<i64>,
    /// what was open before and is stale now
    pub stale: Vec<Id>,
    device: u64,
}

impl Mount {
    pub fn new(mut shared: Shared) -> Res<Mount> {
        let device = shared.stat(ROOT)?.dev;
        Ok(Mount {
            shared,
            agreed: None,
            listings: Vec::new(),
            figures: Figures::default(),
            changes: None,
            before: Vec::new(),
            behind: Vec::new(),
            lent: false,
            kept: Vec::new(),
            before_s: None,
            stale: Vec::new(),
            device,
        })
    }

    /// Fails where nothing may be changed.
    pub fn writable(&self) -> Res<()> {
        if self.shared.terms.read_only {
            return Err(Errno(libc::EROFS));
        }
        Ok(())
    }

    /// Whether the guest will be told of what changes in a directory; it is watched for that.
    pub fn watches(&mut self, id: Id) -> bool {
        match &mut self.changes {
            Some(changes) if changes.pid != 0 => match self.shared.file() {
                Some(_) => changes.watch_file(&self.shared),
                None => changes.watch(&mut self.shared, id),
            },
            _ => false,
        }
    }

    /// How long the kernel may believe that something has a name in a directory, or that nothing has.
    pub fn entry_ms(&mut self, parent: Id) -> u64 {
        if self.shared.terms.strict {
            0
        } else if self.watches(parent) {
            LONG_MS
        } else {
            SHORT_MS
        }
    }

    /// How long it may believe a node's attributes, by how long it may believe its name.
    fn attributes_ms(&mut self, id: Id, entry_ms: u64, stat: &Stat) -> u64 {
        let known = match stat.kind() {
            // What is in it changes it, too.
            libc::S_IFDIR => {
                self.shared.nodes.get(id).is_ok_and(|node| node.directory.as_ref().is_some_and(|d| d.watch.is_some()))
            }
            // It can be changed by a name that is watched by nobody.
            _ => stat.nlink <= 1,
        };
        if known {
            entry_ms
        } else {
            entry_ms.min(SHORT_MS)
        }
    }

    /// Takes in what has happened on the host.
    pub fn drain(&mut self) {
        if let Some(changes) = &mut self.changes {
            changes.drain(&mut self.shared);
        }
    }

    /// The guest takes a name away.
    pub fn own(&mut self, parent: Id, name: &CStr) {
        if let Some(changes) = &mut self.changes {
            changes.own(parent, name);
        }
    }

    /// Whether the kernel's pages of a file are good: it is as it was told, and was told in full.
    pub fn keeps(&self, id: Id, stat: &Stat) -> bool {
        self.shared.nodes.get(id).is_ok_and(|node| node.told == Some(Told::of(stat)))
            && self.changes.as_ref().is_none_or(|changes| !changes.queue.holds(id))
    }

    /// The guest has changed a file itself.
    pub fn changed(&mut self, id: Id, stat: &Stat) {
        if let Ok(node) = self.shared.nodes.get_mut(id) {
            node.told = Some(Told::of(stat));
        }
    }

    /// A file's attributes as the guest sees them.
    pub fn attributes(&self, stat: &Stat) -> Attributes {
        let (uid, gid) = self.shared.owners.told(stat.uid, stat.gid);
        // Inodes of other file systems below must not be taken for those of this one.
        let other = (stat.dev ^ self.device).wrapping_mul(0x9e37_79b9_7f4a_7c15) & !(1 << 63);
        Attributes {
            ino: stat.ino ^ other,
            size: stat.size,
            blocks: stat.blocks,
            times: [stat.atime, stat.mtime, stat.ctime].map(|time| (time.s, time.ns)),
            mode: stat.mode,
            nlink: stat.nlink,
            uid,
            gid,
            block_size: stat.block_size,
        }
    }

    /// Tells of a node's attributes: appends fuse_attr_out.
    pub fn tell(&mut self, id: Id, stat: &Stat, out: &mut Vec<u8>) {
        if let Some(changes) = &mut self.changes {
            changes.noticed(&mut self.shared, id, stat);
        }
        self.changed(id, stat);
        let parent = self.shared.nodes.get(id).ok().and_then(|node| node.names().next().map(|(parent, _)| *parent));
        let entry_ms = match parent {
            Some(parent) => self.entry_ms(parent),
            None if id == ROOT => self.entry_ms(ROOT),
            None => 0,
        };
        let valid = Validity { entry_ms, attributes_ms: self.attributes_ms(id, entry_ms, stat) };
        put_attributes(out, valid, &self.attributes(stat));
    }

    /// Whether the agent may answer for a directory: only where what it says can be believed until an event, which ends that as well (`keep_no_longer`).
    fn may_lend(&mut self, id: Id) -> bool {
        !self.shared.terms.strict && self.watches(id)
    }

    /// Something in a directory has been changed, so that the kernel asks for its attributes next: the agent may tell it them, as they are now.
    pub fn lend(&mut self, request: u64, id: Id) {
        if !self.may_lend(id) {
            return;
        }
        let Ok(stat) = self.shared.stat(id) else { return };
        let mut told = Vec::with_capacity(ATTRIBUTES);
        self.tell(id, &stat, &mut told);
        let Ok(attributes) = <&[u8; ATTRIBUTES]>::try_from(&told[..]) else { return };
        self.behind.push(encode(Known::Directory { request, node: id, attributes }));
        self.lent = true;
    }

    /// The guest has made a directory: the agent may say of names that they are not in it, where it would be told of what comes to be there.
    pub fn lend_new(&mut self, id: Id) {
        if !self.may_lend(id) {
            return;
        }
        // It is watched; nothing may have come before that.
        let mut found = false;
        let mut buf = Vec::new();
        let Ok((dir, _)) = self.shared.open(id, libc::O_RDONLY | libc::O_DIRECTORY) else { return };
        if files::entries(dir.raw(), &mut buf, PIECE).is_err() {
            return;
        }
        raw_entries(&buf, |_, _, name| found |= !matches!(name, b"." | b".."));
        if !found {
            self.before.push(encode(Known::Empty { node: id }));
            self.lent = true;
        }
    }

    /// What the agent is to be told before a change: that it knows nothing any more.
    pub fn keep_no_longer(&mut self) -> Option<Vec<u8>> {
        std::mem::take(&mut self.lent).then(|| encode(Known::Nothing))
    }

    /// The kernel has asked for one more name of a directory. Whoever looks at many files there is spared most questions: the guest's helper reads it, and each
    /// answer to that tells of many.
    pub fn looked_up(&mut self, id: Id) {
        let Some(changes) = self.changes.as_ref().filter(|changes| changes.pid != 0) else { return };
        // A name that is looked at because it has changed is none of many.
        if changes.queue.len() >= FEW || self.shared.terms.strict {
            return;
        }
        let Some(directory) = self.shared.nodes.get_mut(id).ok().and_then(|node| node.directory.as_mut()) else {
            return;
        };
        directory.asked = directory.asked.saturating_add(1);
        let asked = directory.asked as usize;
        if asked < FEWEST || !asked.is_power_of_two() || !self.has_at_most(id, (asked * WORTH).min(MAX_READ)) {
            return;
        }
        if let (Some(path), Some(changes)) = (self.shared.path(id), self.changes.as_mut()) {
            changes.read(path);
        }
    }

    /// Whether a directory has no more entries than that.
    fn has_at_most(&mut self, id: Id, most: usize) -> bool {
        let Ok((dir, _)) = self.shared.open(id, libc::O_RDONLY | libc::O_DIRECTORY) else { return false };
        let (mut buf, mut count) = (Vec::new(), 0);
        while count <= most + 2 {
            match files::entries(dir.raw(), &mut buf, ENTRIES) {
                Ok(0) => return true,
                Ok(_) => raw_entries(&buf, |_, _, _| count += 1),
                Err(_) => return false,
            }
        }
        false
    }

    /// All that the guest knows, for its agent to keep over a capture; empty where it is too much, or nothing has been agreed on.
    pub fn keep(&self) -> Vec<u8> {
        self.agreed.and_then(|agreed| export(&self.shared, agreed)).unwrap_or_default()
    }

    /// A part of what an earlier server has kept has come. Only before anything else is asked for: then nothing is known yet.
    pub fn goes_on(&mut self, part: &[u8], last: bool) {
        if self.agreed.is_some() || self.kept.len() + part.len() > MAX_KEPT {
            return;
        }
        self.kept.extend_from_slice(part);
        if last {
            let kept = std::mem::take(&mut self.kept);
            if let Some(Before { agreed, at_s, stale }) = import(&mut self.shared, &kept) {
                self.agreed = Some(agreed);
                self.before_s = Some(at_s);
                self.stale = stale;
            }
        }
    }

    /// Tells that a name is a file: appends fuse_entry_out. The kernel counts it.
    pub fn tell_entry(&mut self, parent: Id, name: &CStr, stat: &Stat, out: &mut Vec<u8>) -> Res<Id> {
        let entry_ms = self.entry_ms(parent);
        let id = self.shared.nodes.tell(parent, name, Identity::of(stat))?;
        // A watcher in the guest asks for nothing but the directory itself.
        if stat.kind() == libc::S_IFDIR {
            self.watches(id);
        }
        if let Some(changes) = &mut self.changes {
            changes.noticed(&mut self.shared, id, stat);
        }
        self.changed(id, stat);
        let valid = Validity { entry_ms, attributes_ms: self.attributes_ms(id, entry_ms, stat) };
        put_entry(out, id, valid, &self.attributes(stat));
        Ok(id)
    }
}
