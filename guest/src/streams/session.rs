//! One host connection: its buffers, its streams and their credit. Only bookkeeping.

use std::collections::VecDeque;

use crate::sys::poller::Token;
use crate::sys::Fd;
use crate::wire::frame::{put_frame, Header, HEADER, TOKEN};

/// Output is read from commands only while less than this waits for the host.
pub const OUT_HIGH: usize = 192 * 1024;
/// Requests are read only while less than this waits for the host.
pub const OUT_MAX: usize = 1 << 20;
/// Streams open at once in a session.
pub const MAX_STREAMS: usize = 512;
/// Credit of channel 0 that a stream starts with, in bytes.
pub const START_CREDIT: u32 = 65_536;
/// Credit may not rise above this.
pub const MAX_CREDIT: u32 = i32::MAX as u32;
/// Credit beyond [`START_CREDIT`] for uploads, so that they do not stop and go with every round trip.
pub const EXTRA_CREDIT: u32 = 458_752;
/// Streams that have it at once, over all sessions: what it may cost in memory.
pub const MAX_WIDE: usize = 16;
/// Consumed bytes are granted again when they reach this.
const GRANT_AT: u32 = 32_768;
/// The same for streams with extra credit.
const GRANT_WIDE_AT: u32 = 131_072;
/// A buffer that grew beyond this is given back once it is empty.
const KEEP_BUFFER: usize = 512 * 1024;

/// Who is at the other end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Peer {
    /// a virtio-serial port: survives its users
    Port,
    /// an accepted connection: ends with its peer
    Socket,
}

/// Names a stream.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Link {
    pub session: usize,
    pub stream: u32,
}

/// One stream of a session.
pub struct Stream {
    pub id: u32,
    /// OPEN payload so far, while more follows
    pub opening: Option<Vec<u8>>,
    pub task: Option<usize>,
    /// what the host may still be sent on channels 1 and 2
    pub credit: [u32; 2],
    /// what the host may still send on channel 0
    pub receive_credit: u32,
    /// consumed bytes of channel 0 that were not granted again yet
    pub ungranted: u32,
    /// END came on channel 0
    pub ended: bool,
    /// it was given extra credit
    pub wide: bool,
}

impl Stream {
    /// A fresh one, whose OPEN has begun.
    pub fn new(id: u32) -> Stream {
        Stream {
            id,
            opening: Some(Vec::new()),
            task: None,
            credit: [0; 2],
            receive_credit: START_CREDIT,
            ungranted: 0,
            ended: false,
            wide: false,
        }
    }
}

/// A session that parts from its connection, and is to go on over another.
pub struct Parting {
    /// what the host names it by
    pub token: [u8; TOKEN],
    /// bytes of `out` that still go over this connection
    pub rest: usize,
    /// the host has sent its last frame over it
    pub answered: bool,
    /// there is no connection any more
    pub parked: bool,
}

pub struct Session {
    pub fd: Fd,
    pub token: Token,
    pub peer: Peer,
    /// HELLO was answered
    pub active: bool,
    /// its host knows SUSPEND
    pub resumes: bool,
    pub parting: Option<Parting>,
    /// the token of a session that is to go on over this connection, once its host has switched to it
    pub resuming: Option<[u8; TOKEN]>,
    /// since HELLO, the host's side was seen open; only then does a hangup end the session (a host's first bytes may
    /// arrive before the port shows it connected)
    pub connected: bool,
    /// when a session that was never seen connected is looked at again, in monotonic ms
    pub check_at: Option<u64>,
    /// what came is to be looked at again, whether or not more comes
    pub again: bool,
    /// what came waits until the machine is held no longer
    pub held_up: bool,
    pub readable: bool,
    pub writable: bool,
    /// events of room are asked for
    pub wants_room: bool,
    pub inbound: Vec<u8>,
    /// bytes of `inbound` already handled
    pub taken: usize,
    pub out: Vec<u8>,
    /// bytes of `out` already written
    pub sent: usize,
    pub streams: Vec<Stream>,
    /// the highest stream id seen
    pub last_stream: u32,
    /// sources (stream, index) that have output but found no room
    pub waiting: VecDeque<(u32, usize)>,
}

impl Session {
    pub fn new(fd: Fd, token: Token, peer: Peer) -> Session {
        Session {
            fd,
            token,
            peer,
            active: false,
            resumes: false,
            parting: None,
            resuming: None,
            connected: false,
            check_at: None,
            again: false,
            held_up: false,
            readable: true,
            writable: true,
            wants_room: false,
            inbound: Vec::new(),
            taken: 0,
            out: Vec::new(),
            sent: 0,
            streams: Vec::new(),
            last_stream: 0,
            waiting: VecDeque::new(),
        }
    }

    /// Bytes that wait for the host.
    pub fn unsent(&self) -> usize {
        self.out.len() - self.sent
    }

    /// Bytes that may be written now.
    pub fn sendable(&self) -> usize {
        self.parting.as_ref().map_or(self.unsent(), |parting| parting.rest)
    }

    /// Bytes were written.
    pub fn wrote(&mut self, bytes: usize) {
        self.sent += bytes;
        if let Some(parting) = &mut self.parting {
            parting.rest -= bytes;
        }
    }

    pub fn stream_index(&self, id: u32) -> Option<usize> {
        // Ids rise, so the list is sorted.
        self.streams.binary_search_by_key(&id, |s| s.id).ok()
    }

    pub fn stream(&mut self, id: u32) -> Option<&mut Stream> {
        let index = self.stream_index(id)?;
        self.streams.get_mut(index)
    }

    pub fn put(&mut self, stream: u32, kind: u8, flags: u8, payload: &[u8]) {
        put_frame(&mut self.out, stream, kind, flags, payload);
    }

    /// Appends a frame whose payload `fill` writes.
    pub fn put_with(&mut self, stream: u32, kind: u8, flags: u8, fill: impl FnOnce(&mut Vec<u8>)) {
        let at = self.out.len();
        self.out.extend_from_slice(&[0; HEADER]);
        fill(&mut self.out);
        let len = self.out.len() - at - HEADER;
        self.out[at..at + HEADER].copy_from_slice(&Header { len, stream, kind, flags }.encode());
    }

    /// Bytes of channel 0 were used up: grants them again, many at a time.
    pub fn consumed(&mut self, stream: u32, bytes: usize) {
        let Some(s) = self.stream(stream) else { return };
        s.ungranted += bytes as u32;
        if s.ungranted >= if s.wide { GRANT_WIDE_AT } else { GRANT_AT } && !s.ended {
            let credit = s.ungranted;
            s.ungranted = 0;
            s.receive_credit += credit;
            self.put(stream, crate::wire::frame::kind::WINDOW, 0, &credit.to_le_bytes());
        }
    }

    /// Lets the host send more than the start's credit ahead; true if that is new.
    pub fn widen(&mut self, stream: u32) -> bool {
        let Some(s) = self.stream(stream).filter(|s| !s.ended && !s.wide) else { return false };
        s.wide = true;
        s.receive_credit += EXTRA_CREDIT;
        self.put(stream, crate::wire::frame::kind::WINDOW, 0, &EXTRA_CREDIT.to_le_bytes());
        true
    }

    /// Makes room after writing.
    pub fn compact_out(&mut self) {
        if self.sent == self.out.len() {
            self.out.clear();
            self.sent = 0;
            if self.out.capacity() > KEEP_BUFFER {
                self.out = Vec::new();
            }
        } else if self.sent >= 64 * 1024 {
            self.out.drain(..self.sent);
            self.sent = 0;
        }
    }
}
