//! How far all sessions together have parted from their connections (suspension.rs). Only bookkeeping.

use crate::streams::session::Link;

#[derive(Default)]
pub struct Suspension {
    /// who waits for all to have parted, and until when, in monotonic ms
    pub waiting: Option<(Link, u64)>,
    /// hosts that come back are not answered yet
    pub closed: bool,
    /// those that have not come back then are given up
    pub ends_at: Option<u64>,
}

impl Suspension {
    /// When something is due, in monotonic ms.
    pub fn due(&self) -> Option<u64> {
        self.waiting.map(|(_, until)| until).into_iter().chain(self.ends_at).min()
    }
}
