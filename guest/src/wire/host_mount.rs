//! Messages about directories of the host: PROTOCOL.md, "Directories of the host".

use crate::wire::fields::{put_uint, Malformed, Reader};

/// `HostMount`: which of the guest's paths is answered for by the host.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct HostMount<'a> {
    pub path: &'a [u8],
    pub read_only: bool,
    pub user: &'a [u8],
    pub file: bool,
    pub overlay: bool,
    pub source: &'a [u8],
}

impl<'a> HostMount<'a> {
    pub fn decode(buf: &'a [u8]) -> Result<Self, Malformed> {
        let mut fields = Reader::new(buf);
        let mut mount = HostMount::default();
        while let Some((number, value)) = fields.next()? {
            match number {
                1 => mount.path = value.bytes()?,
                2 => mount.read_only = value.bool()?,
                3 => mount.user = value.bytes()?,
                4 => mount.file = value.bool()?,
                5 => mount.overlay = value.bool()?,
                6 => mount.source = value.bytes()?,
                _ => {}
            }
        }
        Ok(mount)
    }
}

/// `HostUnmount`: which of them shall go.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct HostUnmount<'a> {
    pub path: &'a [u8],
    pub force: bool,
}

impl<'a> HostUnmount<'a> {
    pub fn decode(buf: &'a [u8]) -> Result<Self, Malformed> {
        let mut fields = Reader::new(buf);
        let mut unmount = HostUnmount::default();
        while let Some((number, value)) = fields.next()? {
            match number {
                1 => unmount.path = value.bytes()?,
                2 => unmount.force = value.bool()?,
                _ => {}
            }
        }
        Ok(unmount)
    }
}

/// What happened to a file of the host: `HostChange.kind`.
pub mod change {
    pub const CREATED: u32 = 1;
    pub const CHANGED: u32 = 2;
    pub const REMOVED: u32 = 3;
    pub const RENAMED: u32 = 4;
    pub const ATTRIBUTES: u32 = 5;
}

/// `HostChange`: a record of what happened on the host.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct HostChange<'a> {
    /// one of `change`, or 0
    pub kind: u32,
    pub path: &'a [u8],
    pub to: &'a [u8],
    pub directory: bool,
    pub notify: &'a [u8],
}

impl<'a> HostChange<'a> {
    pub fn decode(buf: &'a [u8]) -> Result<Self, Malformed> {
        let mut fields = Reader::new(buf);
        let mut change = HostChange::default();
        while let Some((number, value)) = fields.next()? {
            match number {
                1 => change.kind = value.u32()?,
                2 => change.path = value.bytes()?,
                3 => change.to = value.bytes()?,
                4 => change.directory = value.bool()?,
                5 => change.notify = value.bytes()?,
                _ => {}
            }
        }
        Ok(change)
    }
}

/// `Opened` of a host_mount: whose the host user's files are.
pub fn encode_opened_mount(out: &mut Vec<u8>, uid: u32, gid: u32) {
    put_uint(out, 4, uid.into());
    put_uint(out, 5, gid.into());
}
