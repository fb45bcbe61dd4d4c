//! The file workers that wait. Forking the agent takes longer than most file requests (3 to 4 of 5 ms of an emulated `stat`), so a
//! worker that has done a small one waits for the next, and one for root is forked ahead when there is nothing else to do. It does one at a time and has nothing
//! of anybody's meanwhile: the content's pipe comes with the request and goes with it. While it is busy, however long that may be, the
//! next request gets a new one; one that was cancelled, or killed, is never used again.
//!
//! A worker that has become a user stays that one, with the groups that the user had then: it is not used any more once the
//! accounts are others.

use std::mem::{size_of, zeroed};

use crate::files::abort::{aborted, prepare_worker};
use crate::files::channels::Channels;
use crate::files::info::FileStat;
use crate::files::request::run;
use crate::streams::mux::Mux;
use crate::streams::target::Target;
use crate::streams::task::Waiting;
use crate::sys::poller::IN;
use crate::sys::{self, check, Errno, Fd, Res};
use crate::wire::messages::{FileOp, Open, Request};

/// The longest request that it takes: a path and little more.
pub const MAX_MESSAGE: usize = 16_384;
/// The longest content that comes with it, rather than through a pipe.
pub const MAX_CONTENT: usize = 16_384;
/// How long after its identity a machine's first worker is forked ahead, in ms: the first command comes before.
pub const AHEAD_MS: u64 = 100;
/// What stands before a request: its length, and that of its content.
const PREFIX: usize = 8;
/// No content came with it.
const NONE: u32 = u32::MAX;
/// Room for the control message that carries one descriptor.
const CONTROL: usize = 32;

/// Gives a request to the worker that waits, or to a new one, with its end of the content's pipe.
pub fn hand_over(mux: &mut Mux, key: &[u8], message: &[u8], content: Option<&[u8]>, pipe: Option<Fd>) -> Res<Waiting> {
    if let Some(waiting) = mux.take_waiting(key) {
        if send(&waiting.channel, message, content, pipe.as_ref()).is_ok() {
            // Root of the guest may have stopped it, with everything else.
            let _ = sys::kill(waiting.pid, libc::SIGCONT);
            return Ok(waiting);
        }
        // It was killed: out of memory, or by somebody in the guest.
        mux.poller.forget(waiting.token);
    }
    let waiting = fork(mux, key)?;
    send(&waiting.channel, message, content, pipe.as_ref())?;
    Ok(waiting)
}

/// For whom a worker is that does a request of this user: empty for root.
pub fn key_of(user: &[u8]) -> Vec<u8> {
    if user.is_empty() {
        return Vec::new();
    }
    let version = |path| FileStat::of(libc::AT_FDCWD, path, true).map(|stat| stat.version()).unwrap_or_default();
    [user, b"\0", &version(c"/etc/passwd"), &version(c"/etc/group")].concat()
}

/// Forks root's worker if none waits, so that the first request need not.
pub fn fork_ahead(mux: &mut Mux) {
    mux.fork_at = None;
    if !mux.waits_for(b"") {
        match fork(mux, b"") {
            Ok(waiting) => mux.keep_waiting(waiting),
            Err(error) => sys::console::warn("cannot fork a worker ahead", error),
        }
    }
}

fn fork(mux: &mut Mux, key: &[u8]) -> Res<Waiting> {
    let (channel, theirs) = sys::socket_pair()?;
    sys::set_nonblocking(channel.raw())?;
    // SAFETY: the agent has one thread, so the child may do anything.
    let pid = check(unsafe { libc::fork() })?;
    if pid == 0 {
        serve(theirs);
    }
    let token = mux.poller.add(&channel, IN, Target::Waiting(pid))?;
    Ok(Waiting { pid, key: key.to_vec(), channel, token })
}

/// The child: does one request after the other.
fn serve(channel: Fd) -> ! {
    prepare_worker();
    let mut channels = Channels::new(channel);
    channels.close_others(&[]);
    let mut message = Vec::new();
    while let Some((content, pipe)) = receive(channels.status(), &mut message) {
        channels.content = content;
        let Ok(Open { request: Request::File(request), .. }) = Open::decode(&message) else { break };
        if request.op == FileOp::Write {
            channels.input = pipe;
        } else {
            channels.output = pipe;
        }
        let outcome = run(&request, &channels);
        channels.finish(outcome);
    }
    // SAFETY: plain call; the parent closes nothing of ours.
    unsafe { libc::_exit(0) }
}

/// Sends a request, and a descriptor with its first byte. The channel is empty then and has room for all of it.
fn send(channel: &Fd, message: &[u8], content: Option<&[u8]>, pipe: Option<&Fd>) -> Res<()> {
    let content_length = content.map_or(NONE, |content| content.len() as u32);
    let lengths = [(message.len() as u32).to_le_bytes(), content_length.to_le_bytes()].concat();
    let bytes = [&lengths, message, content.unwrap_or_default()].concat();
    // SAFETY: the buffers live through the call, and the control message is no longer than its room (cmsg(3)).
    let sent = check(unsafe {
        let mut part = libc::iovec { iov_base: bytes.as_ptr() as *mut _, iov_len: bytes.len() };
        let mut control = [0u64; CONTROL / 8];
        let mut header: libc::msghdr = zeroed();
        header.msg_iov = &mut part;
        header.msg_iovlen = 1;
        if let Some(fd) = pipe {
            header.msg_control = control.as_mut_ptr().cast();
            header.msg_controllen = libc::CMSG_SPACE(size_of::<i32>() as u32) as _;
            let first = libc::CMSG_FIRSTHDR(&header);
            (*first).cmsg_level = libc::SOL_SOCKET;
            (*first).cmsg_type = libc::SCM_RIGHTS;
            (*first).cmsg_len = libc::CMSG_LEN(size_of::<i32>() as u32) as _;
            libc::CMSG_DATA(first).cast::<i32>().write_unaligned(fd.raw());
        }
        libc::sendmsg(channel.raw(), &header, libc::MSG_NOSIGNAL) as libc::c_int
    })?;
    if sent as usize == bytes.len() {
        Ok(())
    } else {
        Err(Errno(libc::EIO))
    }
}

/// Waits for a request: its message, and the content or the descriptor that came with it. None: no more will come.
fn receive(channel: i32, message: &mut Vec<u8>) -> Option<(Option<Vec<u8>>, Option<Fd>)> {
    let mut pipe = None;
    message.clear();
    message.reserve(PREFIX + MAX_MESSAGE + MAX_CONTENT);
    loop {
        if let Some(&[a, b, c, d, e, f, g, h]) = message.first_chunk::<PREFIX>() {
            let end = PREFIX + u32::from_le_bytes([a, b, c, d]) as usize;
            let content = Some(u32::from_le_bytes([e, f, g, h])).filter(|&length| length != NONE);
            if message.len() == end + content.unwrap_or(0) as usize {
                let content = content.map(|_| message.split_off(end));
                message.drain(..PREFIX);
                return Some((content, pipe));
            }
        }
        if aborted() {
            return None;
        }
        match receive_some(channel, message, &mut pipe) {
            Ok(0) => return None,
            Ok(_) | Err(Errno(libc::EINTR)) => {}
            Err(_) => return None,
        }
    }
}

/// Appends what is there, up to the buffer's capacity.
fn receive_some(channel: i32, message: &mut Vec<u8>, pipe: &mut Option<Fd>) -> Res<usize> {
    let room = message.spare_capacity_mut();
    // SAFETY: the buffers live through the call, and what the kernel has written is initialised; a control message is looked
    // at only if the kernel says that it is there.
    unsafe {
        let mut part = libc::iovec { iov_base: room.as_mut_ptr().cast(), iov_len: room.len() };
        let mut control = [0u64; CONTROL / 8];
        let mut header: libc::msghdr = zeroed();
        header.msg_iov = &mut part;
        header.msg_iovlen = 1;
        header.msg_control = control.as_mut_ptr().cast();
        header.msg_controllen = CONTROL as _;
        let n = check(libc::recvmsg(channel, &mut header, libc::MSG_CMSG_CLOEXEC) as libc::c_int)?;
        let first = libc::CMSG_FIRSTHDR(&header);
        if !first.is_null() && (*first).cmsg_type == libc::SCM_RIGHTS {
            *pipe = Some(Fd::own(libc::CMSG_DATA(first).cast::<i32>().read_unaligned()));
        }
        message.set_len(message.len() + n as usize);
        Ok(n as usize)
    }
}
