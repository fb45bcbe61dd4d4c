//! What a host's file server knows of a mount, on its way to the guest's agent before a capture, and from there to the next server: messages of a
//! `host_mount`, both ways, that are not the kernel's (PROTOCOL.md, "Directories of the host"). What is in them is the server's alone.

use crate::known::UNIQUE;

/// The length of the header: a length, a kind, and the `unique` that no request has.
const HEADER: usize = 16;
/// The most that one message carries: with its headers it fits a frame.
pub const MAX_PART: usize = 61_440;
/// The most that all parts carry together.
pub const MAX_KEPT: usize = 4 << 20;

/// A message.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kept<'a> {
    /// the agent asks for it: from now on it passes nothing on
    Ask,
    /// a part, and more will come
    Part(&'a [u8]),
    /// the last part; all of them together empty: there is nothing that could be gone on with
    Last(&'a [u8]),
}

/// Reads a message; None: it is none of these.
pub fn decode(message: &[u8]) -> Option<Kept<'_>> {
    let unique = message.get(8..HEADER)?.first_chunk().map(|bytes| u64::from_le_bytes(*bytes))?;
    if unique != UNIQUE {
        return None;
    }
    match message.get(4..8)? {
        [1, 0, 0, 0] => Some(Kept::Ask),
        [2, 0, 0, 0] => Some(Kept::Part(&message[HEADER..])),
        [3, 0, 0, 0] => Some(Kept::Last(&message[HEADER..])),
        _ => None,
    }
}

/// The message that says it.
pub fn encode(kept: Kept) -> Vec<u8> {
    let (kind, bytes): (u32, &[u8]) = match kept {
        Kept::Ask => (1, &[]),
        Kept::Part(bytes) => (2, bytes),
        Kept::Last(bytes) => (3, bytes),
    };
    let length = (HEADER + bytes.len()) as u32;
    [&length.to_le_bytes()[..], &kind.to_le_bytes(), &UNIQUE.to_le_bytes(), bytes].concat()
}

/// The messages that say all of it.
pub fn messages(bytes: &[u8]) -> Vec<Vec<u8>> {
    let mut parts: Vec<&[u8]> = bytes.chunks(MAX_PART).collect();
    let last = parts.pop().unwrap_or_default();
    let mut messages: Vec<Vec<u8>> = parts.into_iter().map(|part| encode(Kept::Part(part))).collect();
    messages.push(encode(Kept::Last(last)));
    messages
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_these_bytes() {
        let head = |length: u8, kind: u8| [&[length, 0, 0, 0, kind, 0, 0, 0][..], &[255; 8]].concat();
        assert_eq!(encode(Kept::Ask), head(16, 1));
        assert_eq!(encode(Kept::Part(b"ab")), [head(18, 2), b"ab".to_vec()].concat());
        assert_eq!(messages(b""), [head(16, 3)]);
        for kept in [Kept::Ask, Kept::Part(b"x"), Kept::Last(b""), Kept::Last(b"yz")] {
            assert_eq!(decode(&encode(kept)), Some(kept));
        }
    }

    #[test]
    fn are_parts_that_fit_a_frame() {
        let bytes: Vec<u8> = (0..MAX_PART * 2 + 5).map(|i| i as u8).collect();
        let messages = messages(&bytes);
        let mut all = Vec::new();
        for (i, message) in messages.iter().enumerate() {
            assert!(message.len() <= 65_536);
            match decode(message) {
                Some(Kept::Part(part)) if i < 2 => all.extend_from_slice(part),
                Some(Kept::Last(part)) if i == 2 => all.extend_from_slice(part),
                other => panic!("{i}: {other:?}"),
            }
        }
        assert_eq!(all, bytes);
    }

    #[test]
    fn all_else_is_none_of_them() {
        for message in
            [&[][..], &[255; 15], &[16, 0, 0, 0, 0, 0, 0, 0, 255, 255, 255, 255, 255, 255, 255, 255], &[0; 40]]
        {
            assert_eq!(decode(message), None);
        }
    }
}
