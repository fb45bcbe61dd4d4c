//! FUSE requests (linux/fuse.h) that the agent answers, so that nobody waits for the host. Some have one answer whatever the host's files are:
//! for each new file that is written to the kernel asks for `security.capability`, and many programs ask whether it is a terminal. Nobody
//! waits for a file to be closed. And the attributes of a directory in which something was changed are with the answer to that (known.rs).

use crate::wire::known::{Known, ATTRIBUTES};

/// The length of fuse_in_header, and of fuse_out_header.
const HEADER_IN: usize = 40;
const HEADER_OUT: usize = 16;
/// Where the name is in a FUSE_GETXATTR.
const NAME_AT: usize = HEADER_IN + 8;
const LOOKUP: u32 = 1;
const FORGET: u32 = 2;
const GETATTR: u32 = 3;
const OPEN: u32 = 14;
const READ: u32 = 15;
const WRITE: u32 = 16;
const RELEASE: u32 = 18;
const GETXATTR: u32 = 22;
const FLUSH: u32 = 25;
const IOCTL: u32 = 39;
const BATCH_FORGET: u32 = 42;
/// The only attributes that files of the host have here.
const USERS: &[u8] = b"user.";
const ENOTTY: i32 = 25;
const EOPNOTSUPP: i32 = 95;
/// The most directories of which attributes are kept.
const MAX_KEPT: usize = 8;

/// An answer.
#[derive(Clone, Debug)]
pub struct Answer {
    bytes: [u8; HEADER_OUT + ATTRIBUTES],
    len: usize,
}

impl Answer {
    pub fn bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
    fn to(message: &[u8], error: i32, attributes: &[u8]) -> Option<Answer> {
        let len = HEADER_OUT + attributes.len();
        let mut bytes = [0; HEADER_OUT + ATTRIBUTES];
        bytes[..4].copy_from_slice(&(len as u32).to_le_bytes());
        bytes[4..8].copy_from_slice(&(-error).to_le_bytes());
        bytes[8..HEADER_OUT].copy_from_slice(message.get(8..16)?);
        bytes.get_mut(HEADER_OUT..len)?.copy_from_slice(attributes);
        Some(Answer { bytes, len })
    }
}

/// What is done with a request.
#[derive(Debug)]
pub enum Way {
    /// it is the host's
    Pass,
    /// it is the host's, and can wait for the next one
    PassLater,
    /// it is answered, and the host need not know
    Answer(Answer),
    /// it is answered, and the host does it without answering once more
    AnswerAndPass(Answer),
}

/// What is known of a mount's directories.
#[derive(Default, Debug)]
pub struct Directories {
    /// the `unique` of the last request passed on with which attributes of directories may have changed
    last: u64,
    kept: Vec<(u64, [u8; ATTRIBUTES])>,
}

impl Directories {
    /// Decides about a request. One that is answered and passed on loses its `unique`.
    pub fn way(&mut self, message: &mut [u8]) -> Way {
        self.find_way(message).unwrap_or(Way::Pass)
    }

    fn find_way(&mut self, message: &mut [u8]) -> Option<Way> {
        let number = |at: usize| message.get(at..)?.first_chunk().map(|bytes| u32::from_le_bytes(*bytes));
        let long = |at: usize| message.get(at..)?.first_chunk().map(|bytes| u64::from_le_bytes(*bytes));
        let (opcode, unique, node) = (number(4)?, long(8)?, long(16)?);
        let whole = number(0)? as usize == message.len();
        let answer = match opcode {
            IOCTL if whole => Answer::to(message, ENOTTY, &[]),
            GETXATTR if whole && !message.get(NAME_AT..)?.starts_with(USERS) => Answer::to(message, EOPNOTSUPP, &[]),
            // Not those of an open file.
            GETATTR if whole && number(HEADER_IN)? == 0 => {
                let (_, attributes) = self.kept.iter().find(|(of, _)| *of == node)?;
                Answer::to(message, 0, attributes)
            }
            RELEASE if whole => {
                let answer = Answer::to(message, 0, &[])?;
                message[8..16].fill(0);
                return Some(Way::AnswerAndPass(answer));
            }
            FORGET | BATCH_FORGET => return Some(Way::PassLater),
            LOOKUP | GETATTR | OPEN | READ | WRITE | GETXATTR | FLUSH | IOCTL => return None,
            _ => {
                self.last = unique;
                self.kept.clear();
                return None;
            }
        };
        answer.map(Way::Answer)
    }

    /// The host has told something. What was before a request that has been passed on since is old.
    pub fn told(&mut self, known: Known) {
        let Known::Directory { request, node, attributes } = known else { return self.kept.clear() };
        if request != self.last {
            return;
        }
        self.kept.retain(|(of, _)| *of != node);
        if self.kept.len() < MAX_KEPT {
            self.kept.push((node, *attributes));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MKDIR: u32 = 9;

    fn request(opcode: u32, unique: u64, node: u64, body: &[u8]) -> Vec<u8> {
        let mut message = vec![0; HEADER_IN];
        message[..4].copy_from_slice(&((HEADER_IN + body.len()) as u32).to_le_bytes());
        message[4..8].copy_from_slice(&opcode.to_le_bytes());
        message[8..16].copy_from_slice(&unique.to_le_bytes());
        message[16..24].copy_from_slice(&node.to_le_bytes());
        message.extend_from_slice(body);
        message
    }
    fn answered(way: Way) -> Option<Vec<u8>> {
        match way {
            Way::Answer(answer) => Some(answer.bytes().to_vec()),
            _ => None,
        }
    }
    fn error(mut message: Vec<u8>) -> Option<i32> {
        let answer = answered(Directories::default().way(&mut message))?;
        assert_eq!((answer.len(), answer[0], answer[8]), (16, 16, 77));
        Some(-i32::from_le_bytes(*answer[4..].first_chunk().unwrap()))
    }

    #[test]
    fn what_is_the_same_for_all_files_is_answered_at_once() {
        let asked = |name: &[u8]| request(GETXATTR, 77, 1, &[&[0; 8], name].concat());
        assert_eq!(error(asked(b"security.capability\0")), Some(EOPNOTSUPP));
        assert_eq!(error(asked(b"system.posix_acl_access\0")), Some(EOPNOTSUPP));
        assert_eq!(error(request(IOCTL, 77, 1, &[0; 32])), Some(ENOTTY));
    }

    #[test]
    fn all_else_is_the_hosts() {
        assert_eq!(error(request(GETXATTR, 77, 1, b"\0\0\0\0\0\0\0\0user.tag\0")), None);
        for opcode in (0..100).filter(|opcode| ![GETXATTR, IOCTL].contains(opcode)) {
            assert_eq!(error(request(opcode, 77, 1, b"\0\0\0\0\0\0\0\0security.capability\0")), None, "{opcode}");
        }
        for cut in 0..HEADER_IN {
            assert_eq!(error(request(IOCTL, 77, 1, b"")[..cut].to_vec()), None);
        }
    }

    #[test]
    fn a_file_is_closed_without_waiting_and_the_host_still_told() {
        let mut message = request(RELEASE, 77, 5, &[9; 24]);
        let Way::AnswerAndPass(answer) = Directories::default().way(&mut message) else { panic!() };
        assert_eq!(answer.bytes(), [16, 0, 0, 0, 0, 0, 0, 0, 77, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(message, request(RELEASE, 0, 5, &[9; 24]));
        assert!(matches!(Directories::default().way(&mut request(FORGET, 0, 5, &[1; 8])), Way::PassLater));
    }

    #[test]
    fn a_directorys_attributes_are_answered_until_something_changes() {
        let mut directories = Directories::default();
        let get = |unique: u64, node: u64| request(GETATTR, unique, node, &[0; 16]);
        let told = |request: u64, node: u64| Known::Directory { request, node, attributes: &[3; ATTRIBUTES] };
        let ask = |directories: &mut Directories, message: Vec<u8>| answered(directories.way(&mut message.clone()));
        directories.way(&mut request(MKDIR, 10, 1, b"d"));
        directories.told(told(10, 1));
        let answer = ask(&mut directories, get(12, 1)).unwrap();
        assert_eq!((answer.len(), answer[0], answer[8], answer[16]), (120, 120, 12, 3));
        assert_eq!(ask(&mut directories, get(14, 2)), None);
        assert_eq!(ask(&mut directories, request(GETATTR, 14, 1, &[1; 16])), None);
        // Nothing of a file changes them; a request that may does, and what is told of one before it comes too late.
        directories.way(&mut request(WRITE, 16, 5, &[0; 40]));
        assert!(ask(&mut directories, get(18, 1)).is_some());
        directories.way(&mut request(MKDIR, 20, 1, b"e"));
        assert_eq!(ask(&mut directories, get(22, 1)), None);
        directories.way(&mut request(4, 24, 1, &[0; 88]));
        directories.told(told(20, 1));
        assert_eq!(ask(&mut directories, get(26, 1)), None);
        directories.told(told(24, 1));
        assert!(ask(&mut directories, get(28, 1)).is_some());
        directories.told(Known::Nothing);
        assert_eq!(ask(&mut directories, get(30, 1)), None);
        for node in 0..100 {
            directories.told(told(24, node));
        }
        assert_eq!(directories.kept.len(), MAX_KEPT);
    }
}
