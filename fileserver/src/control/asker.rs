//! One connection of somebody who asks.

use crate::control::request::{parse, Refusal, Request};
use crate::sys::{now_ms, sockets, Errno, Fd, Res};
use crate::wire::messages::code;

/// The longest request.
const MAX_LINE: usize = 16 << 10;
/// How long a request may take to come, and its answer to go, in milliseconds.
const PATIENCE_MS: u64 = 10_000;

/// A connection.
pub struct Asker {
    fd: Fd,
    line: Vec<u8>,
    passed: Vec<Fd>,
    answer: Vec<u8>,
    until: u64,
    state: State,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    Asking,
    /// the request is being done
    Waiting,
    Answering,
}

/// What came of a connection's readiness.
pub enum News {
    Nothing,
    Asked(Request, Option<Fd>),
    /// it is over
    Gone,
}

impl Asker {
    /// Takes a connection; only our own user's is served.
    pub fn accept(listener: i32) -> Res<Asker> {
        let fd = sockets::accept(listener)?;
        // SAFETY: plain call.
        if sockets::peer_user(fd.raw())? != unsafe { libc::geteuid() } {
            return Err(Errno(libc::EPERM));
        }
        let until = now_ms() + PATIENCE_MS;
        Ok(Asker { fd, line: Vec::new(), passed: Vec::new(), answer: Vec::new(), until, state: State::Asking })
    }

    pub fn fd(&self) -> i32 {
        self.fd.raw()
    }

    /// When it is given up.
    pub fn deadline(&self) -> Option<u64> {
        (self.state != State::Waiting).then_some(self.until)
    }

    pub fn wants_to_write(&self) -> bool {
        self.state == State::Answering
    }

    /// Reads, or sends on.
    pub fn ready(&mut self) -> News {
        match self.state {
            State::Asking => self.read(),
            State::Waiting => {
                // Nothing more is asked: it is the end, or noise.
                let mut noise = Vec::new();
                match sockets::receive(self.fd.raw(), &mut noise, 1) {
                    Err(error) if error.would_block() => News::Nothing,
                    _ => News::Gone,
                }
            }
            State::Answering => self.send(),
        }
    }

    fn read(&mut self) -> News {
        match sockets::receive_with(self.fd.raw(), &mut self.line, MAX_LINE, &mut self.passed) {
            Err(error) if error.would_block() => return News::Nothing,
            Ok(0) | Err(_) => return News::Gone,
            Ok(_) => {}
        }
        if self.passed.len() > 1 {
            return self.refuse("more than one descriptor came");
        }
        match self.line.iter().position(|byte| *byte == b'\n') {
            Some(end) if end + 1 == self.line.len() => match parse(&self.line[..end]) {
                Ok(request) => {
                    self.state = State::Waiting;
                    News::Asked(request, self.passed.pop())
                }
                Err(refusal) => {
                    self.answer(&refusal.line());
                    self.send()
                }
            },
            None if self.line.len() < MAX_LINE => News::Nothing,
            _ => self.refuse("the request is more than a line"),
        }
    }

    fn refuse(&mut self, why: &str) -> News {
        self.answer(&Refusal::new(code::INVALID, why).line());
        self.send()
    }

    /// Answers with this line.
    pub fn answer(&mut self, line: &str) {
        self.answer.extend_from_slice(line.as_bytes());
        self.state = State::Answering;
        self.until = now_ms() + PATIENCE_MS;
    }

    fn send(&mut self) -> News {
        match sockets::send(self.fd.raw(), &self.answer) {
            Err(error) if error.would_block() => News::Nothing,
            Err(_) => News::Gone,
            Ok(n) => {
                self.answer.drain(..n);
                if self.answer.is_empty() {
                    News::Gone
                } else {
                    News::Nothing
                }
            }
        }
    }
}
