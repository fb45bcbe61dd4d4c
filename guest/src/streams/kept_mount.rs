//! What it takes to go on with a mount of the host's over another session. Pure.

use crate::wire::kept::{Kept, MAX_KEPT};

/// A mount that can be gone on with.
#[derive(Default, Debug)]
pub struct KeptMount {
    /// what was asked for, encoded: it is gone on with by who asks for the same
    pub asked: Vec<u8>,
    pub path: Vec<u8>,
    /// its OPENED
    pub opened: Vec<u8>,
    pub state: Keeping,
}

/// How far what its host's server knows of it has come.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub enum Keeping {
    /// it is not asked for
    #[default]
    Not,
    /// from here on nothing is passed on
    Coming(Vec<u8>),
    There(Vec<u8>),
}

impl KeptMount {
    /// A part has come. What is too long, or empty, is none that could be gone on with.
    pub fn take_in(&mut self, part: Kept) {
        let Keeping::Coming(bytes) = &mut self.state else { return };
        let (Kept::Part(more) | Kept::Last(more)) = part else { return };
        bytes.extend_from_slice(more);
        if bytes.len() > MAX_KEPT {
            self.state = Keeping::Not;
        } else if let Kept::Last(_) = part {
            let bytes = std::mem::take(bytes);
            self.state = if bytes.is_empty() { Keeping::Not } else { Keeping::There(bytes) };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn coming() -> KeptMount {
        KeptMount { state: Keeping::Coming(Vec::new()), ..KeptMount::default() }
    }

    #[test]
    fn is_there_when_the_last_part_is() {
        let mut mount = coming();
        mount.take_in(Kept::Part(b"a"));
        assert_eq!(mount.state, Keeping::Coming(b"a".to_vec()));
        mount.take_in(Kept::Last(b"b"));
        assert_eq!(mount.state, Keeping::There(b"ab".to_vec()));
        mount.take_in(Kept::Part(b"c"));
        assert_eq!(mount.state, Keeping::There(b"ab".to_vec()));
    }

    #[test]
    fn nothing_unasked_nothing_empty_nothing_endless() {
        let mut mount = KeptMount::default();
        mount.take_in(Kept::Last(b"a"));
        assert_eq!(mount.state, Keeping::Not);
        let mut mount = coming();
        mount.take_in(Kept::Last(b""));
        assert_eq!(mount.state, Keeping::Not);
        let mut mount = coming();
        for _ in 0..MAX_KEPT / (1 << 16) + 1 {
            mount.take_in(Kept::Part(&[1; 1 << 16]));
        }
        assert_eq!(mount.state, Keeping::Not);
    }
}
