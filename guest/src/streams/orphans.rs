//! Output that background children of finished commands still write: read and thrown away, so that they live on.

use std::collections::VecDeque;

use crate::streams::slab::Slab;
use crate::streams::target::{Poller, Target};
use crate::sys::poller::{Token, IN};
use crate::sys::{self, console, Fd};
use crate::wire::frame::MAX_PAYLOAD;

/// Descriptors kept open for background children of finished commands. The oldest is closed when there are more.
const MAX_ORPHANS: usize = 128;
/// Reads of one before others get a turn.
const READS_PER_TURN: usize = 8;

struct Orphan {
    fd: Fd,
    token: Token,
}

#[derive(Default)]
pub struct Orphans {
    table: Slab<Orphan>,
    /// oldest first
    order: VecDeque<usize>,
    /// those whose reads were cut short
    again: VecDeque<usize>,
    scratch: Vec<u8>,
}

impl Orphans {
    /// Takes a descriptor over, with its registration if it has one.
    pub fn keep(&mut self, poller: &mut Poller, fd: Fd, token: Option<Token>) {
        if self.order.len() >= MAX_ORPHANS {
            if let Some(oldest) = self.order.pop_front() {
                self.forget(poller, oldest);
            }
        }
        let index = self.table.next_index();
        let token = match token {
            Some(token) => {
                poller.retarget(token, Target::Orphan(index));
                token
            }
            None => match sys::set_nonblocking(fd.raw()).and_then(|()| poller.add(&fd, IN, Target::Orphan(index))) {
                Ok(token) => token,
                Err(error) => return console::warn("cannot watch what a command left behind", error),
            },
        };
        self.table.insert(Orphan { fd, token });
        self.order.push_back(index);
        self.drain(poller, index);
    }

    /// Reads what is there; at its end it is closed.
    pub fn drain(&mut self, poller: &mut Poller, index: usize) {
        for _ in 0..READS_PER_TURN {
            let Some(orphan) = self.table.get(index) else { return };
            self.scratch.clear();
            match sys::read_append(orphan.fd.raw(), &mut self.scratch, MAX_PAYLOAD) {
                Ok(0) => {
                    self.order.retain(|&i| i != index);
                    return self.forget(poller, index);
                }
                Ok(_) => {}
                Err(_) => return,
            }
        }
        self.again.push_back(index);
    }

    pub fn is_busy(&self) -> bool {
        !self.again.is_empty()
    }

    /// Goes on where reads were cut short.
    pub fn resume(&mut self, poller: &mut Poller) {
        for index in std::mem::take(&mut self.again) {
            self.drain(poller, index);
        }
    }

    fn forget(&mut self, poller: &mut Poller, index: usize) {
        if let Some(orphan) = self.table.remove(index) {
            poller.forget(orphan.token);
        }
    }
}
