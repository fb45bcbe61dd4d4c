//! What comes from a host whole: the start of a session, and the content of a stream.

use smolvm_wire::start;

use crate::wire::frame::{kind, Header, Sender, HEADER};
use crate::wire::messages::Hello;

/// What a search for a session's start found.
pub type Scan = start::Scan<Hello>;

/// Searches for MAGIC and a well-formed HELLO.
pub fn scan(buf: &[u8]) -> Scan {
    start::scan(buf, Sender::Host, kind::HELLO, |payload| Hello::decode(payload).ok())
}

/// What a host has sent on channel 0 of a stream, if all of it is here: its content, and how long the frames are that carry it. None
/// where something else comes before its end, or it is longer than `max`.
pub fn whole_content(buf: &[u8], stream: u32, max: usize) -> Option<(Vec<u8>, usize)> {
    let mut content = Vec::new();
    let mut at = 0;
    loop {
        let header = Header::parse(buf.get(at..)?.first_chunk()?, Sender::Host).ok()?;
        let end = at + HEADER + header.len;
        let payload = buf.get(at + HEADER..end)?;
        at = end;
        match header.kind {
            _ if header.stream != stream => return None,
            kind::DATA if content.len() + payload.len() <= max => content.extend_from_slice(payload),
            kind::END => return Some((content, at)),
            _ => return None,
        }
    }
}
