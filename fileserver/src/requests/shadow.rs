//! Requests of the guest's process that does again what was done on the host (`host_changes`): answered as done, and nothing is done. What it is
//! told of a name is as it was before, until it has done what its record says.

use std::ffi::CStr;

use crate::changes::queue::{Place, Record};
use crate::requests::mount::Mount;
use crate::share::nodes::Id;
use crate::sys::{files, Errno, Res};
use crate::wire::fuse::{op, open, put_attributes, put_entry, put_open, put_u32, Attributes, Request, Validity};
use crate::wire::host_mount::Change;

/// The handle of all files that it opens: no real one.
const HANDLE: u64 = u64::MAX;
const FILE: u32 = libc::S_IFREG | 0o644;
const DIRECTORY: u32 = libc::S_IFDIR | 0o755;

/// The answer, if the request is that process's and not one that is answered like all others'.
pub fn answer(mount: &mut Mount, request: &Request, out: &mut Vec<u8>) -> Option<Res<()>> {
    let changes = mount.changes.as_mut().filter(|changes| changes.pid != 0 && changes.pid == request.pid)?;
    let record = changes.queue.current.clone();
    match request.opcode {
        op::LOOKUP => lookup(mount, request, record?, out),
        op::CREATE => Some(make(mount, request, 16, FILE, out).map(|()| put_open(out, HANDLE, 0))),
        op::MKNOD => Some(make(mount, request, 16, FILE, out)),
        op::MKDIR => Some(make(mount, request, 8, DIRECTORY, out)),
        op::UNLINK | op::RMDIR => Some(take_away(mount, request)),
        op::RENAME => Some(rename(mount, request, 8)),
        op::RENAME2 => Some(rename(mount, request, 16)),
        op::OPEN => {
            put_open(out, HANDLE, open::KEEP_CACHE);
            Some(Ok(()))
        }
        op::SETATTR => Some(attributes(mount, request, out)),
        op::GETATTR => phantom_again(mount, request.node, out),
        op::WRITE => Some(write(request, out)),
        op::SYMLINK | op::LINK | op::SETXATTR | op::REMOVEXATTR | op::FALLOCATE | op::COPY_FILE_RANGE => {
            Some(Err(Errno(libc::EROFS)))
        }
        _ => None,
    }
}

fn is(place: Option<&Place>, parent: Id, name: &CStr) -> bool {
    place.is_some_and(|(at, known)| *at == parent && **known == *name)
}

fn lookup(mount: &mut Mount, request: &Request, record: Record, out: &mut Vec<u8>) -> Option<Res<()>> {
    let Ok([name]) = request.names(0) else { return None };
    let from = is(record.place.as_ref(), request.node, name);
    let to = record.to.as_ref().is_some_and(|(place, _)| is(Some(place), request.node, name));
    let absent = Some(Err(Errno(libc::ENOENT)));
    match (record.kind, record.done) {
        (Change::Created, false) if from => absent,
        (Change::Removed, _) if from && is_made_again(mount, request.node, name) => None,
        (Change::Removed | Change::Renamed, false) if from => {
            Some(as_it_was(mount, record.node, record.directory, out))
        }
        (Change::Removed | Change::Renamed, true) if from => absent,
        (Change::Renamed, false) if to => match record.replaced {
            Some(_) => Some(as_it_was(mount, record.replaced, record.directory, out)),
            None => absent,
        },
        // That a name is not there is not to be remembered: a later record may say that it was.
        _ if is_missing(mount, request.node, name) => absent,
        _ => None,
    }
}

fn is_missing(mount: &mut Mount, parent: Id, name: &CStr) -> bool {
    mount.shared.dir(parent).is_ok_and(|dir| files::stat_at(dir.raw(), name).is_err())
}

/// Tells that a name is what it was: the node that the guest knows, or one without a file.
fn as_it_was(mount: &mut Mount, node: Option<Id>, directory: bool, out: &mut Vec<u8>) -> Res<()> {
    let known = node.and_then(|id| Some((id, mount.shared.nodes.get(id).ok()?)));
    let (id, attributes) = match known {
        Some((id, node)) => {
            let told = node.told.unwrap_or_default();
            let mode = node.identity.kind() | told.mode & 0o7777;
            let (uid, gid) = mount.shared.owners.told(told.owner.0, told.owner.1);
            let times = [told.mtime, told.mtime, told.ctime].map(|time| (time.s, time.ns));
            let ino = node.identity.ino();
            mount.shared.nodes.told_again(id);
            (
                id,
                Attributes {
                    ino,
                    size: told.size,
                    times,
                    mode,
                    nlink: 1,
                    uid,
                    gid,
                    block_size: 4096,
                    ..Attributes::default()
                },
            )
        }
        None => phantom(mount, if directory { DIRECTORY } else { FILE })?,
    };
    put_entry(out, id, Validity::default(), &attributes);
    Ok(())
}

fn phantom(mount: &mut Mount, mode: u32) -> Res<(Id, Attributes)> {
    let id = mount.shared.nodes.phantom(mode & libc::S_IFMT)?;
    Ok((id, phantom_attributes(id, mode)))
}

fn phantom_attributes(id: Id, mode: u32) -> Attributes {
    Attributes { ino: id, mode, nlink: 1, block_size: 4096, ..Attributes::default() }
}

/// The kernel asks for the attributes of what was made just now: without an answer it would begin from the start, and find it there.
fn phantom_again(mount: &Mount, id: Id, out: &mut Vec<u8>) -> Option<Res<()>> {
    let kind = mount.shared.nodes.phantom_kind(id)?;
    let mode = if kind == libc::S_IFDIR { DIRECTORY } else { FILE };
    put_attributes(out, Validity::default(), &phantom_attributes(id, mode));
    Some(Ok(()))
}

/// Does `run` where what the record says is being done, and has it done.
fn done(mount: &mut Mount, matches: impl Fn(&Record) -> bool) -> Res<()> {
    match mount.changes.as_mut().and_then(|changes| changes.queue.current.as_mut()) {
        Some(record) if !record.done && matches(record) => {
            record.done = true;
            Ok(())
        }
        _ => Err(Errno(libc::EROFS)),
    }
}

fn make(mount: &mut Mount, request: &Request, at: usize, mode: u32, out: &mut Vec<u8>) -> Res<()> {
    let [name] = request.names(at)?;
    done(mount, |record| record.kind == Change::Created && is(record.place.as_ref(), request.node, name))?;
    let (id, attributes) = phantom(mount, mode)?;
    put_entry(out, id, Validity::default(), &attributes);
    Ok(())
}

/// What the guest has made since the host took the name away is not what the record is about, and stays.
fn is_made_again(mount: &Mount, parent: Id, name: &CStr) -> bool {
    mount.shared.nodes.child(parent, name).is_some()
}

fn take_away(mount: &mut Mount, request: &Request) -> Res<()> {
    let [name] = request.names(0)?;
    if is_made_again(mount, request.node, name) {
        return Err(Errno(libc::EROFS));
    }
    done(mount, |record| record.kind == Change::Removed && is(record.place.as_ref(), request.node, name))
}

fn rename(mount: &mut Mount, request: &Request, at: usize) -> Res<()> {
    let to_parent = request.fields().u64(0)?;
    let [name, to] = request.names(at)?;
    done(mount, |record| {
        record.kind == Change::Renamed
            && is(record.place.as_ref(), request.node, name)
            && is(record.to.as_ref().map(|(place, _)| place), to_parent, to)
    })
}

/// What it sets is as it is.
fn attributes(mount: &mut Mount, request: &Request, out: &mut Vec<u8>) -> Res<()> {
    let stat = mount.shared.stat(request.node)?;
    put_attributes(out, Validity::default(), &mount.attributes(&stat));
    Ok(())
}

fn write(request: &Request, out: &mut Vec<u8>) -> Res<()> {
    put_u32(out, request.fields().u32(16)?);
    put_u32(out, 0);
    Ok(())
}
