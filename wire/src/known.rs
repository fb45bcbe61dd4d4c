//! What the host lets the guest's agent answer for it: messages on channel 0 of a `host_mount` that are the agent's, not the kernel's
//! (PROTOCOL.md, "Directories of the host").

/// The length of fuse_out_header.
const HEADER: usize = 16;
/// The `unique` of such a message: no request has it.
pub const UNIQUE: u64 = u64::MAX;
/// The length of fuse_attr_out.
pub const ATTRIBUTES: usize = 104;

/// A message for the agent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Known<'a> {
    /// a directory's attributes, as they were when that request had been done
    Directory { request: u64, node: u64, attributes: &'a [u8; ATTRIBUTES] },
    /// a directory that was made just now, with nothing in it: this comes before the answer that names it
    Empty { node: u64 },
    /// nothing that was told before is to be answered any more
    Nothing,
}

/// Reads a message of channel 0; None: it is the kernel's. What has the agent's `unique` and is malformed says that nothing is known.
pub fn decode(message: &[u8]) -> Option<Known<'_>> {
    let number = |at: usize| message.get(at..)?.first_chunk().map(|bytes| u64::from_le_bytes(*bytes));
    if number(8)? != UNIQUE {
        return None;
    }
    let attributes = message.get(HEADER + 16..).and_then(|rest| rest.try_into().ok());
    Some(match (number(HEADER), number(HEADER + 8), attributes) {
        (Some(request), Some(node), Some(attributes)) => Known::Directory { request, node, attributes },
        (Some(node), None, None) if message.len() == HEADER + 8 => Known::Empty { node },
        _ => Known::Nothing,
    })
}

/// The message that says it.
pub fn encode(known: Known) -> Vec<u8> {
    let length = match known {
        Known::Directory { .. } => HEADER + 16 + ATTRIBUTES,
        Known::Empty { .. } => HEADER + 8,
        Known::Nothing => HEADER,
    };
    let mut out = Vec::with_capacity(length);
    out.extend_from_slice(&(length as u32).to_le_bytes());
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(&UNIQUE.to_le_bytes());
    match known {
        Known::Directory { request, node, attributes } => {
            out.extend_from_slice(&request.to_le_bytes());
            out.extend_from_slice(&node.to_le_bytes());
            out.extend_from_slice(attributes);
        }
        Known::Empty { node } => out.extend_from_slice(&node.to_le_bytes()),
        Known::Nothing => {}
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_these_bytes() {
        let attributes = [7; ATTRIBUTES];
        let known = Known::Directory { request: 258, node: 3, attributes: &attributes };
        let bytes = encode(known);
        let head = [136, 0, 0, 0, 0, 0, 0, 0, 255, 255, 255, 255, 255, 255, 255, 255];
        assert_eq!(bytes, [&head[..], &[2, 1, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0], &attributes].concat());
        assert_eq!(decode(&bytes), Some(known));
        let bytes = encode(Known::Nothing);
        assert_eq!(bytes, [&[16], &head[1..]].concat());
        assert_eq!(decode(&bytes), Some(Known::Nothing));
        let bytes = encode(Known::Empty { node: 3 });
        assert_eq!(bytes, [&[24], &head[1..], &[3, 0, 0, 0, 0, 0, 0, 0]].concat());
        assert_eq!(decode(&bytes), Some(Known::Empty { node: 3 }));
    }

    #[test]
    fn the_kernels_messages_are_left_to_it() {
        assert_eq!(decode(&[16, 0, 0, 0, 0, 0, 0, 0, 4, 0, 0, 0, 0, 0, 0, 0]), None);
        assert_eq!(decode(&[255; 15]), None);
        for length in 16..200 {
            let message = vec![255; length];
            let known = decode(&message);
            assert_eq!(matches!(known, Some(Known::Directory { .. })), length == 136, "{length}");
            assert_eq!(matches!(known, Some(Known::Empty { .. })), length == 24, "{length}");
            assert!(known.is_some());
        }
    }
}
