//! How the agent is reached: at the socket of a QEMU chardev, or at Firecracker's vsock socket, which wants to be told the port.

use crate::sys::{sockets, Fd, Res};

/// Where the agent is.
#[derive(Clone, Debug)]
pub struct Dial {
    pub path: Vec<u8>,
    /// of the vsock: the guest's port
    pub port: Option<u32>,
}

impl Dial {
    /// A connection that does not wait; with a port, the line that asks for it is sent.
    pub fn connect(&self) -> Res<Fd> {
        let fd = sockets::connect(&self.path)?;
        if let Some(port) = self.port {
            sockets::send(fd.raw(), format!("CONNECT {port}\n").as_bytes())?;
        }
        sockets::set_nonblocking(fd.raw())?;
        Ok(fd)
    }
}
