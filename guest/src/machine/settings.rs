//! Files of settings.

use std::ffi::CStr;

use crate::errors::failure;
use crate::sys;
use crate::wire::messages::Failure;

/// Puts a file of settings in place, if it is not so already. A disk that is full or read-only, and an image without
/// the directory, are no reason to refuse the machine: whoever misses the file finds a warning on the console.
pub fn write_setting(path: &CStr, content: &[u8], mode: u32) -> Result<(), Failure> {
    if sys::read_file(path, content.len() + 1).is_ok_and(|there| there == content) {
        return Ok(());
    }
    let text = path.to_bytes();
    let temporary = sys::path(&[text, b".smolvm"]);
    let written = sys::write_file(&temporary, content, mode).and_then(|()| sys::rename(&temporary, path));
    match written {
        Ok(()) => Ok(()),
        Err(error) => {
            // SAFETY: a valid path; half a file is no file.
            unsafe { libc::unlink(temporary.as_ptr()) };
            if matches!(error.0, libc::ENOSPC | libc::EROFS | libc::EDQUOT | libc::ENOENT | libc::ENOTDIR) {
                crate::sys::console::warn(path.to_str().unwrap_or("a file of settings"), error);
                return Ok(());
            }
            Err(failure(&[b"cannot write ", text].concat(), error))
        }
    }
}
