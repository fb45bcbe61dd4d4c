//! What is known of a file, and changes to it; what is known of its file system.

use crate::requests::entries::MODE;
use crate::requests::mount::Mount;
use crate::share::nodes::Id;
use crate::sys::files::{NewTime, Stat, Time};
use crate::sys::{files, Errno, Fd, Res};
use crate::wire::fuse::{put_u32, put_u64, set, Request, MAX_NAME};

const GETATTR_FH: u32 = 1;

/// What a file is at this moment: by the handle that the request names, if it is one of this node.
fn stat(mount: &mut Mount, node: Id, handle: Option<u64>) -> Res<Stat> {
    match handle.and_then(|handle| mount.shared.handles.get(handle).ok()) {
        Some(handle) if handle.node == node => files::stat(handle.fd.raw()),
        _ => mount.shared.stat(node),
    }
}

pub fn get(mount: &mut Mount, request: &Request, out: &mut Vec<u8>) -> Res<()> {
    let fields = request.fields();
    let handle = if fields.u32(0)? & GETATTR_FH != 0 { Some(fields.u64(8)?) } else { None };
    let found = stat(mount, request.node, handle)?;
    mount.tell(request.node, &found, out);
    Ok(())
}

pub fn set(mount: &mut Mount, request: &Request, out: &mut Vec<u8>) -> Res<()> {
    let fields = request.fields();
    let valid = fields.u32(0)?;
    let handle = if valid & set::FH != 0 { Some(fields.u64(8)?) } else { None };
    mount.writable()?;
    let before = stat(mount, request.node, handle)?;
    let told = |bit: u32, at: usize| if valid & bit != 0 { fields.u32(at).map(Some) } else { Ok(None) };
    let (uid, gid) = (told(set::UID, 76)?, told(set::GID, 80)?);
    mount.shared.owners.may_give((before.uid, before.gid), uid, gid)?;
    if valid & set::SIZE != 0 {
        truncate(mount, request.node, handle, fields.u64(16)?)?;
    }
    let kept = before.mode & 0o7777;
    let mode = match told(set::MODE, 68)? {
        Some(mode) => Some(mode & MODE),
        // Who gives a file away, or what it is, takes its rights from it.
        None if valid & (set::UID | set::GID | set::KILL_SUIDGID) != 0 && before.kind() == libc::S_IFREG => {
            (kept & 0o6000 != 0).then_some(kept & MODE)
        }
        None => None,
    };
    if let Some(mode) = mode {
        set_mode(mount, request.node, handle, mode)?;
    }
    let time = |bit: u32, now: u32, at: usize, ns_at: usize| -> Res<NewTime> {
        let ns = fields.u32(ns_at)?;
        Ok(match valid {
            valid if valid & bit == 0 => NewTime::Omit,
            valid if valid & now != 0 => NewTime::Now,
            _ if ns >= 1_000_000_000 => return Err(Errno(libc::EINVAL)),
            _ => NewTime::At(Time { s: fields.u64(at)? as i64, ns }),
        })
    };
    let atime = time(set::ATIME, set::ATIME_NOW, 32, 56)?;
    let mtime = time(set::MTIME, set::MTIME_NOW, 40, 60)?;
    if (atime, mtime) != (NewTime::Omit, NewTime::Omit) {
        with_descriptor(mount, request.node, handle, |fd| files::set_times(fd, atime, mtime))?;
    }
    let found = stat(mount, request.node, handle)?;
    mount.changed(request.node, &found);
    mount.tell(request.node, &found, out);
    Ok(())
}

fn truncate(mount: &mut Mount, node: Id, handle: Option<u64>, size: u64) -> Res<()> {
    if size > i64::MAX as u64 {
        return Err(Errno(libc::EFBIG));
    }
    if let Some(handle) = handle {
        let handle = mount.shared.handles.get(handle)?;
        if handle.node == node && handle.writable() {
            return files::truncate(handle.fd.raw(), size);
        }
    }
    if !mount.shared.is_file(node)? {
        return Err(Errno(libc::EINVAL));
    }
    let (fd, _) = mount.shared.open(node, libc::O_WRONLY)?;
    files::truncate(fd.raw(), size)
}

/// Any descriptor of the node: of the handle, of one that is open, or one that only names it.
fn with_descriptor<T>(mount: &mut Mount, node: Id, handle: Option<u64>, run: impl Fn(i32) -> Res<T>) -> Res<T> {
    if let Some(handle) =
        handle.and_then(|handle| mount.shared.handles.get(handle).ok()).filter(|handle| handle.node == node)
    {
        return run(handle.fd.raw());
    }
    match mount.shared.open(node, libc::O_PATH) {
        Ok((fd, _)) => run(fd.raw()),
        Err(error) => match mount.shared.a_handle(node) {
            Some(handle) => run(mount.shared.handles.get(handle)?.fd.raw()),
            None => Err(error),
        },
    }
}

fn set_mode(mount: &mut Mount, node: Id, handle: Option<u64>, mode: u32) -> Res<()> {
    let set = with_descriptor(mount, node, handle, |fd| match files::set_mode(fd, mode) {
        Err(Errno(libc::EBADF)) => files::set_mode_of_path(fd, mode),
        other => other,
    });
    match set {
        // Linux before 6.6: it has to be opened for that.
        Err(Errno(libc::ENOSYS)) => files::set_mode(readable_or_writable(mount, node)?.raw(), mode),
        other => other,
    }
}

/// A descriptor of a file or directory that was opened, for whatever is allowed.
pub fn readable_or_writable(mount: &mut Mount, node: Id) -> Res<Fd> {
    match mount.shared.open(node, libc::O_RDONLY) {
        Err(Errno(libc::EACCES)) => mount.shared.open(node, libc::O_WRONLY),
        other => other,
    }
    .map(|(fd, _)| fd)
}

pub fn file_system(mount: &mut Mount, out: &mut Vec<u8>) -> Res<()> {
    let found = files::file_system(mount.shared.top().raw())?;
    for value in [found.f_blocks, found.f_bfree, found.f_bavail, found.f_files, found.f_ffree] {
        put_u64(out, value);
    }
    for value in [found.f_bsize as u32, MAX_NAME as u32, found.f_frsize as u32, 0] {
        put_u32(out, value);
    }
    out.extend_from_slice(&[0; 24]);
    Ok(())
}
