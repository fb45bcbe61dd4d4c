//! What a worker talks through: content in and out, and its word on the request.

use crate::sys::{self, Fd};
use crate::wire::frame::kind;

/// Output is written in pieces of about this size.
pub const BUFFER: usize = 65_536;

/// What the child side of a worker writes to.
pub struct Channels {
    pub status: Fd,
    /// content that comes up
    pub input: Option<Fd>,
    /// content that goes down
    pub output: Option<Fd>,
}

impl Channels {
    /// A record for the agent: its kind, its length, its bytes.
    pub fn report(&self, kind: u8, message: &[u8]) {
        let mut record = vec![kind];
        record.extend_from_slice(&(message.len() as u32).to_le_bytes());
        record.extend_from_slice(message);
        // Without a reader there is nobody left to tell.
        let _ = sys::write_all(self.status.raw(), &record);
    }
    /// The request was accepted and has begun; `message` is an encoded Opened.
    pub fn opened(&self, message: &[u8]) {
        self.report(kind::OPENED, message);
    }
    /// The input pipe's descriptor.
    pub fn input(&self) -> i32 {
        self.input.as_ref().map_or(-1, Fd::raw)
    }
    /// The output pipe's descriptor.
    pub fn output(&self) -> i32 {
        self.output.as_ref().map_or(-1, Fd::raw)
    }

    /// Closes everything that is the agent's: another command's pipe must not stay open here.
    pub fn close_others(&self) {
        let mut keep: Vec<u32> = [Some(&self.status), self.input.as_ref(), self.output.as_ref()]
            .into_iter()
            .flatten()
            .map(|fd| fd.raw() as u32)
            .collect();
        keep.sort_unstable();
        let mut from = 3;
        for fd in keep.into_iter().chain([u32::MAX]) {
            if fd > from {
                // SAFETY: close_range(2) on descriptors nobody uses in this process any more.
                unsafe { libc::syscall(libc::SYS_close_range, from, fd - 1, 0) };
            }
            from = fd.saturating_add(1);
        }
    }
}
