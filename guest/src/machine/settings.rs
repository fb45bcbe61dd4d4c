//! Files of settings.

use std::ffi::CStr;

use crate::errors::failure;
use crate::sys::{self, check, Errno, Res};
use crate::wire::messages::Failure;

/// Puts a file of settings in place, if it is not so already. A disk that is full or read-only, and an image without
/// the directory, are no reason to refuse the machine: whoever misses the file finds a warning on the console.
pub fn write_setting(path: &CStr, content: &[u8], mode: u32) -> Result<(), Failure> {
    let there = sys::read_file(path, content.len() + 1);
    if there.as_ref().is_ok_and(|there| there == content) {
        return Ok(());
    }
    let is_longer = there.is_ok_and(|there| there.len() > content.len());
    let written = match overwrite(path, content, is_longer, mode) {
        Err(NO_FILE | Errno(libc::ELOOP)) => replace(path, content, mode),
        other => other,
    };
    match written {
        Err(error @ Errno(libc::ENOSPC | libc::EROFS | libc::EDQUOT | libc::ENOENT | libc::ENOTDIR)) => {
            sys::console::warn(path.to_str().unwrap_or("a file of settings"), error);
            Ok(())
        }
        other => other.map_err(|error| failure(&[b"cannot write ", path.to_bytes()].concat(), error)),
    }
}

/// What there is, is neither a file nor a link: a pipe that nobody reads says so itself.
const NO_FILE: Errno = Errno(libc::ENXIO);

/// Writes over what is there, which nobody reads while settings are made. A new file in its place would take ten times as long in a machine
/// that has just been restored.
fn overwrite(path: &CStr, content: &[u8], is_longer: bool, mode: u32) -> Res<()> {
    let flags = libc::O_WRONLY | libc::O_CREAT | libc::O_NOFOLLOW | libc::O_NONBLOCK | libc::O_NOCTTY;
    let file = sys::open_mode(path, flags, mode)?;
    if !sys::is_file(&file)? {
        return Err(NO_FILE);
    }
    sys::write_all(file.raw(), content)?;
    if is_longer {
        // SAFETY: plain call.
        check(unsafe { libc::ftruncate(file.raw(), content.len() as libc::off_t) })?;
    }
    Ok(())
}

/// Puts a file where the image has a link to one of its own making, or no file at all.
fn replace(path: &CStr, content: &[u8], mode: u32) -> Res<()> {
    let temporary = sys::path(&[path.to_bytes(), b".smolvm"]);
    sys::write_file(&temporary, content, mode).and_then(|()| sys::rename(&temporary, path)).inspect_err(|_| {
        // SAFETY: a valid path; half a file is no file.
        unsafe { libc::unlink(temporary.as_ptr()) };
    })
}
