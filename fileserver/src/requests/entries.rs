//! Names in directories: looked up, made, removed, renamed.

use std::ffi::CStr;
use std::rc::Rc;

use crate::requests::mount::Mount;
use crate::share::names::checked;
use crate::share::nodes::{Id, Identity};
use crate::sys::{files, Errno, Fd, Res};
use crate::wire::fuse::{op, put_entry, Attributes, Request, Validity};

/// The bits of a mode that a guest may set: nothing is made set-uid or set-gid on the host.
pub const MODE: u32 = 0o1777;
/// That there is no such name is believed only where the guest will be told of one, in milliseconds.
const MIN_ABSENT_MS: u64 = 1000;
/// The longest text of a symbolic link.
const MAX_TARGET: usize = 4095;

/// The kernel forgets nodes. It is not answered.
pub fn forget(mount: &mut Mount, request: &Request) {
    let fields = request.fields();
    if request.opcode == op::FORGET {
        if let Ok(times) = fields.u64(0) {
            forget_one(mount, request.node, times);
        }
        return;
    }
    let count = fields.u32(0).unwrap_or(0) as usize;
    for i in 0..count {
        let (Ok(node), Ok(times)) = (fields.u64(8 + 16 * i), fields.u64(16 + 16 * i)) else { return };
        forget_one(mount, node, times);
    }
}

fn forget_one(mount: &mut Mount, node: Id, times: u64) {
    if let (Some(watch), Some(changes)) = (mount.shared.nodes.forget(node, times), &mut mount.changes) {
        changes.watches.remove(watch, node);
    }
}

pub fn lookup(mount: &mut Mount, request: &Request, out: &mut Vec<u8>) -> Res<()> {
    let [name] = request.names(0)?;
    let name = checked(name)?;
    // Before it is looked at: what happens from then on is heard.
    let entry_ms = mount.entry_ms(request.node);
    let dir = mount.shared.dir(request.node)?;
    match files::stat_at(dir.raw(), name) {
        Ok(stat) => {
            let is_new = mount.shared.nodes.child(request.node, name).is_none();
            mount.tell_entry(request.node, name, &stat, out)?;
            if is_new {
                mount.looked_up(request.node);
            }
            Ok(())
        }
        Err(error) => {
            mount.shared.nodes.unname(request.node, name);
            if error.0 == libc::ENOENT && entry_ms > MIN_ABSENT_MS && mount.shared.nodes.absent(request.node, name) {
                put_entry(out, 0, Validity { entry_ms, attributes_ms: 0 }, &Attributes::default());
                return Ok(());
            }
            Err(error)
        }
    }
}

pub fn read_link(mount: &mut Mount, request: &Request, out: &mut Vec<u8>) -> Res<()> {
    let (link, stat) = mount.shared.open(request.node, libc::O_PATH)?;
    if stat.kind() != libc::S_IFLNK {
        return Err(Errno(libc::EINVAL));
    }
    out.extend_from_slice(&files::read_link(link.raw())?);
    Ok(())
}

/// The directory that a request is for, and the name in it, where something is to be made or removed.
fn place<'a>(mount: &mut Mount, parent: Id, name: &'a CStr) -> Res<(Rc<Fd>, &'a CStr)> {
    let name = checked(name)?;
    mount.writable()?;
    mount.watches(parent);
    Ok((mount.shared.dir(parent)?, name))
}

/// Tells of what was made.
fn tell_made(mount: &mut Mount, parent: Id, dir: &Fd, name: &CStr, kind: u32, out: &mut Vec<u8>) -> Res<()> {
    let stat = files::stat_at(dir.raw(), name)?;
    if stat.kind() != kind {
        return Err(Errno(libc::EEXIST)); // it is not there any more; somebody else's is
    }
    mount.tell_entry(parent, name, &stat, out).map(|_| ())
}

pub fn symlink(mount: &mut Mount, request: &Request, out: &mut Vec<u8>) -> Res<()> {
    let [name, target] = request.names(0)?;
    if target.count_bytes() > MAX_TARGET {
        return Err(Errno(libc::ENAMETOOLONG));
    }
    let (dir, name) = place(mount, request.node, name)?;
    files::make_link(target, dir.raw(), name)?;
    tell_made(mount, request.node, &dir, name, libc::S_IFLNK, out)
}

pub fn make_node(mount: &mut Mount, request: &Request, out: &mut Vec<u8>) -> Res<()> {
    let mode = request.fields().u32(0)?;
    let [name] = request.names(16)?;
    let kind = match mode & libc::S_IFMT {
        0 | libc::S_IFREG => libc::S_IFREG,
        libc::S_IFSOCK => libc::S_IFSOCK,
        _ => return Err(Errno(libc::EPERM)),
    };
    let (dir, name) = place(mount, request.node, name)?;
    files::make_node(dir.raw(), name, kind | mode & MODE)?;
    tell_made(mount, request.node, &dir, name, kind, out)
}

pub fn make_directory(mount: &mut Mount, request: &Request, out: &mut Vec<u8>) -> Res<()> {
    let mode = request.fields().u32(0)?;
    let [name] = request.names(8)?;
    let (dir, name) = place(mount, request.node, name)?;
    files::make_directory(dir.raw(), name, mode & MODE)?;
    tell_made(mount, request.node, &dir, name, libc::S_IFDIR, out)
}

pub fn remove(mount: &mut Mount, request: &Request, directory: bool) -> Res<()> {
    let [name] = request.names(0)?;
    let (dir, name) = place(mount, request.node, name)?;
    files::remove(dir.raw(), name, directory)?;
    mount.own(request.node, name);
    removed(mount, request.node, name);
    Ok(())
}

/// Nothing has that name any more. What had it may be gone altogether, and its inode used again.
fn removed(mount: &mut Mount, parent: Id, name: &CStr) {
    let nodes = &mut mount.shared.nodes;
    let Some(id) = nodes.unname(parent, name) else { return };
    if nodes.get(id).is_ok_and(|node| node.names().next().is_none() && node.open_count() == 0) {
        nodes.let_go(id);
        nodes.lost(id);
    }
}

/// Renames, by the flags of renameat2(2); the names come after `at` bytes of fields.
pub fn rename(mount: &mut Mount, request: &Request, flags: u32, at: usize) -> Res<()> {
    let to_parent = request.fields().u64(0)?;
    let [name, to] = request.names(at)?;
    if flags & !(libc::RENAME_NOREPLACE | libc::RENAME_EXCHANGE) != 0 {
        return Err(Errno(libc::EINVAL));
    }
    let (dir, name) = place(mount, request.node, name)?;
    let (to_dir, to) = place(mount, to_parent, to)?;
    files::rename(dir.raw(), name, to_dir.raw(), to, flags)?;
    mount.own(request.node, name);
    mount.own(to_parent, to);
    let moved = mount.shared.nodes.child(request.node, name);
    let replaced = mount.shared.nodes.child(to_parent, to);
    if moved.is_some() && moved == replaced {
        return Ok(()); // two names of one file: nothing is done
    }
    mount.shared.nodes.unname(request.node, name);
    if flags & libc::RENAME_EXCHANGE == 0 {
        removed(mount, to_parent, to);
    } else if let Some(replaced) = replaced {
        mount.shared.nodes.unname(to_parent, to);
        mount.shared.nodes.name(request.node, name, replaced);
    }
    if let Some(moved) = moved {
        mount.shared.nodes.name(to_parent, to, moved);
    }
    Ok(())
}

pub fn link(mount: &mut Mount, request: &Request, out: &mut Vec<u8>) -> Res<()> {
    let old = request.fields().u64(0)?;
    let [name] = request.names(8)?;
    let (dir, name) = place(mount, request.node, name)?;
    let identity = mount.shared.nodes.get(old)?.identity;
    for from in mount.shared.places(old)? {
        if files::stat_at(from.dir.raw(), &from.name).is_ok_and(|stat| Identity::of(&stat) == identity) {
            files::add_name(from.dir.raw(), &from.name, dir.raw(), name)?;
            let stat = files::stat_at(dir.raw(), name)?;
            return mount.tell_entry(request.node, name, &stat, out).map(|_| ());
        }
    }
    Err(Errno(libc::ESTALE))
}
