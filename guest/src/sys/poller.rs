//! epoll with stale-event protection. Everything is edge-triggered: a port whose host is away reports HUP without
//! end, and level-triggered epoll would spin on it.

use crate::sys::{check, Errno, Fd, Res};

/// Names one registration; outlives it without harm.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Token(u64);

struct Slot<T> {
    generation: u32,
    target: Option<T>,
}

/// Events that came with one wait.
pub struct Event<T> {
    pub target: T,
    pub readable: bool,
    pub writable: bool,
    /// the other side has gone (EPOLLHUP or EPOLLERR), or will write no more (EPOLLRDHUP, where it is asked for)
    pub hangup: bool,
}

/// `T` says what a descriptor belongs to.
pub struct Poller<T> {
    epoll: Fd,
    slots: Vec<Slot<T>>,
    free: Vec<u32>,
    events: [libc::epoll_event; 64],
    pending: usize,
    next: usize,
}

pub const IN: u32 = libc::EPOLLIN as u32;
pub const OUT: u32 = libc::EPOLLOUT as u32;
pub const PRI: u32 = libc::EPOLLPRI as u32;
/// For sockets that are read: their end may come in one event with their last bytes, and after a short read none follows.
pub const RDHUP: u32 = libc::EPOLLRDHUP as u32;
const HANGUP: u32 = (libc::EPOLLHUP | libc::EPOLLERR) as u32;

impl<T: Copy + PartialEq> Poller<T> {
    pub fn new() -> Res<Poller<T>> {
        // SAFETY: plain call.
        let epoll = Fd::own(check(unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) })?);
        Ok(Poller {
            epoll,
            slots: Vec::new(),
            free: Vec::new(),
            events: [libc::epoll_event { events: 0, u64: 0 }; 64],
            pending: 0,
            next: 0,
        })
    }

    /// Watches `fd`, edge-triggered.
    pub fn add(&mut self, fd: &Fd, interest: u32, target: T) -> Res<Token> {
        let index = match self.free.pop() {
            Some(index) => index as usize,
            None => {
                self.slots.push(Slot { generation: 0, target: None });
                self.slots.len() - 1
            }
        };
        let token = Token(u64::from(self.slots[index].generation) << 32 | index as u64);
        let mut event = libc::epoll_event { events: interest | libc::EPOLLET as u32, u64: token.0 };
        // SAFETY: the event lives through the call.
        match check(unsafe { libc::epoll_ctl(self.epoll.raw(), libc::EPOLL_CTL_ADD, fd.raw(), &mut event) }) {
            Ok(_) => {
                self.slots[index].target = Some(target);
                Ok(token)
            }
            Err(error) => {
                self.free.push(index as u32);
                Err(error)
            }
        }
    }

    /// Forgets a registration, if there is one, whose descriptor is about to be closed (closing it removes it from epoll).
    pub fn forget(&mut self, token: impl Into<Option<Token>>) {
        let Some(token) = token.into() else { return };
        let slot = &mut self.slots[token.0 as u32 as usize];
        if slot.generation == (token.0 >> 32) as u32 && slot.target.is_some() {
            slot.target = None;
            slot.generation = slot.generation.wrapping_add(1);
            self.free.push(token.0 as u32);
        }
    }

    /// Forgets a registration whose descriptor stays open.
    pub fn remove(&mut self, fd: &Fd, token: Token) {
        // SAFETY: no event is read for a removal.
        unsafe { libc::epoll_ctl(self.epoll.raw(), libc::EPOLL_CTL_DEL, fd.raw(), std::ptr::null_mut()) };
        self.forget(token);
    }

    /// Gives the events of a registration to another target.
    pub fn retarget(&mut self, token: Token, target: T) {
        let slot = &mut self.slots[token.0 as u32 as usize];
        if slot.generation == (token.0 >> 32) as u32 {
            slot.target = Some(target);
        }
    }

    /// Changes what a registration waits for. Conditions that hold already are reported again.
    pub fn rearm(&mut self, fd: &Fd, token: Token, interest: u32) {
        let mut event = libc::epoll_event { events: interest | libc::EPOLLET as u32, u64: token.0 };
        // SAFETY: the event lives through the call. It cannot fail for a descriptor that is watched.
        unsafe { libc::epoll_ctl(self.epoll.raw(), libc::EPOLL_CTL_MOD, fd.raw(), &mut event) };
    }

    /// Waits for events, at most `timeout_ms` (-1: for ever). Those of `first` come before the others.
    pub fn wait(&mut self, timeout_ms: i32, first: T) -> Res<()> {
        self.next = 0;
        self.pending = 0;
        let max = self.events.len() as i32;
        // SAFETY: the array holds `max` events.
        match check(unsafe { libc::epoll_wait(self.epoll.raw(), self.events.as_mut_ptr(), max, timeout_ms) }) {
            Ok(n) => self.pending = n as usize,
            Err(Errno(libc::EINTR)) => {}
            Err(error) => return Err(error),
        }
        for i in 1..self.pending {
            if self.target(self.events[i].u64) == Some(first) {
                self.events.swap(0, i);
            }
        }
        Ok(())
    }

    fn target(&self, token: u64) -> Option<T> {
        let slot = self.slots.get(token as u32 as usize)?;
        if slot.generation == (token >> 32) as u32 {
            slot.target
        } else {
            None
        }
    }

    /// The next event of the last wait whose registration still exists.
    pub fn next_event(&mut self) -> Option<Event<T>> {
        while self.next < self.pending {
            let event = self.events[self.next];
            self.next += 1;
            let (bits, token) = (event.events, event.u64);
            if let Some(target) = self.target(token) {
                return Some(Event {
                    target,
                    readable: bits & (IN | PRI | RDHUP | HANGUP) != 0,
                    writable: bits & (OUT | HANGUP) != 0,
                    hangup: bits & (HANGUP | RDHUP) != 0,
                });
            }
        }
        None
    }
}
