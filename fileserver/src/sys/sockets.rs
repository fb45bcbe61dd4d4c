//! Unix sockets: connections, and descriptors that are passed over them.

use crate::sys::{append, check, check_size, Errno, Fd, Res};

/// An address, and its length.
fn address(path: &[u8]) -> Res<(libc::sockaddr_un, libc::socklen_t)> {
    // SAFETY: all zeroes is an address.
    let mut address: libc::sockaddr_un = unsafe { std::mem::zeroed() };
    address.sun_family = libc::AF_UNIX as libc::sa_family_t;
    if path.is_empty() || path.len() >= address.sun_path.len() || path.contains(&0) {
        return Err(Errno(libc::ENAMETOOLONG));
    }
    for (to, from) in address.sun_path.iter_mut().zip(path) {
        *to = *from as libc::c_char;
    }
    let length = std::mem::offset_of!(libc::sockaddr_un, sun_path) + path.len() + 1;
    Ok((address, length as libc::socklen_t))
}

fn socket() -> Res<Fd> {
    // SAFETY: plain call.
    check(unsafe { libc::socket(libc::AF_UNIX, libc::SOCK_STREAM | libc::SOCK_CLOEXEC, 0) }).map(Fd::own)
}

/// A connection to whoever listens at `path`.
pub fn connect(path: &[u8]) -> Res<Fd> {
    let (address, length) = address(path)?;
    let fd = socket()?;
    // SAFETY: the address lives through the call.
    check(unsafe { libc::connect(fd.raw(), (&raw const address).cast(), length) })?;
    Ok(fd)
}

/// Listens at `path`, for our user alone. What is there already is an error.
pub fn listen(path: &[u8]) -> Res<Fd> {
    let (address, length) = address(path)?;
    let fd = socket()?;
    // SAFETY: the address lives through the call; the mask is put back.
    unsafe {
        let mask = libc::umask(0o177);
        let bound = check(libc::bind(fd.raw(), (&raw const address).cast(), length));
        libc::umask(mask);
        bound?;
        check(libc::listen(fd.raw(), 16))?;
    }
    set_nonblocking(fd.raw())?;
    Ok(fd)
}

/// Reads and writes of this descriptor no longer wait.
pub fn set_nonblocking(fd: i32) -> Res<()> {
    // SAFETY: plain call.
    check(unsafe { libc::fcntl(fd, libc::F_SETFL, libc::O_NONBLOCK) }).map(|_| ())
}

/// The next connection, which does not wait.
pub fn accept(listener: i32) -> Res<Fd> {
    let flags = libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK;
    // SAFETY: no address is asked for.
    check(unsafe { libc::accept4(listener, std::ptr::null_mut(), std::ptr::null_mut(), flags) }).map(Fd::own)
}

/// The user on the other end.
pub fn peer_user(fd: i32) -> Res<u32> {
    // SAFETY: the buffer is of the size that is said.
    unsafe {
        let mut peer: libc::ucred = std::mem::zeroed();
        let mut length = std::mem::size_of_val(&peer) as libc::socklen_t;
        check(libc::getsockopt(fd, libc::SOL_SOCKET, libc::SO_PEERCRED, (&raw mut peer).cast(), &raw mut length))?;
        Ok(peer.uid)
    }
}

/// Appends what is there to `buf`, at most `max` bytes; 0 at the end.
pub fn receive(fd: i32, buf: &mut Vec<u8>, max: usize) -> Res<usize> {
    // SAFETY: the memory is valid for its length.
    append(buf, max, |memory, length| unsafe { libc::recv(fd, memory, length, 0) })
}

/// Sends without a signal where nobody reads.
pub fn send(fd: i32, buf: &[u8]) -> Res<usize> {
    loop {
        // SAFETY: the buffer is valid for its length.
        match check_size(unsafe { libc::send(fd, buf.as_ptr().cast(), buf.len(), libc::MSG_NOSIGNAL) }) {
            Err(Errno(libc::EINTR)) => continue,
            other => return other,
        }
    }
}

/// Room for a header and some descriptors, aligned for a header.
type Ancillary = [u64; 16];

/// Sends bytes and a descriptor with the first of them.
pub fn send_with(fd: i32, buf: &[u8], passed: i32) -> Res<usize> {
    let mut part = libc::iovec { iov_base: buf.as_ptr().cast_mut().cast(), iov_len: buf.len() };
    let mut ancillary: Ancillary = [0; 16];
    // SAFETY: all pointers are to locals that live as long as the call; the buffer has room for the header and one descriptor.
    unsafe {
        let size = std::mem::size_of::<i32>() as u32;
        let mut message: libc::msghdr = std::mem::zeroed();
        message.msg_iov = &raw mut part;
        message.msg_iovlen = 1;
        message.msg_control = ancillary.as_mut_ptr().cast();
        message.msg_controllen = libc::CMSG_SPACE(size) as _;
        let header = libc::CMSG_FIRSTHDR(&raw const message);
        (*header).cmsg_level = libc::SOL_SOCKET;
        (*header).cmsg_type = libc::SCM_RIGHTS;
        (*header).cmsg_len = libc::CMSG_LEN(size) as _;
        std::ptr::write_unaligned(libc::CMSG_DATA(header).cast(), passed);
        check_size(libc::sendmsg(fd, &raw const message, libc::MSG_NOSIGNAL))
    }
}

/// Appends what is there to `buf`, and all descriptors that came with it to `passed`.
pub fn receive_with(fd: i32, buf: &mut Vec<u8>, max: usize, passed: &mut Vec<Fd>) -> Res<usize> {
    let mut ancillary: Ancillary = [0; 16];
    // SAFETY: a message header is plain data; its pointers are set below, to memory that lives as long as they are used.
    let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
    buf.reserve(max);
    let spare = &mut buf.spare_capacity_mut()[..max];
    let mut part = libc::iovec { iov_base: spare.as_mut_ptr().cast(), iov_len: max };
    message.msg_iov = &raw mut part;
    message.msg_iovlen = 1;
    message.msg_control = ancillary.as_mut_ptr().cast();
    message.msg_controllen = std::mem::size_of_val(&ancillary) as _;
    // SAFETY: as above; the kernel's descriptors become ours, each once.
    unsafe {
        let n = check_size(libc::recvmsg(fd, &raw mut message, libc::MSG_CMSG_CLOEXEC))?;
        buf.set_len(buf.len() + n);
        let mut header = libc::CMSG_FIRSTHDR(&raw const message);
        while !header.is_null() {
            if (*header).cmsg_level == libc::SOL_SOCKET && (*header).cmsg_type == libc::SCM_RIGHTS {
                let count = ((*header).cmsg_len as usize - libc::CMSG_LEN(0) as usize) / std::mem::size_of::<i32>();
                for i in 0..count {
                    let at: *const i32 = libc::CMSG_DATA(header).cast();
                    passed.push(Fd::own(std::ptr::read_unaligned(at.add(i))));
                }
            }
            header = libc::CMSG_NXTHDR(&raw const message, header);
        }
        Ok(n)
    }
}
