//! What is done with paths: checked, followed, made, renamed.

use std::borrow::Cow;
use std::ffi::{CStr, CString};

use crate::files::info::FileStat;
use crate::machine::users::resolve;
use crate::sys::{check, Errno, Res};
use crate::wire::messages::{code, Failure};

/// The kernel's PATH_MAX, with the final NUL.
const MAX_PATH: usize = 4096;
/// Symlinks followed by hand, as many as the kernel follows.
const MAX_LINKS: usize = 40;
/// A path of a request as an absolute one: `~USER/` stands for that user's home, `~/` for that of the one who acts.
pub fn absolute<'a>(path: &'a [u8], acting: &[u8]) -> Result<Cow<'a, [u8]>, Failure> {
    let Some(rest) = path.strip_prefix(b"~") else { return Ok(Cow::Borrowed(path)) };
    let slash = rest.iter().position(|&b| b == b'/');
    let slash = slash.ok_or_else(|| Failure::new(code::INVALID, "the path has no slash behind its user"))?;
    let (user, below) = (&rest[..slash], &rest[slash + 1..]);
    let home = resolve(if user.is_empty() { acting } else { user })?.account.home;
    Ok(Cow::Owned(below_home(home, below)))
}

/// A path below a home as /etc/passwd names it, or below the root where it names none; the home itself for an empty path. Pure.
fn below_home(mut home: Vec<u8>, below: &[u8]) -> Vec<u8> {
    if home.first() != Some(&b'/') {
        home = b"/".to_vec();
    }
    if !below.is_empty() {
        if home.last() != Some(&b'/') {
            home.push(b'/');
        }
        home.extend_from_slice(below);
    }
    home
}

/// An absolute path without NUL bytes. Pure.
pub fn checked_path(path: &[u8]) -> Result<CString, Failure> {
    let invalid = |why: &str| Failure::new(code::INVALID, [b"the path ", why.as_bytes()].concat());
    if path.first() != Some(&b'/') {
        return Err(invalid("is not absolute"));
    }
    if path.len() >= MAX_PATH {
        return Err(invalid("is longer than 4095 bytes"));
    }
    CString::new(path).map_err(|_| invalid("holds a NUL byte"))
}

/// mkdir -p, for the directories above `path` and, with `whole`, itself. True if the last one was made.
pub fn make_parents(path: &CStr, whole: bool) -> Res<bool> {
    let bytes = path.to_bytes();
    let ends = bytes.iter().enumerate().skip(1).filter(|(_, &b)| b == b'/').map(|(i, _)| i);
    let mut made = false;
    for end in ends.chain(whole.then_some(bytes.len())) {
        let part = CString::new(&bytes[..end]).map_err(|_| Errno(libc::EINVAL))?;
        // SAFETY: the path is NUL-terminated.
        match check(unsafe { libc::mkdir(part.as_ptr(), 0o777) }) {
            Ok(_) => made = true,
            Err(Errno(libc::EEXIST | libc::EISDIR)) => made = false,
            // A directory above that exists may be unwritable or read-only; what is missing shows below.
            Err(Errno(libc::EACCES | libc::EROFS)) if FileStat::of(libc::AT_FDCWD, &part, true).is_ok() => made = false,
            Err(error) => return Err(error),
        }
    }
    Ok(made)
}

/// renameat2(2) inside one directory, or between absolute paths.
pub fn rename_at(dir: i32, from: &CStr, to: &CStr, replace: bool) -> Res<()> {
    if !replace {
        let flags = libc::RENAME_NOREPLACE;
        // SAFETY: both paths are NUL-terminated.
        let result = unsafe { libc::syscall(libc::SYS_renameat2, dir, from.as_ptr(), dir, to.as_ptr(), flags) };
        match check(result as libc::c_int) {
            Ok(_) => return Ok(()),
            // This file system cannot: look first.
            Err(Errno(libc::EINVAL | libc::ENOSYS)) => {
                if FileStat::of(dir, to, false).is_ok() {
                    return Err(Errno(libc::EEXIST));
                }
            }
            Err(error) => return Err(error),
        }
    }
    // SAFETY: both paths are NUL-terminated.
    check(unsafe { libc::renameat(dir, from.as_ptr(), dir, to.as_ptr()) }).map(|_| ())
}

/// Where a path leads when its last component is a symlink. A link that leads nowhere names the file to be made.
pub fn follow(path: &CStr) -> Res<CString> {
    follow_to(path).map(|(path, _)| path)
}

/// [`follow`], and what is there.
pub fn follow_to(path: &CStr) -> Res<(CString, Option<FileStat>)> {
    let mut path = path.to_owned();
    for _ in 0..MAX_LINKS {
        let target = match FileStat::of(libc::AT_FDCWD, &path, false) {
            Ok(stat) if stat.is_symlink() => stat.target(libc::AT_FDCWD, &path),
            Ok(stat) => return Ok((path, Some(stat))),
            Err(Errno(libc::ENOENT)) => return Ok((path, None)),
            Err(error) => return Err(error),
        };
        let base: &[u8] = if target.first() == Some(&b'/') { b"" } else { directory_of(path.to_bytes()) };
        let next = [base, &target].concat();
        if next.len() >= MAX_PATH {
            return Err(Errno(libc::ENAMETOOLONG));
        }
        path = CString::new(next).map_err(|_| Errno(libc::EINVAL))?;
    }
    Err(Errno(libc::ELOOP))
}

/// The part of a path up to and with its last slash. Pure.
pub fn directory_of(path: &[u8]) -> &[u8] {
    &path[..path.iter().rposition(|&b| b == b'/').map_or(0, |at| at + 1)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn homes_stand_for_themselves_and_what_is_below() {
        for (home, below, path) in [
            ("/root", "", "/root"),
            ("/root", "a/b", "/root/a/b"),
            ("/home/x/", "a", "/home/x/a"),
            ("/", "a", "/a"),
            ("", "~/a", "/~/a"),
            ("relative", "", "/"),
        ] {
            assert_eq!(below_home(home.as_bytes().to_vec(), below.as_bytes()), path.as_bytes());
        }
        assert_eq!(absolute(b"/a/~", b"").unwrap(), &b"/a/~"[..]);
        assert_eq!(absolute(b"~/x", b"").unwrap(), &b"/root/x"[..]);
        assert!(absolute(b"~root/", b"nobody").is_ok());
        assert!(absolute(b"~root", b"").is_err());
        assert!(absolute(b"~no-such-user/x", b"").is_err());
        assert_eq!(absolute(b"x", b"").unwrap(), &b"x"[..]);
    }
}
