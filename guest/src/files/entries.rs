//! What a directory holds.

use std::ffi::CStr;

use crate::errors::failure;
use crate::sys::{Errno, Fd};
use crate::wire::messages::Failure;

/// Calls `each` with the name of every entry but "." and "..", until it returns false.
pub fn each_entry(dir: Fd, mut each: impl FnMut(&CStr) -> Result<bool, Failure>) -> Result<(), Failure> {
    each_typed_entry(dir, |name, _| each(name))
}

/// [`each_entry`] with what readdir(3) says of the type: `DT_UNKNOWN` where the file system does not tell.
pub fn each_typed_entry(dir: Fd, mut each: impl FnMut(&CStr, u8) -> Result<bool, Failure>) -> Result<(), Failure> {
    // SAFETY: fdopendir takes the descriptor over; an entry is read before the next call.
    unsafe {
        let stream = libc::fdopendir(dir.raw());
        if stream.is_null() {
            return Err(failure(b"cannot read a directory", Errno::last()));
        }
        dir.into_raw();
        let result = loop {
            *libc::__errno_location() = 0;
            let entry = libc::readdir(stream);
            if entry.is_null() {
                let errno = Errno::last();
                break if errno.0 == 0 { Ok(()) } else { Err(failure(b"cannot read a directory", errno)) };
            }
            let name = CStr::from_ptr((*entry).d_name.as_ptr());
            if matches!(name.to_bytes(), b"." | b"..") {
                continue;
            }
            match each(name, (*entry).d_type) {
                Ok(true) => {}
                Ok(false) => break Ok(()),
                Err(error) => break Err(error),
            }
        };
        libc::closedir(stream);
        result
    }
}
