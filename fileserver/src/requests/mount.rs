//! A share as it is mounted in the guest, and how its files are told of.

use std::ffi::CStr;

use crate::share::listing::Listing;
use crate::share::nodes::{Id, Identity, Told};
use crate::share::shared::Shared;
use crate::sys::files::Stat;
use crate::sys::{Errno, Res};
use crate::wire::fuse::{put_attributes, put_entry, Attributes, Validity};

/// How long the kernel may believe what it was told, where nothing would tell it of a change.
const SHORT: Validity = Validity { entry_ms: 1000, attributes_ms: 1000 };

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
    device: u64,
}

impl Mount {
    pub fn new(mut shared: Shared) -> Res<Mount> {
        let device = shared.stat(crate::wire::fuse::ROOT)?.dev;
        Ok(Mount { shared, agreed: None, listings: Vec::new(), figures: Figures::default(), device })
    }

    /// Fails where nothing may be changed.
    pub fn writable(&self) -> Res<()> {
        if self.shared.terms.read_only {
            return Err(Errno(libc::EROFS));
        }
        Ok(())
    }

    /// How long the kernel may believe what it is told.
    pub fn validity(&self) -> Validity {
        if self.shared.terms.strict {
            Validity::default()
        } else {
            SHORT
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
        if let Ok(node) = self.shared.nodes.get_mut(id) {
            node.told = Some(Told::of(stat));
        }
        put_attributes(out, self.validity(), &self.attributes(stat));
    }

    /// Tells that a name is a file: appends fuse_entry_out. The kernel counts it.
    pub fn tell_entry(&mut self, parent: Id, name: &CStr, stat: &Stat, out: &mut Vec<u8>) -> Res<Id> {
        let id = self.shared.nodes.tell(parent, name, Identity::of(stat))?;
        self.shared.nodes.get_mut(id)?.told = Some(Told::of(stat));
        put_entry(out, id, self.validity(), &self.attributes(stat));
        Ok(id)
    }
}
