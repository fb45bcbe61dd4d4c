//! Words with the kernel about its network (rtnetlink(7)).

use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use crate::sys::{check, errno};

/// A socket for that, with flags of socket(2) besides.
pub fn open(flags: libc::c_int) -> Result<OwnedFd, i32> {
    let kind = libc::SOCK_RAW | libc::SOCK_CLOEXEC | flags;
    // SAFETY: plain call; the descriptor becomes ours.
    unsafe {
        check(libc::socket(libc::AF_NETLINK, kind, libc::NETLINK_ROUTE)).map(|socket| OwnedFd::from_raw_fd(socket))
    }
}

pub fn send(socket: &OwnedFd, message: &[u8]) -> Result<(), i32> {
    // SAFETY: the buffer is valid for its length.
    let sent = unsafe { libc::send(socket.as_raw_fd(), message.as_ptr().cast(), message.len(), 0) };
    check(sent as libc::c_int).map(|_| ())
}

/// One datagram. Returns how long it is; one that is longer than the buffer is cut off.
pub fn receive(socket: &OwnedFd, buffer: &mut [u8]) -> Result<usize, i32> {
    // SAFETY: the buffer is valid for its length.
    let length = unsafe { libc::recv(socket.as_raw_fd(), buffer.as_mut_ptr().cast(), buffer.len(), 0) };
    usize::try_from(length).map_err(|_| errno())
}
