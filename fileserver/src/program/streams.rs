//! A stream of the session: what it is for, and what waits on it.

use std::collections::VecDeque;

use crate::changes::follow::Changes;
use crate::control::request::MountRequest;
use crate::requests::answer::{answer, is_init};
use crate::requests::mount::Mount;
use crate::sys::now_ms;
use crate::wire::frame::{kind, put_frame, Header, HEADER};
use crate::wire::fuse::IN_HEADER;
use crate::wire::kept::{decode, messages, Kept};

/// The credit for the guest's requests, in bytes.
pub const WINDOW: u32 = 2 << 20;
/// What a guest grants us with the stream.
const FIRST_CREDIT: u64 = 65_536;
/// How much of the credit is used up before it is granted anew.
const GRANT_AT: u32 = WINDOW / 8;
/// With more than that unsent, nothing more is answered, in bytes: of the stream, and of the session.
const MAX_WAITING: usize = 256 << 10;
pub const MAX_UNSENT: usize = 1 << 20;

/// What it is for.
pub enum Purpose {
    Mount(Box<Mounted>),
    /// of what is mounted at that path
    Unmount(String),
    /// what happened on the host, for the mount of that stream
    Changes(u32),
}

/// A directory that is mounted, or will be.
pub struct Mounted {
    pub mount: Mount,
    pub request: MountRequest,
}

/// One stream.
pub struct Stream {
    pub id: u32,
    pub purpose: Purpose,
    /// who waits for an answer
    pub asker: Option<u64>,
    pub opened: bool,
    /// we have said that it is to end
    pub ending: bool,
    /// the mount is at its path, and nobody has been told yet
    pub placed: bool,
    /// of a mount that goes on after a capture: how long who waits for it is kept waiting until the guest knows what has changed meanwhile, in ms
    pub told_by: Option<u64>,
    /// how much we may send
    credit: u64,
    /// how much the guest may send, and how much of what it sent is done with but not granted anew
    left: u32,
    done: u32,
    /// frames for which there is no credit yet
    waiting: VecDeque<Vec<u8>>,
    waiting_bytes: usize,
    /// requests that have not been looked at
    held: VecDeque<Vec<u8>>,
}

/// The guest sent more than it may.
pub struct Overrun;

impl Stream {
    pub fn new(id: u32, purpose: Purpose, asker: Option<u64>) -> Stream {
        Stream {
            id,
            purpose,
            asker,
            opened: false,
            ending: false,
            placed: false,
            told_by: None,
            credit: FIRST_CREDIT,
            left: WINDOW,
            done: 0,
            waiting: VecDeque::new(),
            waiting_bytes: 0,
            held: VecDeque::new(),
        }
    }

    /// Whether answers wait for credit.
    pub fn is_held_up(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// The mount that it is.
    pub fn mount(&mut self) -> Option<&mut Mount> {
        match &mut self.purpose {
            Purpose::Mount(mounted) => Some(&mut mounted.mount),
            _ => None,
        }
    }

    /// What happens to the mount that it is.
    pub fn changes(&mut self) -> Option<&mut Changes> {
        self.mount()?.changes.as_mut()
    }

    pub fn is_mounted_at(&self, path: &str) -> bool {
        matches!(&self.purpose, Purpose::Mount(mounted) if mounted.request.guest == path)
    }

    fn told(&self) -> Option<&Changes> {
        match &self.purpose {
            Purpose::Mount(mounted) => mounted.mount.changes.as_ref(),
            _ => None,
        }
    }

    /// The descriptor by which what happens to the mount is heard.
    pub fn heard(&self) -> Option<i32> {
        self.told().map(|changes| changes.watches.fd())
    }

    /// When something is due for the mount, without an event.
    pub fn due(&self) -> Option<u64> {
        self.told().and_then(Changes::deadline).into_iter().chain(self.told_by).min()
    }

    /// Who waits for the mount is told: who that is.
    pub fn ready(&mut self) -> Option<u64> {
        self.placed = false;
        self.told_by = None;
        self.asker.take()
    }

    /// Whether who waits for the mount may be told that it is there.
    pub fn is_ready(&self, now_ms: u64) -> bool {
        let told = || self.told().is_some_and(|changes| changes.pid != 0 && changes.is_settled());
        self.told_by.is_none_or(|until| now_ms >= until || told())
    }

    /// DATA came on channel 1: one request.
    pub fn data(&mut self, message: &[u8], out: &mut Vec<u8>, unsent: usize) -> Result<(), Overrun> {
        self.left = self.left.checked_sub(message.len() as u32).ok_or(Overrun)?;
        if message.len() < IN_HEADER && decode(message).is_none() {
            // No request. To keep it would cost many times what it has cost to send.
            self.consumed(message.len() as u32, out);
            return Ok(());
        }
        if !self.held.is_empty() || !self.may_answer(message, unsent) {
            self.held.push_back(message.to_vec());
            return Ok(());
        }
        self.answer(message, out);
        Ok(())
    }

    /// Requests wait until it is known whose files they are about, and while answers wait.
    fn may_answer(&self, message: &[u8], unsent: usize) -> bool {
        (self.opened || is_init(message)) && self.waiting_bytes < MAX_WAITING && unsent < MAX_UNSENT
    }

    fn answer(&mut self, message: &[u8], out: &mut Vec<u8>) {
        let Purpose::Mount(mounted) = &mut self.purpose else { return };
        if let Some(kept) = decode(message) {
            let answers = match kept {
                Kept::Ask => messages(&mounted.mount.keep()),
                Kept::Part(part) | Kept::Last(part) => {
                    mounted.mount.goes_on(part, matches!(kept, Kept::Last(_)));
                    Vec::new()
                }
            };
            answers.iter().for_each(|answer| self.send(answer, out));
            return self.consumed(message.len() as u32, out);
        }
        let start = out.len();
        out.extend_from_slice(&[0; HEADER]);
        answer(&mut mounted.mount, message, out);
        let (before, behind) = (std::mem::take(&mut mounted.mount.before), std::mem::take(&mut mounted.mount.behind));
        if !before.is_empty() {
            let answer = out.split_off(start);
            for message in before {
                self.send(&message, out);
            }
            let start = out.len();
            out.extend_from_slice(&answer);
            self.finish(start, out);
        } else {
            self.finish(start, out);
        }
        for message in behind {
            self.send(&message, out);
        }
        self.consumed(message.len() as u32, out);
    }

    /// Sends data on channel 0, or keeps it until there is credit.
    pub fn send(&mut self, payload: &[u8], out: &mut Vec<u8>) {
        let start = out.len();
        out.extend_from_slice(&[0; HEADER]);
        out.extend_from_slice(payload);
        self.finish(start, out);
    }

    /// The frame that begins there is complete, but for its header.
    fn finish(&mut self, start: usize, out: &mut Vec<u8>) {
        let len = out.len() - start - HEADER;
        if len == 0 {
            return out.truncate(start);
        }
        let header = Header { len, stream: self.id, kind: kind::DATA, flags: 0 };
        out[start..start + HEADER].copy_from_slice(&header.encode());
        if !self.waiting.is_empty() || self.credit < len as u64 {
            self.waiting_bytes += len;
            self.waiting.push_back(out.split_off(start));
        } else {
            self.credit -= len as u64;
        }
    }

    /// DATA came on channel 1 of something else than a mount: it is taken.
    pub fn taken(&mut self, bytes: u32, out: &mut Vec<u8>) -> Result<(), Overrun> {
        self.left = self.left.checked_sub(bytes).ok_or(Overrun)?;
        self.consumed(bytes, out);
        Ok(())
    }

    fn consumed(&mut self, bytes: u32, out: &mut Vec<u8>) {
        self.done += bytes;
        if self.done >= GRANT_AT {
            put_frame(out, self.id, kind::WINDOW, 1, &self.done.to_le_bytes());
            self.left += self.done;
            self.done = 0;
        }
    }

    /// The guest grants credit.
    pub fn grant(&mut self, credit: u32, out: &mut Vec<u8>) -> Result<(), Overrun> {
        self.credit += u64::from(credit);
        if self.credit > (1 << 31) - 1 {
            return Err(Overrun);
        }
        while let Some(frame) = self.waiting.pop_front() {
            let len = frame.len() - HEADER;
            if self.credit < len as u64 {
                self.waiting.push_front(frame);
                break;
            }
            self.credit -= len as u64;
            self.waiting_bytes -= len;
            out.extend_from_slice(&frame);
        }
        Ok(())
    }

    /// Answers requests that were held, as far as there is room, and time: until then, in monotonic ms. `sent`: how much at the beginning of `out` is sent
    /// already. Returns whether the time was too short.
    pub fn go_on(&mut self, out: &mut Vec<u8>, sent: usize, until: u64) -> bool {
        while let Some(message) = self.held.pop_front() {
            let late = now_ms() >= until;
            if late || !self.may_answer(&message, out.len() - sent) {
                self.held.push_front(message);
                return late;
            }
            self.answer(&message, out);
        }
        false
    }
}
