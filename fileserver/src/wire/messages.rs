//! The messages of protocol/PROTOCOL.md, section 3, that a file server sends and gets.

use crate::wire::fields::{put_bytes, put_field, put_uint, put_varint, Malformed, Reader};
use crate::wire::VERSION;

/// Error codes of `Error.code`.
pub mod code {
    pub const INVALID: u32 = 1;
    pub const NOT_FOUND: u32 = 2;
    pub const EXISTS: u32 = 3;
    pub const NOT_DIRECTORY: u32 = 4;
    pub const PERMISSION: u32 = 7;
    pub const IO: u32 = 9;
    pub const CANCELLED: u32 = 11;
    pub const LIMIT: u32 = 12;
}

type Decoded<T> = Result<T, Malformed>;

/// The bytes of our first message.
pub fn hello(nonce: &[u8; 16], resume: Option<&[u8; 16]>) -> Vec<u8> {
    let mut out = Vec::new();
    put_uint(&mut out, 1, 1);
    put_uint(&mut out, 2, 1);
    put_bytes(&mut out, 3, nonce);
    put_bytes(&mut out, 4, format!("smolvm-files {VERSION}").as_bytes());
    if let Some(token) = resume {
        put_bytes(&mut out, 5, token);
    }
    put_uint(&mut out, 6, 1);
    out
}

/// The guest's answer.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct HelloAck {
    pub version: u32,
    pub nonce: [u8; 16],
    pub resumed: bool,
}

impl HelloAck {
    pub fn decode(buf: &[u8]) -> Decoded<HelloAck> {
        let mut fields = Reader::new(buf);
        let mut ack = HelloAck::default();
        let mut nonce = None;
        while let Some((number, value)) = fields.next()? {
            match number {
                1 => ack.version = value.u32()?,
                2 => nonce = Some(value.bytes()?.try_into().map_err(|_| Malformed)?),
                3 | 4 => drop(value.bytes()?),
                5 => drop(value.int()?),
                6 => ack.resumed = value.bool()?,
                _ => {}
            }
        }
        ack.nonce = nonce.ok_or(Malformed)?;
        Ok(ack)
    }
}

/// A directory that is to be mounted.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct HostMount<'a> {
    pub path: &'a [u8],
    pub read_only: bool,
    pub user: &'a [u8],
    pub file: bool,
    pub overlay: bool,
    pub source: &'a [u8],
}

/// What a stream is opened with.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Open<'a> {
    HostMount(HostMount<'a>),
    HostUnmount { path: &'a [u8], force: bool },
    HostChanges { mount: u32 },
}

impl Open<'_> {
    /// The message's bytes, with `window` bytes of credit for channel 1.
    pub fn encode(&self, window: u32) -> Vec<u8> {
        let mut inner = Vec::new();
        let number = match self {
            Open::HostMount(mount) => {
                put_bytes(&mut inner, 1, mount.path);
                put_uint(&mut inner, 2, mount.read_only.into());
                put_bytes(&mut inner, 3, mount.user);
                put_uint(&mut inner, 4, mount.file.into());
                put_uint(&mut inner, 5, mount.overlay.into());
                put_bytes(&mut inner, 6, mount.source);
                25
            }
            Open::HostUnmount { path, force } => {
                put_bytes(&mut inner, 1, path);
                put_uint(&mut inner, 2, (*force).into());
                26
            }
            Open::HostChanges { mount } => {
                put_uint(&mut inner, 1, (*mount).into());
                27
            }
        };
        let mut out = Vec::new();
        put_field(&mut out, number, &inner);
        put_uint(&mut out, 30, window.into());
        out
    }
}

/// The request was accepted and has begun.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Opened {
    pub pid: u32,
    pub uid: u32,
    pub gid: u32,
}

impl Opened {
    pub fn decode(buf: &[u8]) -> Decoded<Opened> {
        let mut fields = Reader::new(buf);
        let mut opened = Opened::default();
        while let Some((number, value)) = fields.next()? {
            match number {
                2 => opened.pid = value.u32()?,
                4 => opened.uid = value.u32()?,
                5 => opened.gid = value.u32()?,
                _ => {}
            }
        }
        Ok(opened)
    }
}

/// Why a request failed, as the guest says it.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Failure {
    pub code: u32,
    pub message: String,
    pub errno: u32,
}

/// A stream is over. None: it worked.
pub fn decode_result(buf: &[u8]) -> Decoded<Option<Failure>> {
    let mut fields = Reader::new(buf);
    let mut failure = None;
    while let Some((number, value)) = fields.next()? {
        if number == 1 {
            let mut inner = Reader::new(value.bytes()?);
            let mut found = Failure::default();
            while let Some((number, value)) = inner.next()? {
                match number {
                    1 => found.code = value.u32()?,
                    2 => found.message = String::from_utf8_lossy(value.bytes()?).chars().take(500).collect(),
                    3 => found.errno = value.u32()?,
                    _ => {}
                }
            }
            failure = Some(found);
        }
    }
    Ok(failure)
}

/// What has been done on the host, to be done again in the guest.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Change {
    None = 0,
    Created = 1,
    Changed = 2,
    Removed = 3,
    Renamed = 4,
    Attributes = 5,
}

/// Appends a HostChange with its length before it.
pub fn put_change(out: &mut Vec<u8>, kind: Change, path: &[u8], to: &[u8], directory: bool, notify: &[u8]) {
    let mut inner = Vec::new();
    put_uint(&mut inner, 1, kind as u64);
    put_bytes(&mut inner, 2, path);
    put_bytes(&mut inner, 3, to);
    put_uint(&mut inner, 4, directory.into());
    put_bytes(&mut inner, 5, notify);
    put_varint(out, inner.len() as u64);
    out.extend_from_slice(&inner);
}
