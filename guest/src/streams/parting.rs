//! How far all sessions together have parted from their connections (suspension.rs). Only bookkeeping.

#[derive(Default)]
pub struct Suspension {
    /// until when all are waited for to have parted, in monotonic ms
    pub waiting: Option<u64>,
    /// the session that asked for the capture, and until when it is awaited: its connection is the last, and when that ends, which a capture
    /// sees to, all that were there before it have ended. Until then nobody new is answered, over a connection that may end as well
    pub holder: Option<(usize, u64)>,
    /// hosts that come back are not answered yet
    pub closed: bool,
    /// those that have not come back then are given up
    pub ends_at: Option<u64>,
}

impl Suspension {
    /// When something is due, in monotonic ms.
    pub fn due(&self) -> Option<u64> {
        let holder = self.holder.map(|(_, until)| until);
        self.waiting.into_iter().chain(self.ends_at).chain(holder).min()
    }

    /// Whether a host that says hello over this connection has to wait.
    pub fn keeps_waiting(&self, connection: usize, comes_back: bool) -> bool {
        self.closed && comes_back || self.holder.is_some_and(|(holder, _)| holder != connection)
    }
}
