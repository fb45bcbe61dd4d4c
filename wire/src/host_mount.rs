//! Messages about directories of the host: PROTOCOL.md, "Directories of the host".

use crate::fields::{put_bytes, put_uint, put_varint, Malformed, Reader};

/// `HostMount`: which of the guest's paths is answered for by the host.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct HostMount<'a> {
    pub path: &'a [u8],
    pub read_only: bool,
    pub user: &'a [u8],
    pub file: bool,
    pub overlay: bool,
    pub source: &'a [u8],
    pub keep: &'a [u8],
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
                7 => mount.keep = value.bytes()?,
                _ => {}
            }
        }
        Ok(mount)
    }
    pub fn encode(&self, out: &mut Vec<u8>) {
        put_bytes(out, 1, self.path);
        put_uint(out, 2, self.read_only.into());
        put_bytes(out, 3, self.user);
        put_uint(out, 4, self.file.into());
        put_uint(out, 5, self.overlay.into());
        put_bytes(out, 6, self.source);
        put_bytes(out, 7, self.keep);
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
    pub fn encode(&self, out: &mut Vec<u8>) {
        put_bytes(out, 1, self.path);
        put_uint(out, 2, self.force.into());
    }
}

/// What happened to a file of the host: `HostChange.kind`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Change {
    /// nothing that is to be done again, or of a later version
    #[default]
    None = 0,
    Created = 1,
    Changed = 2,
    Removed = 3,
    Renamed = 4,
    Attributes = 5,
    /// no change: the directory is to be read
    List = 6,
}

impl Change {
    fn of(number: u32) -> Change {
        match number {
            1 => Change::Created,
            2 => Change::Changed,
            3 => Change::Removed,
            4 => Change::Renamed,
            5 => Change::Attributes,
            6 => Change::List,
            _ => Change::None,
        }
    }
}

/// `HostChange`: a record of what happened on the host.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct HostChange<'a> {
    pub kind: Change,
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
                1 => change.kind = Change::of(value.u32()?),
                2 => change.path = value.bytes()?,
                3 => change.to = value.bytes()?,
                4 => change.directory = value.bool()?,
                5 => change.notify = value.bytes()?,
                _ => {}
            }
        }
        Ok(change)
    }
    /// Appends it with its length before it.
    pub fn put_record(&self, out: &mut Vec<u8>) {
        let mut inner = Vec::new();
        put_uint(&mut inner, 1, self.kind as u64);
        put_bytes(&mut inner, 2, self.path);
        put_bytes(&mut inner, 3, self.to);
        put_uint(&mut inner, 4, self.directory.into());
        put_bytes(&mut inner, 5, self.notify);
        put_varint(out, inner.len() as u64);
        out.extend_from_slice(&inner);
    }
}

/// `Opened` of a host_mount: whose the host user's files are.
pub fn encode_opened_mount(out: &mut Vec<u8>, uid: u32, gid: u32) {
    put_uint(out, 4, uid.into());
    put_uint(out, 5, gid.into());
}
