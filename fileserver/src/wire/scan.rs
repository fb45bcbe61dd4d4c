//! The search for a session's start: the guest's answer to a HELLO.

use crate::wire::frame::{kind, Header, Sender, HEADER, MAGIC};
use crate::wire::messages::HelloAck;

/// What a search for a session's start found.
#[derive(PartialEq, Eq, Debug)]
pub enum Scan {
    /// Nothing yet: the first `discard` bytes can never be part of a start.
    More { discard: usize },
    /// A well-formed answer to our HELLO; `used` bytes end with it.
    Start { used: usize, ack: HelloAck },
}

/// Searches for MAGIC and a HELLO_ACK with this nonce; all else is skipped.
pub fn scan(buf: &[u8], nonce: &[u8; 16]) -> Scan {
    let mut at = 0;
    loop {
        match buf[at..].iter().position(|&b| b == 0xff) {
            Some(i) => at += i,
            None => return Scan::More { discard: buf.len() },
        }
        let rest = &buf[at..];
        let known = rest.len().min(MAGIC.len());
        if rest[..known] != MAGIC[..known] {
            at += 1;
            continue;
        }
        let rest = &rest[known..];
        let Some(header) = rest.first_chunk::<HEADER>() else {
            return Scan::More { discard: at };
        };
        if let Ok(header) = Header::parse(header, Sender::Guest) {
            if header.kind == kind::HELLO_ACK {
                if rest.len() < HEADER + header.len {
                    return Scan::More { discard: at };
                }
                if let Ok(ack) = HelloAck::decode(&rest[HEADER..HEADER + header.len]) {
                    if ack.nonce == *nonce {
                        return Scan::Start { used: at + MAGIC.len() + HEADER + header.len, ack };
                    }
                }
            }
        }
        at += 1;
    }
}
