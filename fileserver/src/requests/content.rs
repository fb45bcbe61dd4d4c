//! What is in open files.

use crate::requests::mount::Mount;
use crate::share::handles::Handle;
use crate::sys::files::WriteAs;
use crate::sys::{files, Errno, Res};
use crate::wire::fuse::{put_u32, put_u64, Request, MAX_DATA};

/// The most that one request copies: nobody else is answered meanwhile.
const MAX_COPY: u64 = 16 << 20;

/// Offsets are what the host's calls take.
fn offset(value: u64) -> Res<u64> {
    if value > i64::MAX as u64 {
        return Err(Errno(libc::EINVAL));
    }
    Ok(value)
}

fn writable(mount: &Mount, handle: u64) -> Res<&Handle> {
    mount.writable()?;
    mount
        .shared
        .handles
        .get(handle)
        .and_then(|handle| if handle.writable() { Ok(handle) } else { Err(Errno(libc::EBADF)) })
}

/// The guest has changed what is in a file: what the host says of that is no news.
fn written(mount: &mut Mount, handle: u64) {
    if let Ok(handle) = mount.shared.handles.get(handle) {
        let node = handle.node;
        if let Ok(stat) = files::stat(handle.fd.raw()) {
            mount.changed(node, &stat);
        }
    }
}

pub fn read(mount: &mut Mount, request: &Request, out: &mut Vec<u8>) -> Res<()> {
    let fields = request.fields();
    let (handle, from, size) = (fields.u64(0)?, offset(fields.u64(8)?)?, fields.u32(16)? as usize);
    // A short answer would be the end of the file to the kernel.
    if size > MAX_DATA {
        return Err(Errno(libc::EINVAL));
    }
    let fd = mount.shared.handles.get(handle)?.fd.raw();
    let mut done = 0;
    while done < size {
        match files::read_at(fd, out, size - done, from + done as u64)? {
            0 => break,
            n => done += n,
        }
    }
    mount.figures.read_bytes += done as u64;
    Ok(())
}

pub fn write(mount: &mut Mount, request: &Request, out: &mut Vec<u8>) -> Res<()> {
    let fields = request.fields();
    let (handle, to, size, flags) =
        (fields.u64(0)?, offset(fields.u64(8)?)?, fields.u32(16)? as usize, fields.u32(32)? as i32);
    let data = request.data(40)?;
    if data.len() != size || size > MAX_DATA {
        return Err(Errno(libc::EINVAL));
    }
    let how = WriteAs { at_end: flags & libc::O_APPEND != 0, durable: flags & libc::O_DSYNC != 0 };
    let n = files::write_at(writable(mount, handle)?.fd.raw(), data, to, how)?;
    written(mount, handle);
    mount.figures.written_bytes += n as u64;
    put_u32(out, n as u32);
    put_u32(out, 0);
    Ok(())
}

pub fn sync(mount: &mut Mount, request: &Request) -> Res<()> {
    let fields = request.fields();
    let handle = mount.shared.handles.get(fields.u64(0)?)?;
    files::sync(handle.fd.raw(), fields.u32(8)? & 1 != 0)
}

pub fn seek(mount: &mut Mount, request: &Request, out: &mut Vec<u8>) -> Res<()> {
    let fields = request.fields();
    let (handle, from, whence) = (fields.u64(0)?, offset(fields.u64(8)?)?, fields.u32(16)? as i32);
    if whence != libc::SEEK_DATA && whence != libc::SEEK_HOLE {
        return Err(Errno(libc::EINVAL));
    }
    let handle = mount.shared.handles.get(handle)?;
    let fd = handle.fd.raw();
    if mount.shared.nodes.get(handle.node).is_ok_and(|node| node.may_be_mapped()) {
        // The kernel writes nothing out before it asks (fuse_lseek): what was written through a mapping would lie in what is a hole here. All is data.
        let size = files::stat(fd)?.size;
        if from >= size {
            return Err(Errno(libc::ENXIO));
        }
        put_u64(out, if whence == libc::SEEK_DATA { from } else { size });
        return Ok(());
    }
    put_u64(out, files::seek(fd, from, whence)?);
    Ok(())
}

pub fn allocate(mount: &mut Mount, request: &Request) -> Res<()> {
    let fields = request.fields();
    let (handle, from, length, mode) =
        (fields.u64(0)?, offset(fields.u64(8)?)?, offset(fields.u64(16)?)?, fields.u32(24)? as i32);
    let known = libc::FALLOC_FL_KEEP_SIZE | libc::FALLOC_FL_PUNCH_HOLE | libc::FALLOC_FL_ZERO_RANGE;
    if mode & !known != 0 {
        return Err(Errno(libc::EOPNOTSUPP));
    }
    files::allocate(writable(mount, handle)?.fd.raw(), mode, from, length)?;
    written(mount, handle);
    Ok(())
}

pub fn copy_range(mount: &mut Mount, request: &Request, out: &mut Vec<u8>) -> Res<()> {
    let fields = request.fields();
    let (from, from_offset) = (mount.shared.handles.get(fields.u64(0)?)?, offset(fields.u64(8)?)?);
    let (to, to_offset) = (writable(mount, fields.u64(24)?)?, offset(fields.u64(32)?)?);
    let length = fields.u64(40)?.min(MAX_COPY) as usize;
    let n = files::copy_range(from.fd.raw(), from_offset, to.fd.raw(), to_offset, length)?;
    written(mount, fields.u64(24)?);
    put_u32(out, n as u32);
    put_u32(out, 0);
    Ok(())
}
