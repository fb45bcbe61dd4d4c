//! FUSE requests (linux/fuse.h) that have one answer whatever the host's files are. The agent gives it, and nobody waits for the host:
//! for each new file that is written to the kernel asks for `security.capability`, and many programs ask whether it is a terminal.

/// The length of fuse_in_header, and of fuse_out_header.
const HEADER_IN: usize = 40;
const HEADER_OUT: usize = 16;
/// Where the name is in a FUSE_GETXATTR.
const NAME_AT: usize = HEADER_IN + 8;
const GETXATTR: u32 = 22;
const IOCTL: u32 = 39;
/// The only attributes that files of the host have here.
const USERS: &[u8] = b"user.";
const ENOTTY: i32 = 25;
const EOPNOTSUPP: i32 = 95;

/// The whole answer to a request that the host would always answer in the same way; None: the host has to be asked. Pure.
pub fn answer_at_once(message: &[u8]) -> Option<[u8; HEADER_OUT]> {
    let number = |at: usize| message.get(at..)?.first_chunk().map(|bytes| u32::from_le_bytes(*bytes));
    if number(0)? as usize != message.len() {
        return None;
    }
    let error = match number(4)? {
        IOCTL => ENOTTY,
        GETXATTR if !message.get(NAME_AT..)?.starts_with(USERS) => EOPNOTSUPP,
        _ => return None,
    };
    let mut answer = [0; HEADER_OUT];
    answer[..4].copy_from_slice(&(HEADER_OUT as u32).to_le_bytes());
    answer[4..8].copy_from_slice(&(-error).to_le_bytes());
    answer[8..].copy_from_slice(message.get(8..16)?);
    Some(answer)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(opcode: u32, body: &[u8]) -> Vec<u8> {
        let mut message = vec![0; HEADER_IN];
        message[..4].copy_from_slice(&((HEADER_IN + body.len()) as u32).to_le_bytes());
        message[4..8].copy_from_slice(&opcode.to_le_bytes());
        message[8..16].copy_from_slice(&77u64.to_le_bytes());
        message.extend_from_slice(body);
        message
    }
    fn error(message: &[u8]) -> Option<i32> {
        let answer = answer_at_once(message)?;
        assert_eq!((answer[0], answer[8]), (16, 77));
        Some(-i32::from_le_bytes(*answer[4..].first_chunk().unwrap()))
    }

    #[test]
    fn what_is_the_same_for_all_files_is_answered_at_once() {
        assert_eq!(error(&request(GETXATTR, b"\0\0\0\0\0\0\0\0security.capability\0")), Some(EOPNOTSUPP));
        assert_eq!(error(&request(GETXATTR, b"\0\0\0\0\0\0\0\0system.posix_acl_access\0")), Some(EOPNOTSUPP));
        assert_eq!(error(&request(IOCTL, &[0; 32])), Some(ENOTTY));
    }

    #[test]
    fn all_else_is_the_hosts() {
        assert_eq!(error(&request(GETXATTR, b"\0\0\0\0\0\0\0\0user.tag\0")), None);
        for opcode in (0..100).filter(|opcode| ![GETXATTR, IOCTL].contains(opcode)) {
            assert_eq!(error(&request(opcode, b"\0\0\0\0\0\0\0\0security.capability\0")), None, "{opcode}");
        }
        for cut in 0..HEADER_IN {
            assert_eq!(error(&request(IOCTL, b"")[..cut]), None);
        }
    }
}
