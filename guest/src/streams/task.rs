//! What runs on behalf of a stream: a command, a file worker or a connection. All three have at most one way in
//! (channel 0) and two ways out (channels 1 and 2), so moving bytes is the same code for them.

use crate::exec::process::Process;
use crate::machine::address::Address;
use crate::streams::kept_mount::{Keeping, KeptMount};
use crate::streams::session::Link;
use crate::sys::poller::Token;
use crate::sys::Fd;
use crate::wire::fuse::Directories;

/// The way in: bytes of channel 0 on their way to a descriptor.
pub struct Sink {
    pub fd: Fd,
    /// none while nothing came for it that it may not take at once
    pub token: Option<Token>,
    pub writable: bool,
    /// bytes that the descriptor has not taken; bounded by the stream's credit
    pub buf: Vec<u8>,
    /// bytes of `buf` already written
    pub done: usize,
    /// the host will send no more
    pub ended: bool,
    pub kind: SinkKind,
}

/// How a sink ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SinkKind {
    Pipe,
    /// end of input is ^D
    Terminal,
    /// end of input is a half-close; the same description as the source
    Socket,
    /// each frame is one message; what the kernel refuses of it is nobody's error
    Messages,
}

/// A way out: a descriptor whose bytes go to channel 1 or 2.
pub struct Source {
    pub fd: Fd,
    /// none while it need not be watched: what writes there is expected to end at once
    pub token: Option<Token>,
    /// there may be something to read
    pub ready: bool,
    /// nobody writes any more; what is there is still read
    pub hung_up: bool,
    /// times that it had something to read
    pub events: u32,
    /// its pipe was made larger
    pub widened: bool,
    /// queued in its session until the outbound queue has room
    pub waiting: bool,
    /// how much is still to be sent after the command's end
    pub limit: Option<usize>,
    pub terminal: bool,
    /// each read gives one message, and takes room for the longest
    pub messages: bool,
}

impl Sink {
    /// A fresh one; `writable` unless it must be waited for.
    pub fn new(fd: Fd, token: impl Into<Option<Token>>, kind: SinkKind, writable: bool) -> Sink {
        Sink { fd, token: token.into(), writable, buf: Vec::new(), done: 0, ended: false, kind }
    }
}

impl Source {
    /// A fresh one.
    pub fn new(fd: Fd, token: Option<Token>, terminal: bool) -> Source {
        Source {
            fd,
            token,
            ready: false,
            hung_up: false,
            events: 0,
            widened: false,
            waiting: false,
            limit: None,
            terminal,
            messages: false,
        }
    }

    /// One that gives messages, and has none before it is watched.
    pub fn of_messages(fd: Fd) -> Source {
        Source { messages: true, ..Source::new(fd, None, false) }
    }
}

pub enum Kind {
    Process(Box<Process>),
    Worker(Worker),
    Forward(Forward),
    Kill(Kill),
    /// the host is told of connections that leave; which of these it is
    Door(u32),
}

/// A forked child of the agent that works on files.
pub struct Worker {
    pub pid: i32,
    /// where it writes its `Opened` and `Result`
    pub status: Fd,
    pub status_token: Token,
    pub report: Vec<u8>,
    /// OPENED was sent, or is none of this request
    pub opened: bool,
    /// its encoded Result
    pub result: Option<Vec<u8>>,
    /// it removes what is half written when it is told to stop
    pub cleans_up: bool,
    /// it watches what happens to files
    pub watch: bool,
    /// it stays until it is told to stop
    pub stays: bool,
    /// it keeps a mount of the host's, whose messages are the task's
    pub mount: Option<Directories>,
    /// what it takes to go on with that mount after a capture, if its host knows how
    pub kept: Option<Box<KeptMount>>,
    /// the number of that mount's root among its descriptors
    pub place: Option<i32>,
    /// it can do another request after this one, for whom this stands
    pub key: Option<Vec<u8>>,
    /// it has told its Result
    pub answered: bool,
    pub cancelled: bool,
    /// when one that was told to stop is killed, in monotonic ms
    pub kill_at: Option<u64>,
    /// of a lookup: where to connect then
    pub port: u16,
}

impl Worker {
    /// It keeps a mount that outlives its session.
    pub fn is_kept(&self) -> bool {
        self.pid > 0 && self.kept.as_ref().is_some_and(|kept| matches!(kept.state, Keeping::There(_)))
    }
}

/// A worker with nothing to do.
pub struct Waiting {
    pub pid: i32,
    /// for whom it works: empty for root, else the user, and which accounts there were when it became that one
    pub key: Vec<u8>,
    /// requests go in, what it has to say comes out
    pub channel: Fd,
    pub token: Token,
}

/// Somebody waits for the end of a command, and of all it started, that was killed.
pub struct Kill {
    /// its number
    pub process: u32,
    /// its cgroup's events
    pub events: Fd,
    pub token: Token,
    /// when the answer is given all the same, in monotonic ms
    pub until: u64,
}

/// A connection inside the guest.
pub struct Forward {
    /// connect(2) has not finished yet
    pub connecting: bool,
    /// addresses left to try
    pub next: Vec<Address>,
    /// the host's direction is over: all of it, and its end, are with the server
    pub input_over: bool,
    /// the server's end has reset the connection
    pub reset: bool,
    /// it was reset before it was known to be connected: its end is none, but what came before is still to be read
    pub cut: bool,
}

pub struct Task {
    pub link: Option<Link>,
    pub sink: Option<Sink>,
    pub sources: [Option<Source>; 2],
    pub kind: Kind,
}

impl Task {
    pub fn process(&self) -> Option<&Process> {
        match &self.kind {
            Kind::Process(process) => Some(process),
            _ => None,
        }
    }
    pub fn process_mut(&mut self) -> Option<&mut Process> {
        match &mut self.kind {
            Kind::Process(process) => Some(process),
            _ => None,
        }
    }
}
