//! The messages of protocol/PROTOCOL.md, section 3, that a file server sends and gets.

use crate::wire::fields::{put_bytes, put_field, put_uint, Malformed, Reader};
use crate::wire::host_mount::{HostMount, HostUnmount};
use crate::wire::VERSION;

pub use smolvm_wire::code;

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

/// What a stream is opened with.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Open<'a> {
    HostMount(HostMount<'a>),
    HostUnmount(HostUnmount<'a>),
    HostChanges { mount: u32 },
}

impl Open<'_> {
    /// The message's bytes, with `window` bytes of credit for channel 1.
    pub fn encode(&self, window: u32) -> Vec<u8> {
        let mut inner = Vec::new();
        let number = match self {
            Open::HostMount(mount) => {
                mount.encode(&mut inner);
                25
            }
            Open::HostUnmount(unmount) => {
                unmount.encode(&mut inner);
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
