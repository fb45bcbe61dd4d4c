//! The search for a session's start: what comes before it is noise.

use crate::frame::{Header, Sender, HEADER, MAGIC};

/// What a search for a session's start found.
#[derive(PartialEq, Eq, Debug)]
pub enum Scan<T> {
    /// Nothing yet: the first `discard` bytes can never be part of a start.
    More { discard: usize },
    /// A well-formed start; `used` bytes end with it.
    Start { used: usize, message: T },
}

/// Searches for MAGIC and a frame of that kind with which `decode` is content. A MAGIC that is not followed by one is skipped.
pub fn scan<T>(buf: &[u8], from: Sender, kind: u8, decode: impl Fn(&[u8]) -> Option<T>) -> Scan<T> {
    let mut at = 0;
    loop {
        // Everything before a byte 0xff is noise.
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
        if let Ok(header) = Header::parse(header, from) {
            if header.kind == kind {
                let end = HEADER + header.len;
                if rest.len() < end {
                    return Scan::More { discard: at };
                }
                if let Some(message) = decode(&rest[HEADER..end]) {
                    return Scan::Start { used: at + MAGIC.len() + end, message };
                }
            }
        }
        at += 1;
    }
}
