//! FUSE requests (linux/fuse.h) that the agent answers, so that nobody waits for the host. Some have one answer whatever the host's files are:
//! for each new file that is written to the kernel asks for `security.capability`, and many programs ask whether it is a terminal. Nobody
//! waits for a file to be closed. The attributes of a directory in which something was changed are with the answer to that (known.rs). And in
//! a directory that was made just now there is nothing but what has been made in it.

use crate::wire::known::{Known, ATTRIBUTES};

/// The length of fuse_in_header, and of fuse_out_header.
const HEADER_IN: usize = 40;
const HEADER_OUT: usize = 16;
/// Where the name is in a FUSE_GETXATTR.
const NAME_AT: usize = HEADER_IN + 8;
const LOOKUP: u32 = 1;
const FORGET: u32 = 2;
const GETATTR: u32 = 3;
const SETATTR: u32 = 4;
const SYMLINK: u32 = 6;
const MKNOD: u32 = 8;
const MKDIR: u32 = 9;
const UNLINK: u32 = 10;
const RMDIR: u32 = 11;
const RENAME: u32 = 12;
const LINK: u32 = 13;
const OPEN: u32 = 14;
const READ: u32 = 15;
const WRITE: u32 = 16;
const RELEASE: u32 = 18;
const FSYNC: u32 = 20;
const SETXATTR: u32 = 21;
const GETXATTR: u32 = 22;
const LISTXATTR: u32 = 23;
const FLUSH: u32 = 25;
const READDIR: u32 = 28;
const CREATE: u32 = 35;
const IOCTL: u32 = 39;
const BATCH_FORGET: u32 = 42;
const READDIRPLUS: u32 = 44;
const RENAME2: u32 = 45;
/// The only attributes that files of the host have here.
const USERS: &[u8] = b"user.";
const ENOENT: i32 = 2;
const ENOTTY: i32 = 25;
const EOPNOTSUPP: i32 = 95;
/// The most directories of which attributes are kept, and of which it is known what is in them.
const MAX_KEPT: usize = 8;
/// The most names of one of these.
const MAX_NAMES: usize = 4096;

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
    /// new ones, the latest last, and hashes of all names that may be in them, in order
    new: Vec<(u64, Vec<u64>)>,
}

/// FNV-1a. Who makes two names with one hash has the host asked about the second.
fn hash(name: &[u8]) -> u64 {
    name.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}

/// The name that begins there in a request.
fn name_at(message: &[u8], at: usize) -> Option<&[u8]> {
    message.get(at..)?.split(|byte| *byte == 0).next()
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
            LOOKUP if whole && self.is_absent(node, name_at(message, HEADER_IN)?) => Answer::to(message, ENOENT, &[]),
            LOOKUP | GETATTR | OPEN | READ | WRITE | GETXATTR | FLUSH | IOCTL => return None,
            _ => {
                self.last = unique;
                self.kept.clear();
                self.passed(opcode, node, message);
                return None;
            }
        };
        answer.map(Way::Answer)
    }

    /// Whether nothing can have that name.
    fn is_absent(&self, node: u64, name: &[u8]) -> bool {
        self.new.iter().any(|(of, names)| *of == node && names.binary_search(&hash(name)).is_err())
    }

    /// A request goes to the host: what it makes may be there from now on.
    fn passed(&mut self, opcode: u32, node: u64, message: &[u8]) {
        let (directory, name) = match opcode {
            SYMLINK => (node, name_at(message, HEADER_IN)),
            MKDIR | LINK => (node, name_at(message, HEADER_IN + 8)),
            MKNOD | CREATE => (node, name_at(message, HEADER_IN + 16)),
            SETATTR | UNLINK | RMDIR | FSYNC | SETXATTR | LISTXATTR | READDIR | READDIRPLUS => return,
            RENAME | RENAME2 => {
                let to = message.get(HEADER_IN..).and_then(|body| body.first_chunk());
                (to.map_or(node, |to| u64::from_le_bytes(*to)), None)
            }
            _ => return self.new.clear(),
        };
        let Some(at) = self.new.iter().position(|(of, _)| *of == directory) else { return };
        let names = &mut self.new[at].1;
        match name.map(|name| names.binary_search(&hash(name))) {
            Some(Err(place)) if names.len() < MAX_NAMES => names.insert(place, hash(name.unwrap_or_default())),
            Some(Ok(_)) => {}
            _ => drop(self.new.remove(at)),
        }
    }

    /// The host has told something. What was before a request that has been passed on since is old.
    pub fn told(&mut self, known: Known) {
        let (request, node, attributes) = match known {
            Known::Directory { request, node, attributes } => (request, node, attributes),
            Known::Empty { node } => {
                if self.new.len() >= MAX_KEPT {
                    self.new.remove(0);
                }
                return self.new.push((node, Vec::new()));
            }
            Known::Nothing => {
                self.new.clear();
                return self.kept.clear();
            }
        };
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
    fn in_a_new_directory_is_only_what_was_made_there() {
        let mut directories = Directories::default();
        let find = |directories: &mut Directories, node: u64, name: &[u8]| {
            let way = directories.way(&mut request(LOOKUP, 2, node, &[name, b"\0"].concat()));
            answered(way).map(|answer| -i32::from_le_bytes(*answer[4..].first_chunk().unwrap()))
        };
        assert_eq!(find(&mut directories, 7, b"a"), None);
        directories.told(Known::Empty { node: 7 });
        assert_eq!(find(&mut directories, 7, b"a"), Some(ENOENT));
        assert_eq!(find(&mut directories, 8, b"a"), None);
        for (opcode, before, name) in
            [(CREATE, 16, "a"), (MKDIR, 8, "b"), (MKNOD, 16, "c"), (SYMLINK, 0, "d"), (LINK, 8, "e")]
        {
            assert_eq!(find(&mut directories, 7, name.as_bytes()), Some(ENOENT), "{name}");
            let body = [&vec![1; before][..], name.as_bytes(), b"\0x\0"].concat();
            directories.way(&mut request(opcode, 4, 7, &body));
            assert_eq!(find(&mut directories, 7, name.as_bytes()), None, "{name}");
        }
        directories.way(&mut request(UNLINK, 4, 7, b"a\0"));
        assert_eq!(find(&mut directories, 7, b"a"), None);
        assert_eq!(find(&mut directories, 7, b"z"), Some(ENOENT));
        // What comes from elsewhere has any name, and what is not known may do anything.
        directories.way(&mut request(RENAME, 4, 9, &[&7u64.to_le_bytes()[..], b"f\0z\0"].concat()));
        assert_eq!(find(&mut directories, 7, b"z"), None);
        directories.told(Known::Empty { node: 7 });
        directories.way(&mut request(51, 4, 9, b"f\0"));
        assert_eq!(find(&mut directories, 7, b"z"), None);
        directories.told(Known::Empty { node: 7 });
        directories.told(Known::Nothing);
        assert_eq!(find(&mut directories, 7, b"z"), None);
        for node in 10..30 {
            directories.told(Known::Empty { node });
        }
        assert_eq!(directories.new.len(), MAX_KEPT);
        assert_eq!((find(&mut directories, 21, b"a"), find(&mut directories, 22, b"a")), (None, Some(ENOENT)));
        for name in 0..MAX_NAMES + 1 {
            directories.way(&mut request(SYMLINK, 4, 22, format!("{name}\0x\0").as_bytes()));
        }
        assert_eq!(find(&mut directories, 22, b"a"), None);
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
