//! Files are opened, made and closed.

use std::ffi::CStr;

use crate::requests::entries::MODE;
use crate::requests::mount::Mount;
use crate::share::names::checked;
use crate::share::nodes::Id;
use crate::sys::files::Stat;
use crate::sys::{files, Errno, Fd, Res};
use crate::wire::fuse::{open, put_open, Request};

/// The flags for the host: what it is opened for, and nothing else. A file that is to be emptied is opened for writing.
fn access(flags: u32) -> Res<i32> {
    let flags = flags as i32;
    match flags & libc::O_ACCMODE {
        libc::O_RDONLY if flags & libc::O_TRUNC != 0 => Ok(libc::O_RDWR),
        access @ (libc::O_RDONLY | libc::O_WRONLY | libc::O_RDWR) => Ok(access),
        _ => Err(Errno(libc::EINVAL)),
    }
}

/// Appends fuse_open_out for what was opened.
fn add(
    mount: &mut Mount,
    id: Id,
    fd: Fd,
    room: crate::share::handles::Room,
    access: i32,
    flags: u32,
    out: &mut Vec<u8>,
) {
    let handle = mount.shared.handles.add(room, fd, id, access);
    if let Ok(node) = mount.shared.nodes.get_mut(id) {
        node.opened(handle, access);
    }
    put_open(out, handle, flags);
}

/// What the kernel may keep: pages of a file that is as it was told. Strict: nothing.
fn flags_of(mount: &Mount, id: Id, stat: &Stat) -> u32 {
    if mount.shared.terms.strict {
        open::DIRECT_IO
    } else if mount.keeps(id, stat) {
        open::KEEP_CACHE
    } else {
        0
    }
}

pub fn open(mount: &mut Mount, request: &Request, out: &mut Vec<u8>) -> Res<()> {
    let wanted = request.fields().u32(0)?;
    let access = access(wanted)?;
    let empty = wanted as i32 & libc::O_TRUNC;
    if access != libc::O_RDONLY {
        mount.writable()?;
    }
    if !mount.shared.is_file(request.node)? {
        return Err(Errno(libc::EACCES));
    }
    let room = mount.shared.handles.room()?;
    let (fd, stat) = mount.shared.open(request.node, access | empty)?;
    let flags = flags_of(mount, request.node, &stat);
    if empty != 0 {
        mount.changed(request.node, &stat);
    }
    add(mount, request.node, fd, room, access, flags, out);
    Ok(())
}

pub fn create(mount: &mut Mount, request: &Request, out: &mut Vec<u8>) -> Res<()> {
    let fields = request.fields();
    let (wanted, mode) = (fields.u32(0)?, fields.u32(4)?);
    let [name] = request.names(16)?;
    let name = checked(name)?;
    let access = access(wanted)?;
    mount.writable()?;
    mount.watches(request.node);
    let dir = mount.shared.dir(request.node)?;
    let room = mount.shared.handles.room()?;
    let make = access | libc::O_CREAT | libc::O_EXCL;
    let (fd, mut stat) = match files::open_beneath(dir.raw(), name, make, mode & MODE) {
        Err(Errno(libc::EEXIST)) if wanted as i32 & libc::O_EXCL == 0 => there_already(dir.raw(), name, access)?,
        other => other.and_then(|fd| files::stat(fd.raw()).map(|stat| (fd, stat)))?,
    };
    if wanted as i32 & libc::O_TRUNC != 0 && stat.size > 0 {
        files::truncate(fd.raw(), 0)?;
        stat = files::stat(fd.raw())?;
    }
    let id = mount.tell_entry(request.node, name, &stat, out)?;
    let flags = if mount.shared.terms.strict { open::DIRECT_IO } else { 0 };
    add(mount, id, fd, room, access, flags, out);
    Ok(())
}

/// What has come to have the name meanwhile, if it is a file: to open something else would wait, or do something.
fn there_already(dir: i32, name: &CStr, access: i32) -> Res<(Fd, Stat)> {
    let is_file = |stat: &Stat| stat.kind() == libc::S_IFREG;
    if !is_file(&files::stat_at(dir, name)?) {
        return Err(Errno(libc::EEXIST));
    }
    let fd = files::open_beneath(dir, name, access | libc::O_NONBLOCK, 0)?;
    let stat = files::stat(fd.raw())?;
    if is_file(&stat) {
        Ok((fd, stat))
    } else {
        Err(Errno(libc::EEXIST))
    }
}

pub fn release(mount: &mut Mount, request: &Request) -> Res<()> {
    let handle = request.fields().u64(0)?;
    if let Some((id, access)) = mount.shared.handles.close(handle) {
        if let Ok(node) = mount.shared.nodes.get_mut(id) {
            node.closed(handle, access);
        }
    }
    Ok(())
}
