//! What a worker talks through: content in and out, and its word on the request.

use std::cell::RefCell;

use crate::sys::{self, Fd};
use crate::wire::frame::kind;
use crate::wire::messages::{Failure, Outcome};

/// Output is written in pieces of about this size.
pub const BUFFER: usize = 65_536;

/// What the child side of a worker writes to.
pub struct Channels {
    status: Fd,
    /// content that comes up
    pub input: Option<Fd>,
    /// content that came up with the request: all of it, and no input
    pub content: Option<Vec<u8>>,
    /// content that goes down
    pub output: Option<Fd>,
    /// records that leave with the next one
    held: RefCell<Vec<u8>>,
}

impl Channels {
    /// Channels without content yet.
    pub fn new(status: Fd) -> Channels {
        Channels { status, input: None, content: None, output: None, held: RefCell::default() }
    }

    /// The descriptor of the status channel.
    pub fn status(&self) -> i32 {
        self.status.raw()
    }

    /// A record for the agent: its kind, its length, its bytes.
    pub fn report(&self, kind: u8, message: &[u8]) {
        self.hold(kind, message);
        self.tell();
    }
    /// The request was accepted and has begun; `message` is an encoded Opened.
    pub fn opened(&self, message: &[u8]) {
        self.report(kind::OPENED, message);
    }
    /// The same, where the result most likely follows at once and can take it along: [`Channels::tell`] before anything that
    /// may take longer, because the agent passes on no content before it.
    pub fn opened_soon(&self, message: &[u8]) {
        self.hold(kind::OPENED, message);
    }

    fn hold(&self, kind: u8, message: &[u8]) {
        let mut held = self.held.borrow_mut();
        held.push(kind);
        held.extend_from_slice(&(message.len() as u32).to_le_bytes());
        held.extend_from_slice(message);
    }

    /// Tells the agent what was held back.
    pub fn tell(&self) {
        let mut held = self.held.borrow_mut();
        // Without a reader there is nobody left to tell.
        let _ = sys::write_all(self.status.raw(), &held);
        held.clear();
    }

    /// Tells what was held back unless there is content to be read.
    pub fn tell_before_waiting(&self) {
        if self.held.borrow().is_empty() || self.content.is_some() {
            return;
        }
        let mut poll = libc::pollfd { fd: self.input(), events: libc::POLLIN, revents: 0 };
        // SAFETY: one entry, no waiting.
        if unsafe { libc::poll(&mut poll, 1, 0) } == 0 {
            self.tell();
        }
    }

    /// The input pipe's descriptor.
    pub fn input(&self) -> i32 {
        self.input.as_ref().map_or(-1, Fd::raw)
    }
    /// The output pipe's descriptor.
    pub fn output(&self) -> i32 {
        self.output.as_ref().map_or(-1, Fd::raw)
    }

    /// The request is over: its content ends, and its outcome is the last word on it.
    pub fn finish(&mut self, outcome: Result<Outcome, Failure>) {
        let mut message = Vec::new();
        outcome.unwrap_or_else(Outcome::failed).encode(&mut message);
        // In this order: the agent, once it has the result, takes what the pipe holds for all.
        self.input = None;
        self.content = None;
        self.output = None;
        self.report(kind::RESULT, &message);
    }

    /// Closes everything that is the agent's: another command's pipe must not stay open here.
    /// What is in `also` stays.
    pub fn close_others(&self, also: &[i32]) {
        let own = [Some(&self.status), self.input.as_ref(), self.output.as_ref()].into_iter().flatten().map(Fd::raw);
        let mut keep: Vec<u32> = own.chain(also.iter().copied()).map(|fd| fd as u32).collect();
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
