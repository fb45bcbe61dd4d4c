//! Sessions that part from their connections for a while: a machine whose connections end when it is captured tells its hosts before, and
//! both ends go on, over other connections, where they were. Nothing is lost on the way, because each end says what its last frame is
//! and takes all of the other's up to that.

use crate::streams::mux::Mux;
use crate::streams::parting::Suspension;
use crate::streams::session::{Link, Parting, Peer, Session};
use crate::streams::stop::close_session;
use crate::streams::target::Target;
use crate::sys;
use crate::sys::poller::IN;
use crate::wire::frame::{kind, TOKEN};

/// How long hosts may take to part, in ms. One that does not loses its session.
const PART_MS: u64 = 5000;
/// How long a holder's connection may take to end, in ms of the guest's own time.
const HOLDER_MS: u64 = 10_000;
/// How long a host may take to come back once it is answered, in ms.
const COME_BACK_MS: u64 = 30_000;

/// Has all sessions but that of `link` part from their connections, as far as their hosts know how. Whether they have, [`have_parted`] says.
pub fn begin(mux: &mut Mux, link: Link) {
    mux.suspension.closed = true;
    // That was the time of those who parted for the capture before: it is not for those who part now. Who has not come back yet has as long again.
    mux.suspension.ends_at = None;
    mux.suspension.holder = Some((link.session, sys::now_ms() + HOLDER_MS));
    mux.suspension.waiting = Some(sys::now_ms() + PART_MS);
    for index in mux.sessions.indices().filter(|&index| index != link.session) {
        ask_to_part(mux, index);
    }
}

/// Has a session part from its connection, if its host knows how. A connection over which one is just coming back is none of its own: that one is asked when it is there.
fn ask_to_part(mux: &mut Mux, index: usize) {
    let Some(session) = mux.sessions.get_mut(index) else { return };
    let can = session.active && session.resumes && session.peer == Peer::Socket;
    let mut token = [0; TOKEN];
    // Without a token it ends with its connection.
    if !can || session.parting.is_some() || session.resuming.is_some() || sys::random(&mut token).is_err() {
        return;
    }
    session.put(0, kind::SUSPEND, 0, &token);
    session.parting = Some(Parting { token, rest: session.unsent(), answered: false, parked: false });
    mux.sessions.mark(index);
}

/// Whether all have parted, or their time is over: those that have not end now.
pub fn have_parted(mux: &mut Mux) -> bool {
    let until = mux.suspension.waiting.unwrap_or(0);
    let on_their_way = |session: &Session| {
        session.resuming.is_some() || session.parting.as_ref().is_some_and(|parting| !parting.parked)
    };
    let late: Vec<usize> = mux
        .sessions
        .indices()
        .filter(|&index| mux.sessions.get_mut(index).is_some_and(|session| on_their_way(session)))
        .collect();
    if !late.is_empty() && sys::now_ms() < until {
        return false;
    }
    mux.suspension.waiting = None;
    for index in late {
        close_session(mux, index);
    }
    true
}

/// Whether a session has parted from its connection, and not come back.
pub fn has_parted(mux: &mut Mux, index: usize) -> bool {
    parting(mux, index).is_some_and(|parting| parting.parked)
}

fn parting(mux: &mut Mux, index: usize) -> Option<&Parting> {
    mux.sessions.get_mut(index)?.parting.as_ref()
}

/// Lets go of the connection of a session that has parted from it. Returns whether it has.
pub fn park(mux: &mut Mux, index: usize) -> bool {
    let Some(session) = mux.sessions.get_mut(index) else { return false };
    let Some(parting) = session.parting.as_mut().filter(|parting| parting.answered && parting.rest == 0) else {
        return false;
    };
    if !parting.parked {
        parting.parked = true;
        session.readable = false;
        session.writable = false;
        session.wants_room = false;
        // The descriptor stays until there is another: nobody else hears of it.
        mux.poller.remove(&session.fd, session.token);
    }
    true
}

/// The machine goes on as what it was: hosts that have come back are answered, and for a while those that do.
pub fn reopen(mux: &mut Mux) {
    if !std::mem::take(&mut mux.suspension.closed) {
        return;
    }
    mux.suspension.waiting = None;
    let is_awaited = mux.sessions.iter().any(|session| session.parting.is_some());
    mux.suspension.ends_at = is_awaited.then(|| sys::now_ms() + COME_BACK_MS);
    mux.no_holder();
}

/// The session that has parted and is named so.
fn parked(mux: &mut Mux, token: [u8; TOKEN]) -> Option<usize> {
    let is_it = |mux: &mut Mux, index: usize| {
        parting(mux, index).is_some_and(|parting| parting.parked && parting.token == token)
    };
    mux.sessions.indices().find(|&index| is_it(mux, index))
}

/// Whether there is a session that is named so. The connection that asks gets it when its host switches to it: it may have been given up by
/// then, like one that was made before the capture.
pub fn offer(mux: &mut Mux, connection: usize, token: [u8; TOKEN]) -> bool {
    let known = parked(mux, token).is_some();
    if let Some(session) = mux.sessions.get_mut(connection) {
        session.resuming = known.then_some(token);
    }
    known
}

/// The host of a session that has parted has switched to another connection: it goes on over that. Returns which it is.
pub fn resume(mux: &mut Mux, connection: usize) -> Option<usize> {
    let token = mux.sessions.get_mut(connection)?.resuming?;
    let index = parked(mux, token)?;
    let from = mux.sessions.remove(connection)?;
    mux.poller.retarget(from.token, Target::Session(index));
    let session = mux.sessions.get_mut(index)?;
    session.parting = None;
    (session.fd, session.token) = (from.fd, from.token);
    (session.inbound, session.taken) = (from.inbound, from.taken);
    (session.readable, session.writable) = (true, true);
    // The answer to the hello has left: its host has seen it.
    mux.poller.rearm(&session.fd, session.token, IN);
    mux.sessions.mark(index);
    if mux.suspension.waiting.is_some() {
        ask_to_part(mux, index); // the next capture has begun meanwhile
    }
    Some(index)
}

/// Those that have parted and do not come back end: of a machine that goes on as another, or after their time.
pub fn end_parted(mux: &mut Mux) {
    mux.suspension = Suspension::default();
    for index in mux.sessions.indices() {
        if mux.sessions.get_mut(index).is_some_and(|session| session.parting.is_some()) {
            close_session(mux, index);
        }
    }
}

/// Time has passed.
pub fn act(mux: &mut Mux, now: u64) {
    if mux.suspension.holder.is_some_and(|(_, until)| until <= now) {
        mux.no_holder();
    }
    if mux.suspension.ends_at.is_some_and(|at| at <= now) {
        end_parted(mux);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exec::pool::Pool;
    use crate::streams::flush::flush;
    use crate::streams::target::Poller;
    use crate::sys::Fd;
    use std::os::fd::IntoRawFd;
    use std::os::unix::net::UnixStream;

    const HOLDER: Link = Link { session: 99, stream: 1 };

    /// A connection, and its host's end.
    fn connection(mux: &mut Mux) -> (usize, UnixStream) {
        let (host, guest) = UnixStream::pair().unwrap();
        guest.set_nonblocking(true).unwrap();
        mux.sessions.add(&mut mux.poller, Fd::own(guest.into_raw_fd()), Peer::Socket);
        let index = mux.sessions.indices().end - 1;
        let session = mux.sessions.get_mut(index).unwrap();
        (session.active, session.resumes) = (true, true);
        (index, host)
    }

    /// The host has heard that it is to part, and does.
    fn parts(mux: &mut Mux, index: usize) {
        mux.sessions.get_mut(index).unwrap().parting.as_mut().unwrap().answered = true;
        flush(mux, index);
        assert!(has_parted(mux, index));
    }

    /// A machine that goes on after a capture, its one session, and a connection over which that is coming back.
    fn captured() -> (Mux, usize, usize, [UnixStream; 2]) {
        let mut mux = Mux::new(Poller::new().unwrap(), Pool::new(false));
        let (index, before) = connection(&mut mux);
        begin(&mut mux, HOLDER);
        parts(&mut mux, index);
        reopen(&mut mux);
        let token = parting(&mut mux, index).unwrap().token;
        let (other, now) = connection(&mut mux);
        assert!(offer(&mut mux, other, token));
        (mux, index, other, [before, now])
    }

    #[test]
    fn the_time_of_one_capture_ends_nothing_that_parts_for_the_next() {
        let (mut mux, index, other, _hosts) = captured();
        let until = mux.suspension.ends_at.unwrap();
        assert_eq!(resume(&mut mux, other), Some(index));

        begin(&mut mux, HOLDER);
        parts(&mut mux, index);
        act(&mut mux, until);
        assert!(has_parted(&mut mux, index));
        reopen(&mut mux);
        let until = mux.suspension.ends_at.unwrap();
        act(&mut mux, until);
        assert!(mux.sessions.get_mut(index).is_none());
    }

    #[test]
    fn a_host_that_is_just_coming_back_parts_for_the_next_capture_once_it_is_there() {
        let (mut mux, index, other, _hosts) = captured();
        begin(&mut mux, HOLDER);
        assert!(!have_parted(&mut mux));
        assert_eq!(resume(&mut mux, other), Some(index));
        assert!(!have_parted(&mut mux));
        parts(&mut mux, index);
        assert!(have_parted(&mut mux));
    }
}
