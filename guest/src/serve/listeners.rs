//! Where sessions come from: virtio-serial ports as their device nodes appear, or connections on a listening socket.

use std::ffi::{CStr, CString};

use crate::streams::mux::Mux;
use crate::streams::session::Peer;
use crate::streams::target::Target;
use crate::sys::poller::IN;
use crate::sys::text::parse_decimal;
use crate::sys::{self, check, Fd, Res};

/// Ports of one machine (a virtio-serial bus has 31).
pub const MAX_PORTS: u32 = 31;
/// Sessions of a machine with vsock: as many as host processes work with it at once.
const MAX_VSOCK_SESSIONS: usize = 128;
/// Connections that wait to be accepted.
const BACKLOG: libc::c_int = 16;

/// The ports whose device nodes have not been opened yet.
struct Ports {
    missing: Vec<u32>,
    watch: Option<Fd>,
}

/// A listening socket.
struct Listener {
    fd: Fd,
    max_sessions: usize,
    /// on vsock, where processes of this guest could connect too: only the host is served
    vsock: bool,
}

/// All places where sessions come from.
#[derive(Default)]
pub struct Listeners {
    ports: Option<Ports>,
    sockets: Vec<Listener>,
}

/// The nodes of virtio-serial ports that are there: number and path. Their names are vportNpM, where M is the port and N the
/// device's index among all virtio devices: which one it gets depends on the machine.
fn nodes() -> Vec<(u32, CString)> {
    let mut found = Vec::new();
    // SAFETY: opendir and readdir on a constant path; each entry is read before the next call.
    unsafe {
        let dir = libc::opendir(c"/dev".as_ptr());
        if dir.is_null() {
            return found;
        }
        loop {
            let entry = libc::readdir(dir);
            if entry.is_null() {
                break;
            }
            let name = CStr::from_ptr((*entry).d_name.as_ptr()).to_bytes();
            if let Some(port) = port_number(name) {
                found.push((port, sys::path(&[b"/dev/", name])));
            }
        }
        libc::closedir(dir);
    }
    found
}

/// The port that a device node is for: "vport0p3" is port 3. Pure.
fn port_number(name: &[u8]) -> Option<u32> {
    let rest = name.strip_prefix(b"vport")?;
    let at = rest.iter().position(|&b| b == b'p')?;
    let (device, port) = (&rest[..at], &rest[at + 1..]);
    let number = |digits| parse_decimal(digits).and_then(|value| u32::try_from(value).ok());
    number(device)?;
    number(port)
}

/// A socket that listens for the host on a vsock port.
pub fn vsock(port: u32) -> Res<Fd> {
    let kind = libc::SOCK_STREAM | libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK;
    // SAFETY: the address is plain data, filled in before use.
    unsafe {
        let fd = Fd::own(check(libc::socket(libc::AF_VSOCK, kind, 0))?);
        let mut address: libc::sockaddr_vm = std::mem::zeroed();
        address.svm_family = libc::AF_VSOCK as u16;
        address.svm_cid = libc::VMADDR_CID_ANY;
        address.svm_port = port;
        let length = std::mem::size_of::<libc::sockaddr_vm>() as u32;
        check(libc::bind(fd.raw(), &address as *const _ as *const libc::sockaddr, length))?;
        check(libc::listen(fd.raw(), BACKLOG))?;
        Ok(fd)
    }
}

impl Listeners {
    /// Opens the ports 1 to `count`, now or when their nodes appear.
    pub fn open_ports(&mut self, mux: &mut Mux, count: u32) -> Res<()> {
        // SAFETY: plain calls.
        let watch = Fd::own(check(unsafe { libc::inotify_init1(libc::IN_CLOEXEC | libc::IN_NONBLOCK) })?);
        check(unsafe { libc::inotify_add_watch(watch.raw(), c"/dev".as_ptr(), libc::IN_CREATE) })?;
        mux.poller.add(&watch, IN, Target::DeviceNodes)?;
        self.ports = Some(Ports { missing: (1..=count.min(MAX_PORTS)).collect(), watch: Some(watch) });
        // What appeared before the watch.
        self.on_device_nodes(mux);
        Ok(())
    }

    /// Something appeared in /dev.
    pub fn on_device_nodes(&mut self, mux: &mut Mux) {
        let Some(mut ports) = self.ports.take() else { return };
        if let Some(watch) = &ports.watch {
            let mut events = [0u8; 4096];
            while sys::read(watch.raw(), &mut events).is_ok_and(|n| n > 0) {}
        }
        let nodes = nodes();
        let mut missing = Vec::new();
        for port in ports.missing {
            let node = nodes.iter().find(|(number, _)| *number == port);
            match node.map(|(_, path)| sys::open(path, libc::O_RDWR | libc::O_NONBLOCK)) {
                Some(Ok(fd)) => mux.sessions.add(&mut mux.poller, fd, Peer::Port),
                // Not there yet, or its driver is not ready: the next event comes.
                _ => missing.push(port),
            }
        }
        ports.missing = missing;
        if ports.missing.is_empty() {
            ports.watch = None;
        }
        self.ports = Some(ports);
    }

    fn accept_from(&mut self, mux: &mut Mux, fd: Fd, max_sessions: usize, vsock: bool) -> Res<()> {
        mux.poller.add(&fd, IN, Target::Listener(self.sockets.len()))?;
        self.sockets.push(Listener { fd, max_sessions, vsock });
        Ok(())
    }

    /// Serves the connections of the host to a socket of [`vsock`].
    pub fn serve_vsock(&mut self, mux: &mut Mux, socket: Fd) -> Res<()> {
        self.accept_from(mux, socket, MAX_VSOCK_SESSIONS, true)
    }

    /// Listens on a Unix socket (tests).
    pub fn listen_unix(&mut self, mux: &mut Mux, path: &CStr) -> Res<()> {
        let kind = libc::SOCK_STREAM | libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK;
        let bytes = path.to_bytes();
        // SAFETY: the address is plain data, filled in before use.
        let fd = unsafe {
            let fd = Fd::own(check(libc::socket(libc::AF_UNIX, kind, 0))?);
            let mut address: libc::sockaddr_un = std::mem::zeroed();
            if bytes.len() >= address.sun_path.len() {
                return Err(sys::Errno(libc::ENAMETOOLONG));
            }
            address.sun_family = libc::AF_UNIX as u16;
            for (to, &from) in address.sun_path.iter_mut().zip(bytes) {
                *to = from as libc::c_char;
            }
            // Left behind by an agent that was killed.
            libc::unlink(path.as_ptr());
            let length = std::mem::size_of::<libc::sockaddr_un>() as u32;
            check(libc::bind(fd.raw(), &address as *const _ as *const libc::sockaddr, length))?;
            check(libc::listen(fd.raw(), BACKLOG))?;
            fd
        };
        self.accept_from(mux, fd, 16, false)
    }

    /// Connections wait.
    pub fn on_connection(&self, mux: &mut Mux, index: usize) {
        while let Some(listener) = self.sockets.get(index) {
            let flags = libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK;
            // SAFETY: no address is asked for.
            let accepted =
                check(unsafe { libc::accept4(listener.fd.raw(), std::ptr::null_mut(), std::ptr::null_mut(), flags) });
            match accepted {
                Ok(fd) if listener.vsock && !is_from_host(fd) => drop(Fd::own(fd)),
                // One too many is closed at once: its host learns it from the end of the stream.
                Ok(fd) if mux.sessions.len() >= listener.max_sessions => drop(Fd::own(fd)),
                Ok(fd) => mux.sessions.add(&mut mux.poller, Fd::own(fd), Peer::Socket),
                Err(sys::Errno(libc::ECONNABORTED)) => {}
                Err(_) => return,
            }
        }
    }
}

/// True if the other end of a vsock connection is the host: over the loopback, any user of this guest could be it.
fn is_from_host(fd: i32) -> bool {
    // SAFETY: the address is plain data, an out parameter of its own length.
    unsafe {
        let mut address: libc::sockaddr_vm = std::mem::zeroed();
        let mut length = std::mem::size_of::<libc::sockaddr_vm>() as u32;
        libc::getpeername(fd, &mut address as *mut _ as *mut libc::sockaddr, &mut length) == 0
            && address.svm_cid == libc::VMADDR_CID_HOST
    }
}

#[cfg(test)]
mod tests {
    use super::port_number;

    #[test]
    fn a_port_is_found_whichever_index_its_device_has() {
        assert_eq!(port_number(b"vport0p1"), Some(1));
        assert_eq!(port_number(b"vport12p31"), Some(31));
        for other in [&b"vport0"[..], b"vportp1", b"vport0p", b"vport0p1x", b"vda", b"", b"vport0p99999999999"] {
            assert_eq!(port_number(other), None);
        }
    }
}
