//! The way out of a session: what waits is written, and lets waiting output follow.

use crate::streams::mux::Mux;
use crate::streams::session::{Peer, OUT_MAX};
use crate::streams::source::pump_waiting;
use crate::streams::stop::close_session;
use crate::streams::suspension;
use crate::sys;
use crate::sys::poller::{IN, OUT};

/// Writes of one session before the others get a turn.
const WRITES_PER_TURN: usize = 16;
/// Writes what waits, and lets waiting output follow.
pub fn flush(mux: &mut Mux, index: usize) {
    for _ in 0..WRITES_PER_TURN {
        let Some(session) = mux.sessions.get_mut(index) else { return };
        while session.writable && session.sendable() > 0 {
            let end = session.sent + session.sendable();
            match sys::write(session.fd.raw(), &session.out[session.sent..end]) {
                Ok(n) => session.wrote(n),
                Err(error) if error.would_block() || session.peer == Peer::Port => {
                    // Only now are events of room worth their price.
                    session.writable = false;
                    session.wants_room = true;
                    mux.poller.rearm(&session.fd, session.token, IN | OUT);
                }
                Err(_) => {
                    close_session(mux, index);
                    return;
                }
            }
        }
        if session.wants_room && session.sendable() == 0 {
            // Written, or forgotten with the session that it was for: whether there is room for what comes next, only trying tells now.
            session.wants_room = false;
            session.writable = true;
            mux.poller.rearm(&session.fd, session.token, IN);
        }
        session.compact_out();
        if suspension::park(mux, index) {
            return;
        }
        let Some(session) = mux.sessions.get_mut(index) else { return };
        if !session.writable || session.waiting.is_empty() {
            // Requests that were held back while too much waited are read again.
            if session.readable && session.unsent() <= OUT_MAX {
                mux.sessions.mark(index);
            }
            return;
        }
        pump_waiting(mux, index);
    }
    mux.sessions.mark(index);
}
