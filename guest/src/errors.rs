//! Linux error numbers as the protocol's codes.

use crate::sys::Errno;
use crate::wire::messages::{code, Failure};

/// The protocol's code for an error number.
pub fn code_of(errno: Errno) -> u32 {
    match errno.0 {
        libc::ENOENT => code::NOT_FOUND,
        libc::EEXIST => code::EXISTS,
        libc::ENOTDIR => code::NOT_DIRECTORY,
        libc::EISDIR => code::IS_DIRECTORY,
        libc::ENOTEMPTY => code::NOT_EMPTY,
        libc::EACCES | libc::EPERM | libc::EROFS => code::PERMISSION,
        libc::ENOSPC | libc::EDQUOT => code::NO_SPACE,
        libc::EINVAL | libc::ENAMETOOLONG | libc::ELOOP => code::INVALID,
        libc::ENOSYS | libc::EOPNOTSUPP => code::UNSUPPORTED,
        libc::EMFILE | libc::ENFILE | libc::ENOMEM | libc::EAGAIN => code::LIMIT,
        libc::E2BIG => code::TOO_LONG,
        libc::ECONNREFUSED => code::REFUSED,
        libc::ENETUNREACH | libc::EHOSTUNREACH | libc::ETIMEDOUT => code::UNREACHABLE,
        libc::EBUSY | libc::ETXTBSY => code::BUSY,
        libc::ECONNRESET => code::RESET,
        libc::EXDEV => code::CROSS_DEVICE,
        _ => code::IO,
    }
}

/// A failure that says what was done, and why it did not work.
pub fn failure(what: &[u8], errno: Errno) -> Failure {
    let mut message = what.to_vec();
    message.extend_from_slice(b": ");
    message.extend_from_slice(errno.text().as_bytes());
    Failure { errno: errno.0, ..Failure::new(code_of(errno), message) }
}

/// A failure that names what was tried with which path.
pub fn failed_at<'a>(what: &'a str, path: &'a [u8]) -> impl FnOnce(Errno) -> Failure + 'a {
    move |errno| failure(&[what.as_bytes(), b" '", path, b"'"].concat(), errno)
}

/// A limit was asked for that this kernel cannot keep.
pub fn no_controller(name: &str) -> Failure {
    let message = [b"this kernel has no cgroup controller '", name.as_bytes(), b"'"].concat();
    Failure::new(code::UNSUPPORTED, message)
}
