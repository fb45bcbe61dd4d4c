//! From a message to its answer.

use crate::requests::mount::Mount;
use crate::requests::{attributes, content, directories, entries, extended, init, open, shadow};
use crate::share::nodes::Id;
use crate::sys::{Errno, Res};
use crate::wire::fuse::{begin, end, fail, op, Malformed, Request, OUT_HEADER};

impl From<Malformed> for Errno {
    fn from(_: Malformed) -> Errno {
        Errno(libc::EINVAL)
    }
}

/// Whether a message is FUSE_INIT, which may come before all else.
pub fn is_init(message: &[u8]) -> bool {
    Request::parse(message).is_some_and(|request| request.opcode == op::INIT)
}

/// Does what a message asks for, and appends the answer if there is one to be given.
pub fn answer(mount: &mut Mount, message: &[u8], out: &mut Vec<u8>) {
    let Some(request) = Request::parse(message) else { return };
    mount.figures.requests += 1;
    mount.drain();
    match request.opcode {
        op::FORGET | op::BATCH_FORGET => return entries::forget(mount, &request),
        op::INTERRUPT | op::NOTIFY_REPLY => return,
        // The agent has answered it.
        op::RELEASE if request.unique == 0 => {
            let _ = open::release(mount, &request);
            return;
        }
        // An answer to it would be a notification.
        _ if request.unique == 0 => return,
        _ => {}
    }
    let at = begin(out, request.unique);
    match dispatch(mount, &request, out) {
        Ok(()) => {
            end(&mut out[..], at);
            let node = out.get(at + OUT_HEADER..).and_then(|entry| entry.first_chunk());
            lend(mount, &request, node.map(|node| u64::from_le_bytes(*node)));
        }
        Err(error) => fail(out, at, error.0),
    }
}

/// The kernel looks for names in a new directory, and asks for the attributes of a directory as soon as it has changed something there: the agent is told.
/// `made`: what the answer names.
fn lend(mount: &mut Mount, request: &Request, made: Option<Id>) {
    if mount.changes.as_ref().is_none_or(|changes| changes.pid == 0 || changes.pid == request.pid) {
        return; // nobody would tell it of another change; or it has changed nothing
    }
    if let (op::MKDIR, Some(made)) = (request.opcode, made) {
        mount.lend_new(made);
    }
    match request.opcode {
        op::CREATE | op::MKDIR | op::MKNOD | op::SYMLINK | op::LINK | op::UNLINK | op::RMDIR => {}
        op::RENAME | op::RENAME2 => match request.fields().u64(0) {
            Ok(to) if to != request.node => mount.lend(request.unique, to),
            _ => {}
        },
        _ => return,
    }
    mount.lend(request.unique, request.node);
}

fn dispatch(mount: &mut Mount, request: &Request, out: &mut Vec<u8>) -> Res<()> {
    if request.opcode == op::INIT {
        return init::init(mount, request, out);
    }
    if mount.agreed.is_none() {
        return Err(Errno(libc::EIO));
    }
    if let Some(done) = shadow::answer(mount, request, out) {
        return done;
    }
    match request.opcode {
        op::LOOKUP => entries::lookup(mount, request, out),
        op::GETATTR => attributes::get(mount, request, out),
        op::SETATTR => attributes::set(mount, request, out),
        op::READLINK => entries::read_link(mount, request, out),
        op::SYMLINK => entries::symlink(mount, request, out),
        op::MKNOD => entries::make_node(mount, request, out),
        op::MKDIR => entries::make_directory(mount, request, out),
        op::UNLINK => entries::remove(mount, request, false),
        op::RMDIR => entries::remove(mount, request, true),
        op::RENAME => entries::rename(mount, request, 0, 8),
        op::RENAME2 => entries::rename(mount, request, request.fields().u32(8)?, 16),
        op::LINK => entries::link(mount, request, out),
        op::OPEN => open::open(mount, request, out),
        op::CREATE => open::create(mount, request, out),
        op::RELEASE => open::release(mount, request),
        op::READ => content::read(mount, request, out),
        op::WRITE => content::write(mount, request, out),
        op::FSYNC => content::sync(mount, request),
        op::LSEEK => content::seek(mount, request, out),
        op::FALLOCATE => content::allocate(mount, request),
        op::COPY_FILE_RANGE => content::copy_range(mount, request, out),
        op::OPENDIR => directories::open(mount, request, out),
        op::READDIR => directories::read(mount, request, false, out),
        op::READDIRPLUS => directories::read(mount, request, true, out),
        op::FSYNCDIR => directories::sync(mount, request),
        op::RELEASEDIR | op::DESTROY => Ok(()),
        op::STATFS => attributes::file_system(mount, out),
        op::GETXATTR => extended::get(mount, request, out),
        op::LISTXATTR => extended::list(mount, request, out),
        op::SETXATTR => extended::set(mount, request),
        op::REMOVEXATTR => extended::remove(mount, request),
        // FLUSH: what was written is with the host's kernel already. ACCESS: the guest's kernel looks at the modes itself.
        _ => Err(Errno(libc::ENOSYS)),
    }
}
