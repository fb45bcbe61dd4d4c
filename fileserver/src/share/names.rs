//! Which names a guest may say.

use std::ffi::CStr;

use crate::sys::{Errno, Res};
use crate::wire::fuse::MAX_NAME;

/// A name of one entry of a directory: nothing that leads elsewhere.
pub fn checked(name: &CStr) -> Res<&CStr> {
    let bytes = name.to_bytes();
    if bytes.len() > MAX_NAME {
        return Err(Errno(libc::ENAMETOOLONG));
    }
    if bytes.is_empty() || bytes == b"." || bytes == b".." || bytes.contains(&b'/') {
        return Err(Errno(libc::EINVAL));
    }
    Ok(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_of_entries() {
        for name in [c"a", c"...", c"..a", c" ", c"\n", c"\xff\xfe"] {
            assert_eq!(checked(name), Ok(name));
        }
        for name in [c"", c".", c"..", c"/", c"a/b", c"../a", c"a/", c"/etc"] {
            assert_eq!(checked(name), Err(Errno(libc::EINVAL)));
        }
        let long = std::ffi::CString::new([b'x'; 256]).unwrap();
        assert_eq!(checked(&long), Err(Errno(libc::ENAMETOOLONG)));
    }
}
