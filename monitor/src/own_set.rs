//! The set of a packet filter in which this machine's own addresses are, and that it stays what they are for as long as the filter is there.

use std::ffi::{CString, OsStr, OsString};
use std::os::fd::RawFd;
use std::os::unix::ffi::OsStrExt;
use std::time::{Duration, Instant};

use crate::own_addresses::{read, Changes, Range};
use crate::sys::{end_process, exit_status};

/// How long what has failed is left alone, and what has ended: that may be because this machine has no network now.
pub const AGAIN: Duration = Duration::from_secs(3);

/// How long the filter's program may take.
const LOADED_WITHIN: Duration = Duration::from_secs(5);

pub struct OwnSet {
    nft: OsString,
    /// family, table and name
    set: OsString,
    changes: Changes,
    /// what is in it
    loaded: Vec<Range>,
    /// a change was heard of, and not looked at yet
    doubt: bool,
    loading: Option<Loading>,
    failed_at: Option<Instant>,
}

struct Loading {
    process: i32,
    since: Instant,
    ranges: Vec<Range>,
}

/// What is known of the set.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum State {
    Right,
    /// it may not be what it should be, and is being looked after; again when so much time is over
    Doubtful(Duration),
    /// it could not be made so; then it is doubtful, and tried again later
    Failed,
}

impl OwnSet {
    /// Listens, then looks: nothing that changes later is missed.
    pub fn begin(nft: &OsStr, set: &OsStr) -> Result<OwnSet, i32> {
        let changes = Changes::listen()?;
        let (nft, set) = (nft.to_owned(), set.to_owned());
        Ok(OwnSet { nft, set, changes, loaded: read()?, doubt: false, loading: None, failed_at: None })
    }

    /// Readable when there may be something to do.
    pub fn fd(&self) -> RawFd {
        self.changes.fd()
    }

    /// What fills the empty set, in nft's language.
    pub fn filling(&self) -> OsString {
        self.elements(&self.loaded)
    }

    fn elements(&self, ranges: &[Range]) -> OsString {
        let mut text = OsString::new();
        if !ranges.is_empty() {
            let list: Vec<String> = ranges.iter().map(Range::to_string).collect();
            text.push("add element ");
            text.push(&self.set);
            text.push(format!(" {{ {} }}\n", list.join(", ")));
        }
        text
    }

    /// In one step: there is no moment at which it is empty.
    fn replacing(&self, ranges: &[Range]) -> Result<[CString; 2], i32> {
        let mut text = OsString::from("flush set ");
        text.push(&self.set);
        text.push("\n");
        text.push(self.elements(ranges));
        let word = |text: &OsStr| CString::new(text.as_bytes()).map_err(|_| libc::EINVAL);
        Ok([word(&self.nft)?, word(&text)?])
    }

    /// Does what is to be done now, and never waits.
    /// `start` starts a program where the filter is, and tells its process.
    pub fn tend(&mut self, start: impl FnOnce(&[CString]) -> Result<i32, i32>) -> State {
        self.doubt |= self.changes.any();
        if let Some(Loading { process, since, ranges }) = self.loading.take() {
            match exit_status(process) {
                None if since.elapsed() < LOADED_WITHIN => {
                    self.loading = Some(Loading { process, since, ranges });
                    return State::Doubtful(LOADED_WITHIN - since.elapsed().min(LOADED_WITHIN));
                }
                None => {
                    end_process(process);
                    return self.failed();
                }
                Some(0) => self.loaded = ranges,
                Some(_) => return self.failed(),
            }
        }
        if !self.doubt {
            return State::Right;
        }
        if let Some(rest) = self.failed_at.and_then(|at| AGAIN.checked_sub(at.elapsed())) {
            return State::Doubtful(rest);
        }
        self.doubt = false;
        let Ok(ranges) = read() else { return self.failed() };
        if self.failed_at.is_none() && ranges == self.loaded {
            return State::Right;
        }
        let Ok(process) = self.replacing(&ranges).and_then(|command| start(&command)) else { return self.failed() };
        self.failed_at = None;
        self.loading = Some(Loading { process, since: Instant::now(), ranges });
        State::Doubtful(LOADED_WITHIN)
    }

    fn failed(&mut self) -> State {
        self.doubt = true;
        self.failed_at = Some(Instant::now());
        State::Failed
    }

    /// Nothing of it is left.
    pub fn end(&mut self) {
        if let Some(Loading { process, .. }) = self.loading.take() {
            end_process(process);
        }
    }
}
