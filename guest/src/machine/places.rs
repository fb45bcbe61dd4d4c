//! Directories and drives that the host wants to be there before the first command.

use std::ffi::{CStr, CString};

use crate::errors::failure;
use crate::machine::{slow_mounts, users};
use crate::sys::{self, check, console, Errno, Res};
use crate::wire::messages::{code, Failure, Mount};

/// The kernel's PATH_MAX, with the final NUL.
const MAX_PATH: usize = 4096;
/// What may be read of the mount table.
const MAX_TABLE: usize = 1 << 20;
/// How the user's own drives are named; what the guest mounts itself, it names by its node.
const DRIVE: &[u8] = b"/dev/disk/by-id/virtio-";
const NODE: &[u8] = b"/dev/vd";

/// Mounts a drive where the host wants it, and makes that directory. One that is mounted already is fine.
pub fn mount(wanted: &Mount) -> Result<(), Failure> {
    let target = checked(wanted.path)?;
    let source = sys::path(&[DRIVE, wanted.serial]);
    let kind =
        CString::new(wanted.kind).map_err(|_| Failure::new(code::INVALID, "the file system's name is malformed"))?;
    let table = mount_table();
    if mounts(&table).any(|(from, at)| from == source.to_bytes() && at == wanted.path) {
        return Ok(());
    }
    let failed = |e| failure(&[b"cannot mount a drive at '", wanted.path, b"'"].concat(), e);
    make(&target, None).map_err(failed)?;
    let flags = if wanted.read_only { libc::MS_RDONLY } else { 0 };
    sys::mount(&source, &target, &kind, flags, c"").map_err(failed)
}

/// Makes the working directory of commands, for who runs them. Without room for it, or without that user, the machine runs all the same: both may
/// be made by its first commands.
pub fn make_workdir(path: &[u8], user: &[u8]) -> Result<(), Failure> {
    let target = checked(path)?;
    // Whose files these are, we are the ones to ask: nobody would answer.
    if is_served(&mount_table(), path) {
        return Ok(());
    }
    let owner = match users::resolve(user) {
        Ok(user) => Some((user.identity.uid, user.identity.gid)),
        Err(_) => {
            console::warn("the working directory's user", Errno(libc::ENOENT));
            None
        }
    };
    match make(&target, owner) {
        Err(error @ Errno(libc::ENOSPC | libc::EROFS | libc::EDQUOT)) => {
            console::warn("the working directory", error);
            Ok(())
        }
        made => made.map_err(|e| failure(&[b"cannot make the working directory '", path, b"'"].concat(), e)),
    }
}

/// Unmounts the drives, the last one first, so that the next to have them finds them clean. What cannot be unmounted is left.
pub fn unmount_drives() {
    let table = mount_table();
    let drives = mounts(&table).filter(|(from, at)| (from.starts_with(DRIVE) || from.starts_with(NODE)) && at != b"/");
    let mut targets: Vec<CString> = drives.filter_map(|(_, at)| CString::new(at).ok()).collect();
    while let Some(target) = targets.pop() {
        // SAFETY: a valid path.
        unsafe { libc::umount2(target.as_ptr(), 0) };
    }
}

/// The mount table; empty where it cannot be read.
pub fn mount_table() -> Vec<u8> {
    sys::read_file(slow_mounts::TABLE, MAX_TABLE).unwrap_or_default()
}

/// An absolute path without NUL bytes.
fn checked(path: &[u8]) -> Result<CString, Failure> {
    let fits = path.first() == Some(&b'/') && path.len() < MAX_PATH;
    let path = fits.then(|| CString::new(path).ok()).flatten();
    path.ok_or_else(|| Failure::new(code::INVALID, "a directory's path is not absolute, too long or holds a NUL byte"))
}

/// mkdir -p; what is made belongs to `owner`, by default root.
fn make(path: &CStr, owner: Option<(u32, u32)>) -> Res<()> {
    let bytes = path.to_bytes();
    let ends = bytes.iter().enumerate().skip(1).filter(|(_, &b)| b == b'/').map(|(i, _)| i);
    for end in ends.chain([bytes.len()]) {
        let part = sys::path(&[&bytes[..end]]);
        // SAFETY: valid paths.
        unsafe {
            match check(libc::mkdir(part.as_ptr(), 0o755)) {
                Ok(_) => {}
                Err(Errno(libc::EEXIST)) => continue,
                Err(error) => return Err(error),
            }
            if let Some((uid, gid)) = owner {
                check(libc::lchown(part.as_ptr(), uid, gid))?;
            }
        }
    }
    let slash = sys::path(&[bytes, b"/."]);
    // SAFETY: a valid path. It says whether a directory is there.
    check(unsafe { libc::access(slash.as_ptr(), libc::F_OK) }).map(|_| ())
}

/// Whether a path is, or lies below, a directory of the host. Pure.
fn is_served(table: &[u8], path: &[u8]) -> bool {
    let ours = |line: &[u8]| {
        let mut fields = line.split(|&b| b == b' ');
        fields.next() == Some(b"smolvm-overlay") || fields.nth(1) == Some(b"fuse.smolvm")
    };
    let below = |at: &[u8]| path.strip_prefix(at).is_some_and(|rest| rest.is_empty() || rest[0] == b'/');
    table.split(|&b| b == b'\n').filter(|line| ours(line)).any(|line| mounts(line).any(|(_, at)| below(&at)))
}

/// What is mounted where, by a mount table (proc(5), mounts). Pure.
pub fn mounts(table: &[u8]) -> impl Iterator<Item = (Vec<u8>, Vec<u8>)> + '_ {
    table.split(|&b| b == b'\n').filter_map(|line| {
        let mut fields = line.split(|&b| b == b' ');
        Some((plain(fields.next()?), plain(fields.next()?)))
    })
}

/// A field without its escapes: \040 is a space. Pure.
fn plain(field: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        match after {
            [a @ b'0'..=b'3', b @ b'0'..=b'7', c @ b'0'..=b'7', more @ ..] if byte == b'\\' => {
                out.push((a - b'0') * 64 + (b - b'0') * 8 + (c - b'0'));
                rest = more;
            }
            _ => out.push(byte),
        }
    }
    out
}
