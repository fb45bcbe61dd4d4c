//! Extended attributes: those of users. Others mean something to a kernel.

use std::ffi::CStr;

use crate::requests::attributes::readable_or_writable;
use crate::requests::mount::Mount;
use crate::sys::{files, Errno, Fd, Res};
use crate::wire::fuse::{put_u32, Request, MAX_DATA, MAX_NAME};

/// The longest list or value that the host's kernel gives.
const MAX: usize = 65_536;
const PREFIX: &[u8] = b"user.";

fn checked(name: &CStr) -> Res<&CStr> {
    if !name.to_bytes().starts_with(PREFIX) {
        return Err(Errno(libc::EOPNOTSUPP));
    }
    if name.count_bytes() > MAX_NAME || name.count_bytes() == PREFIX.len() {
        return Err(Errno(libc::EINVAL));
    }
    Ok(name)
}

/// Files and directories have them; an open file also where it has no name any more.
fn descriptor(mount: &mut Mount, request: &Request) -> Res<Fd> {
    readable_or_writable(mount, request.node)
}

/// Appends a list or value of which there is room for `size` bytes, or its length where that is asked for.
fn put(found: &[u8], size: usize, out: &mut Vec<u8>) -> Res<()> {
    if size == 0 {
        put_u32(out, found.len() as u32);
        put_u32(out, 0);
        return Ok(());
    }
    if found.len() > size || found.len() > MAX_DATA {
        return Err(Errno(libc::ERANGE));
    }
    out.extend_from_slice(found);
    Ok(())
}

pub fn get(mount: &mut Mount, request: &Request, out: &mut Vec<u8>) -> Res<()> {
    let size = request.fields().u32(0)? as usize;
    let [name] = request.names(8)?;
    let name = checked(name)?;
    let mut found = Vec::new();
    let fd = descriptor(mount, request)?;
    files::attribute(fd.raw(), name, &mut found, MAX)?;
    put(&found, size, out)
}

pub fn list(mount: &mut Mount, request: &Request, out: &mut Vec<u8>) -> Res<()> {
    let size = request.fields().u32(0)? as usize;
    let mut found = Vec::new();
    match descriptor(mount, request).and_then(|fd| files::attributes(fd.raw(), &mut found, MAX)) {
        Ok(_) | Err(Errno(libc::ESTALE)) => {}
        Err(error) => return Err(error),
    }
    let users: Vec<u8> =
        found.split_inclusive(|byte| *byte == 0).filter(|name| name.starts_with(PREFIX)).flatten().copied().collect();
    put(&users, size, out)
}

pub fn set(mount: &mut Mount, request: &Request) -> Res<()> {
    let fields = request.fields();
    let (size, flags) = (fields.u32(0)? as usize, fields.u32(4)?);
    let [name] = request.names(8)?;
    let value = request.data(8 + name.count_bytes() + 1)?;
    let name = checked(name)?;
    mount.writable()?;
    if value.len() != size || flags > 2 {
        return Err(Errno(libc::EINVAL));
    }
    let fd = descriptor(mount, request)?;
    files::set_attribute(fd.raw(), name, value, flags as i32)
}

pub fn remove(mount: &mut Mount, request: &Request) -> Res<()> {
    let [name] = request.names(0)?;
    let name = checked(name)?;
    mount.writable()?;
    let fd = descriptor(mount, request)?;
    files::remove_attribute(fd.raw(), name)
}
