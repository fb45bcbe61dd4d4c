//! Owners, both ways: the user who shares is the guest's user that the mount is for; others are nobody.

use crate::sys::{Errno, Res};

/// Who is neither.
const NOBODY: u32 = 65_534;

/// A pair of users and one of groups.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Owners {
    /// (the host's, the guest's)
    pub uid: (u32, u32),
    pub gid: (u32, u32),
}

fn seen((host, guest): (u32, u32), owner: u32) -> u32 {
    if owner == host {
        guest
    } else {
        NOBODY
    }
}

impl Owners {
    /// A file's owner and group as the guest sees them.
    pub fn told(&self, uid: u32, gid: u32) -> (u32, u32) {
        (seen(self.uid, uid), seen(self.gid, gid))
    }

    /// Whether a file may be given to them, which are the guest's: it has them already, or not at all.
    pub fn may_give(&self, file: (u32, u32), uid: Option<u32>, gid: Option<u32>) -> Res<()> {
        let has = self.told(file.0, file.1);
        if uid.is_none_or(|uid| uid == has.0) && gid.is_none_or(|gid| gid == has.1) {
            Ok(())
        } else {
            Err(Errno(libc::EPERM))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn maps_the_pair_and_nobody_else() {
        let owners = Owners { uid: (1000, 7), gid: (100, 8) };
        assert_eq!(owners.told(1000, 100), (7, 8));
        assert_eq!(owners.told(0, 0), (NOBODY, NOBODY));
        assert_eq!(owners.told(7, 8), (NOBODY, NOBODY));
        assert_eq!(owners.may_give((1000, 100), Some(7), Some(8)), Ok(()));
        assert_eq!(owners.may_give((1000, 100), None, None), Ok(()));
        assert_eq!(owners.may_give((1000, 100), Some(1000), None), Err(Errno(libc::EPERM)));
        assert_eq!(owners.may_give((0, 100), Some(7), None), Err(Errno(libc::EPERM)));
    }
}
