//! All sessions, and which of them have something to do.

use crate::streams::session::{Link, Peer, Session, Stream};
use crate::streams::slab::Slab;
use crate::streams::target::{Poller, Target};
use crate::sys::console;
use crate::sys::poller::IN;
use crate::sys::Fd;
use crate::wire::frame::kind;
use crate::wire::messages::Outcome;

#[derive(Default)]
pub struct Sessions {
    table: Slab<Session>,
    /// sessions with something to write, or reads that were cut short
    busy: Vec<usize>,
}

impl Sessions {
    /// Adds a session on a port or connection.
    pub fn add(&mut self, poller: &mut Poller, fd: Fd, peer: Peer) {
        let index = self.table.next_index();
        match poller.add(&fd, IN, Target::Session(index)) {
            Ok(token) => {
                self.table.insert(Session::new(fd, token, peer));
                self.mark(index);
            }
            Err(error) => console::warn("cannot watch a session", error),
        }
    }

    pub fn remove(&mut self, index: usize) -> Option<Session> {
        self.table.remove(index)
    }

    pub fn get_mut(&mut self, index: usize) -> Option<&mut Session> {
        self.table.get_mut(index)
    }

    pub fn len(&self) -> usize {
        self.table.len()
    }

    pub fn is_empty(&self) -> bool {
        self.table.is_empty()
    }

    pub fn iter(&self) -> impl Iterator<Item = &Session> {
        self.table.iter().map(|(_, session)| session)
    }

    /// Every index in use lies in it.
    pub fn indices(&self) -> std::ops::Range<usize> {
        0..self.table.bound()
    }

    /// The session gets a turn before the next wait.
    pub fn mark(&mut self, index: usize) {
        if !self.busy.contains(&index) {
            self.busy.push(index);
        }
    }

    pub fn is_busy(&self) -> bool {
        !self.busy.is_empty()
    }

    /// The sessions that were marked; they are no longer.
    pub fn take_busy(&mut self) -> Vec<usize> {
        std::mem::take(&mut self.busy)
    }

    /// What came over some of them is looked at again, whether or not more comes: they wait for nothing any more.
    pub fn look_again(&mut self, which: impl Fn(&Session) -> bool) {
        for index in self.indices() {
            if let Some(session) = self.get_mut(index).filter(|session| which(session)) {
                session.held_up = false;
                session.again = true;
                self.mark(index);
            }
        }
    }

    pub fn stream(&mut self, link: Link) -> Option<&mut Stream> {
        self.get_mut(link.session)?.stream(link.stream)
    }

    /// The task that runs for a stream.
    pub fn task_of(&mut self, link: Link) -> Option<usize> {
        self.stream(link)?.task
    }

    /// Sends a frame whose payload `fill` writes.
    pub fn send(&mut self, link: Link, kind: u8, flags: u8, fill: impl FnOnce(&mut Vec<u8>)) {
        if let Some(session) = self.get_mut(link.session) {
            session.put_with(link.stream, kind, flags, fill);
            self.mark(link.session);
        }
    }

    /// Sends a stream's RESULT and forgets the stream.
    pub fn answer(&mut self, link: Link, outcome: &Outcome) {
        let mut message = Vec::new();
        outcome.encode(&mut message);
        self.answer_encoded(link, &message);
    }

    /// Sends an encoded Result.
    pub fn answer_encoded(&mut self, link: Link, message: &[u8]) {
        let Some(session) = self.get_mut(link.session) else { return };
        if let Some(at) = session.stream_index(link.stream) {
            session.streams.remove(at);
        }
        session.put(link.stream, kind::RESULT, 0, message);
        self.mark(link.session);
    }

    /// Streams that may send more than the usual credit ahead.
    pub fn wide_streams(&self) -> usize {
        self.iter().map(|session| session.streams.iter().filter(|s| s.wide).count()).sum()
    }
}
