//! Frames: the 12-byte header, and the rules that can be checked on it alone.
//!
//! ```text
//! offset 0   u32 length of the payload
//!        4   u32 stream
//!        8   u8  type
//!        9   u8  flags
//!       10   u16 reserved, 0
//! ```

pub const HEADER: usize = 12;
/// The longest payload of a frame.
pub const MAX_PAYLOAD: usize = 65_536;
/// The longest payload of HELLO and HELLO_ACK.
pub const MAX_HELLO: usize = 1024;
/// The longest payload of PING and PONG.
pub const MAX_PING: usize = 64;
/// The payload of SUSPEND.
pub const TOKEN: usize = 16;
/// Opens a session; as a header it would announce a payload that no frame may have.
pub const MAGIC: &[u8; 16] = b"\xff\xff\xff\xffsmolvm-agent";

/// Frame types.
pub mod kind {
    pub const HELLO: u8 = 1;
    pub const HELLO_ACK: u8 = 2;
    pub const OPEN: u8 = 3;
    pub const OPENED: u8 = 4;
    pub const DATA: u8 = 5;
    pub const WINDOW: u8 = 6;
    pub const END: u8 = 7;
    pub const CONTROL: u8 = 8;
    pub const RESULT: u8 = 9;
    pub const RESET: u8 = 10;
    pub const GOODBYE: u8 = 11;
    pub const PING: u8 = 12;
    pub const PONG: u8 = 13;
    pub const SUSPEND: u8 = 14;
    pub const SWITCH: u8 = 15;
}

/// OPEN's flag: the message goes on in the next OPEN frame of the stream.
pub const MORE: u8 = 1;

/// Who sent the bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Sender {
    Host,
    Guest,
}

/// A checked header.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Header {
    pub len: usize,
    pub stream: u32,
    pub kind: u8,
    pub flags: u8,
}

/// What a header does wrong.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Violation {
    Length,
    Type,
    Direction,
    Stream,
    Flags,
    Reserved,
}

impl Header {
    /// Decodes a header and checks every rule that needs no knowledge of the session.
    pub fn parse(bytes: &[u8; HEADER], from: Sender) -> Result<Header, Violation> {
        let word = |i: usize| u32::from_le_bytes([bytes[i], bytes[i + 1], bytes[i + 2], bytes[i + 3]]);
        let (length, stream, kind, flags) = (word(0), word(4), bytes[8], bytes[9]);
        if length > MAX_PAYLOAD as u32 {
            return Err(Violation::Length);
        }
        let len = length as usize;
        if bytes[10] != 0 || bytes[11] != 0 {
            return Err(Violation::Reserved);
        }
        let host = from == Sender::Host;
        // (allowed from this side, belongs to stream 0, the flags are fine, the length is fine)
        let (direction, session, flags_ok, length_ok) = match kind {
            kind::HELLO => (host, true, flags == 0, len <= MAX_HELLO),
            kind::HELLO_ACK => (!host, true, flags == 0, len <= MAX_HELLO),
            kind::OPEN => (host, false, flags <= MORE, true),
            kind::OPENED | kind::RESULT => (!host, false, flags == 0, true),
            kind::DATA => (true, false, channel_ok(flags, host), len > 0),
            kind::END => (true, false, channel_ok(flags, host), len == 0),
            // Credit flows against the data.
            kind::WINDOW => (true, false, channel_ok(flags, !host), len == 4),
            kind::CONTROL => (host, false, flags == 0, true),
            kind::RESET => (host, false, flags == 0, len == 0),
            kind::GOODBYE => (!host, true, flags == 0, true),
            kind::SUSPEND => (!host, true, flags == 0, len == TOKEN),
            kind::SWITCH => (host, true, flags == 0, len == 0),
            kind::PING | kind::PONG => (true, true, flags == 0, len <= MAX_PING),
            _ => return Err(Violation::Type),
        };
        if !direction {
            return Err(Violation::Direction);
        }
        // Streams that hosts open are odd; none is opened by a guest yet.
        if (stream == 0) != session || (!session && stream % 2 == 0) {
            return Err(Violation::Stream);
        }
        if !flags_ok {
            return Err(Violation::Flags);
        }
        if !length_ok {
            return Err(Violation::Length);
        }
        Ok(Header { len, stream, kind, flags })
    }

    /// The header's bytes.
    pub fn encode(&self) -> [u8; HEADER] {
        let mut out = [0; HEADER];
        out[..4].copy_from_slice(&(self.len as u32).to_le_bytes());
        out[4..8].copy_from_slice(&self.stream.to_le_bytes());
        out[8] = self.kind;
        out[9] = self.flags;
        out
    }
}

/// Hosts send on channel 0, guests on 1 and 2.
fn channel_ok(channel: u8, host: bool) -> bool {
    if host {
        channel == 0
    } else {
        channel == 1 || channel == 2
    }
}

/// Appends one frame.
pub fn put_frame(out: &mut Vec<u8>, stream: u32, kind: u8, flags: u8, payload: &[u8]) {
    out.extend_from_slice(&Header { len: payload.len(), stream, kind, flags }.encode());
    out.extend_from_slice(payload);
}
