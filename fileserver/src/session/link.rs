//! One session with the agent, over one connection after the other (protocol/PROTOCOL.md, sections 1 and 2): greeting, frames in, frames out,
//! and the parting for a capture.

use crate::session::dial::Dial;
use crate::sys::{log, now_ms, random, sockets, Errno, Fd, Res};
use crate::wire::frame::{kind, put_frame, Header, Sender, HEADER, MAGIC, MAX_PAYLOAD, TOKEN};
use crate::wire::messages::hello;
use crate::wire::scan::{scan, Scan};

/// How long an agent may be silent before it is greeted again, in milliseconds.
const GREET_AGAIN_MS: u64 = 1000;
/// When who hears nothing over a new connection hangs up, in milliseconds, and tries another one: what listens for Firecracker's vsock has lost the request
/// then. A port of QEMU's can have been left waiting for a host that is gone, and is freed by one that leaves (src/agent/session/connect.ts): once, because
/// of a guest that is merely slow the answer is on its way.
const SILENT_MS: u64 = 3000;
/// Between attempts at a connection.
const CONNECT_AGAIN_MS: u64 = 50;
/// For how long an agent may not be reached that somebody listens for: its machine may be booting, or stand still.
const MAX_REFUSED_MS: u64 = 120_000;
/// For how long nobody may listen: a machine that has ended does not come back.
const MAX_GONE_MS: u64 = 1_000;
/// How much of what an earlier user left unread is skipped.
const MAX_NOISE: usize = 16 << 20;
/// How much is read at once.
const PIECE: usize = 256 << 10;
/// The longest line of Firecracker's answer.
const MAX_LINE: usize = 64;

/// Why a session is over.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Over {
    /// the machine is gone
    Ended,
    /// the guest broke the protocol, or could not be reached
    Failed(&'static str),
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Phase {
    /// there is no connection; the next attempt is then
    Away {
        again: u64,
    },
    /// Firecracker's answer is waited for, until then
    Line {
        until: u64,
    },
    /// the agent's answer is waited for; it is greeted again then
    Greeting {
        nonce: [u8; 16],
        again: u64,
    },
    Up,
    /// the last frames before a capture are being sent
    Parting,
}

/// The session.
pub struct Link {
    dial: Dial,
    connection: Option<Fd>,
    phase: Phase,
    refused_since: u64,
    /// a port is hung up at if nothing is heard until then; it has been, or something has been heard: None
    silent_until: Option<u64>,
    may_hang_up: bool,
    noise: usize,
    /// the session that goes on
    resume: Option<[u8; TOKEN]>,
    /// what has come, and how much of it has been taken
    pub input: Vec<u8>,
    taken: usize,
    /// greetings and partings, which go before all frames
    first: Vec<u8>,
    /// frames to be sent; whole ones may be appended
    pub out: Vec<u8>,
    sent: usize,
}

impl Link {
    pub fn new(dial: Dial) -> Link {
        Link {
            dial,
            connection: None,
            phase: Phase::Away { again: 0 },
            refused_since: now_ms(),
            silent_until: None,
            may_hang_up: true,
            noise: 0,
            resume: None,
            input: Vec::new(),
            taken: 0,
            first: Vec::new(),
            out: Vec::new(),
            sent: 0,
        }
    }

    /// The connection's descriptor, if there is one.
    pub fn fd(&self) -> Option<i32> {
        self.connection.as_ref().map(Fd::raw)
    }

    pub fn is_up(&self) -> bool {
        self.phase == Phase::Up
    }

    /// When `tick` wants to be called next.
    pub fn deadline(&self) -> Option<u64> {
        match self.phase {
            Phase::Away { again } | Phase::Line { until: again } => Some(again),
            Phase::Greeting { again, .. } => Some(self.silent_until.map_or(again, |until| until.min(again))),
            _ => None,
        }
    }

    /// How many bytes wait to be sent.
    pub fn unsent(&self) -> usize {
        self.out.len() - self.sent
    }

    /// Whether it waits for room to write.
    pub fn wants_to_write(&self) -> bool {
        !self.first.is_empty() || (self.phase == Phase::Up && self.unsent() > 0)
    }

    /// Does what is due: connects, or greets again.
    pub fn tick(&mut self) -> Result<(), Over> {
        let now = now_ms();
        match self.phase {
            Phase::Away { again } if now >= again => match self.dial.connect() {
                Ok(fd) => {
                    self.connection = Some(fd);
                    self.input.clear();
                    self.taken = 0;
                    self.noise = 0;
                    self.first.clear();
                    if self.dial.port.is_some() {
                        self.phase = Phase::Line { until: now + SILENT_MS };
                        Ok(())
                    } else {
                        self.silent_until = std::mem::take(&mut self.may_hang_up).then_some(now + SILENT_MS);
                        self.greet(false)
                    }
                }
                Err(Errno(libc::ECONNREFUSED | libc::ENOENT)) => self.refused(MAX_GONE_MS),
                Err(_) => self.refused(MAX_REFUSED_MS),
            },
            Phase::Line { until } if now >= until => self.hang_up(now),
            Phase::Greeting { .. } if self.silent_until.is_some_and(|until| now >= until) => self.hang_up(now),
            Phase::Greeting { again, .. } if now >= again => self.greet(true),
            _ => Ok(()),
        }
    }

    /// Nothing was heard, though somebody listens: a machine may stand still for as long as it likes.
    fn hang_up(&mut self, now: u64) -> Result<(), Over> {
        self.silent_until = None;
        self.refused_since = now;
        self.refused(MAX_REFUSED_MS)
    }

    /// There is no session yet. Another attempt is made, but for no longer than that since there was one.
    fn refused(&mut self, most: u64) -> Result<(), Over> {
        self.connection = None;
        let now = now_ms();
        if now.saturating_sub(self.refused_since) > most {
            return Err(Over::Failed("the sandbox cannot be reached"));
        }
        self.phase = Phase::Away { again: now + CONNECT_AGAIN_MS };
        Ok(())
    }

    /// Says HELLO; `flush`: after what completes any frame that the agent waits for the rest of.
    fn greet(&mut self, flush: bool) -> Result<(), Over> {
        let Ok(nonce) = random() else { return Err(Over::Failed("there is no randomness")) };
        if self.first.len() > 4 * MAX_PAYLOAD {
            // Nobody reads. What is said already is enough.
            if let Phase::Greeting { again, .. } = &mut self.phase {
                *again = now_ms() + GREET_AGAIN_MS;
            }
            return Ok(());
        }
        if flush {
            self.first.resize(self.first.len() + HEADER + MAX_PAYLOAD, 0);
        }
        self.first.extend_from_slice(MAGIC);
        put_frame(&mut self.first, 0, kind::HELLO, 0, &hello(&nonce, self.resume.as_ref()));
        self.phase = Phase::Greeting { nonce, again: now_ms() + GREET_AGAIN_MS };
        self.write()
    }

    /// Reads what is there.
    pub fn read(&mut self) -> Result<(), Over> {
        let Some(fd) = self.fd() else { return Ok(()) };
        if self.taken > 0 {
            self.input.drain(..self.taken);
            self.taken = 0;
        }
        match sockets::receive(fd, &mut self.input, PIECE) {
            Ok(0) => return self.closed(),
            Err(error) if error.would_block() => return Ok(()),
            Err(_) => return self.closed(),
            Ok(_) => self.silent_until = None,
        }
        if matches!(self.phase, Phase::Line { .. }) {
            self.line()?;
        }
        if let Phase::Greeting { nonce, .. } = self.phase {
            self.answered(&nonce)?;
        }
        Ok(())
    }

    fn closed(&mut self) -> Result<(), Over> {
        match self.phase {
            Phase::Up => Err(Over::Ended),
            Phase::Parting => {
                self.away();
                Ok(())
            }
            _ => self.refused(MAX_REFUSED_MS),
        }
    }

    fn away(&mut self) {
        self.connection = None;
        self.first.clear();
        self.refused_since = now_ms();
        self.may_hang_up = true;
        self.phase = Phase::Away { again: 0 };
    }

    fn line(&mut self) -> Result<(), Over> {
        match self.input.iter().position(|byte| *byte == b'\n') {
            Some(end) if self.input.starts_with(b"OK ") => {
                self.input.drain(..=end);
                self.greet(false)
            }
            None if self.input.len() < MAX_LINE => Ok(()),
            _ => self.refused(MAX_REFUSED_MS),
        }
    }

    fn answered(&mut self, nonce: &[u8; 16]) -> Result<(), Over> {
        match scan(&self.input, nonce) {
            Scan::More { discard } => {
                self.noise += discard;
                self.input.drain(..discard);
                if self.noise > MAX_NOISE {
                    return Err(Over::Failed("the guest says nothing but noise"));
                }
                Ok(())
            }
            Scan::Start { used, message: ack } => {
                if ack.version != 1 {
                    return Err(Over::Failed("the guest's agent speaks another version of the protocol"));
                }
                self.taken = used;
                if self.resume.take().is_some() {
                    if !ack.resumed {
                        return Err(Over::Failed("the guest has given the session up"));
                    }
                    put_frame(&mut self.first, 0, kind::SWITCH, 0, &[]);
                }
                self.phase = Phase::Up;
                self.write()
            }
        }
    }

    /// The next whole frame that has come: its header, and where its payload is in `input`.
    pub fn next_frame(&mut self) -> Result<Option<(Header, std::ops::Range<usize>)>, Over> {
        if self.phase != Phase::Up {
            return Ok(None);
        }
        let rest = &self.input[self.taken..];
        let Some(header) = rest.first_chunk::<HEADER>() else { return Ok(None) };
        let header =
            Header::parse(header, Sender::Guest).map_err(|_| Over::Failed("the guest sent what is no frame"))?;
        if rest.len() < HEADER + header.len {
            return Ok(None);
        }
        let start = self.taken + HEADER;
        self.taken = start + header.len;
        Ok(Some((header, start..self.taken)))
    }

    /// The guest sent SUSPEND: what we have said is sent to its end, then SWITCH, then the connection is closed and the session goes on over another.
    pub fn suspend(&mut self, token: &[u8]) -> Result<(), Over> {
        self.resume = token.try_into().ok();
        self.first.extend_from_slice(&self.out[self.sent..]);
        self.out.clear();
        self.sent = 0;
        put_frame(&mut self.first, 0, kind::SWITCH, 0, &[]);
        self.phase = Phase::Parting;
        log::say(format_args!("the session parts from its connection"));
        self.write()
    }

    /// Writes what can be written.
    pub fn write(&mut self) -> Result<(), Over> {
        let Some(fd) = self.fd() else { return Ok(()) };
        while !self.first.is_empty() {
            match self.push(sockets::send(fd, &self.first))? {
                0 => return Ok(()),
                n => drop(self.first.drain(..n)),
            }
        }
        if self.phase == Phase::Parting {
            self.away();
        }
        while self.phase == Phase::Up && self.unsent() > 0 {
            match self.push(sockets::send(fd, &self.out[self.sent..]))? {
                0 => return Ok(()),
                n => self.sent += n,
            }
        }
        if self.phase == Phase::Up {
            self.out.clear();
            self.sent = 0;
        }
        Ok(())
    }

    /// What a write says: how much it took, 0 for now nothing.
    fn push(&mut self, done: Res<usize>) -> Result<usize, Over> {
        match done {
            Ok(n) => Ok(n),
            Err(Errno(libc::EAGAIN)) => Ok(0),
            // What is to be read may say why; the end comes with reading.
            Err(_) => match self.phase {
                Phase::Up => Err(Over::Ended),
                _ => {
                    self.closed()?;
                    Ok(0)
                }
            },
        }
    }
}
