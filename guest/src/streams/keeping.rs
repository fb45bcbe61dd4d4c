//! Mounts of the host's over a capture: what their hosts' servers know is asked for when nothing runs any more, and kept here. In a machine that goes on from the
//! memory, whose sessions are over or have parted, such a mount waits for a host that asks for the same, and goes on with what was kept; before anything runs
//! again, those that nobody has asked for end.

use crate::streams::kept_mount::Keeping;
use crate::streams::mux::Mux;
use crate::streams::session::Link;
use crate::streams::source::pump;
use crate::streams::stop::{close_session, end_mount};
use crate::streams::suspension;
use crate::streams::task::{Kind, Task, Worker};
use crate::sys;
use crate::wire::frame::kind;
use crate::wire::kept::{encode, messages, Kept, MAX_KEPT};

/// How long hosts may take to tell what they know, in ms. What has not come then is not kept.
const TELL_MS: u64 = 2000;
/// The most that is kept of all mounts together, in bytes.
const MAX_ALL: usize = 2 * MAX_KEPT;

fn kept(task: &mut Task) -> Option<(&mut Worker, Option<Link>)> {
    match &mut task.kind {
        Kind::Worker(worker) if worker.kept.is_some() => Some((worker, task.link)),
        _ => None,
    }
}

fn state(mux: &mut Mux, task: usize) -> Option<(&mut Keeping, Option<Link>)> {
    let (worker, link) = kept(mux.tasks.get_mut(task)?)?;
    Some((&mut worker.kept.as_mut()?.state, link))
}

/// Asks the hosts of all mounts what they know. Whether any was asked.
pub fn begin(mux: &mut Mux) -> bool {
    for task in 0..mux.tasks.bound() {
        let placed = mux.tasks.get_mut(task).and_then(kept).is_some_and(|(worker, _)| worker.place.is_some());
        let Some((state, Some(link))) = state(mux, task).filter(|_| placed) else { continue };
        *state = Keeping::Coming(Vec::new());
        let question = encode(Kept::Ask);
        let credit = mux.sessions.stream(link).map(|stream| &mut stream.credit[0]);
        match credit.filter(|credit| **credit as usize >= question.len()) {
            Some(credit) => {
                *credit -= question.len() as u32;
                mux.sessions.send(link, kind::DATA, 1, |out| out.extend_from_slice(&question));
            }
            None => forget(mux, task),
        }
    }
    let asked = is_awaited(mux);
    mux.keeping = asked.then(|| sys::now_ms() + TELL_MS);
    asked
}

fn is_awaited(mux: &mut Mux) -> bool {
    (0..mux.tasks.bound()).any(|task| matches!(state(mux, task), Some((Keeping::Coming(_), _))))
}

/// Whether the hosts have told what they know, or their time is over.
pub fn is_over(mux: &mut Mux) -> bool {
    if mux.keeping.is_some_and(|until| is_awaited(mux) && sys::now_ms() < until) {
        return false;
    }
    mux.keeping = None;
    let mut all = 0;
    for task in 0..mux.tasks.bound() {
        let length = match state(mux, task) {
            Some((Keeping::There(bytes), _)) => bytes.len(),
            Some((Keeping::Coming(_), _)) => MAX_ALL,
            _ => 0,
        };
        all += length;
        if length > 0 && all > MAX_ALL {
            all -= length;
            forget(mux, task);
        }
    }
    true
}

/// A mount is not kept, or no more: its requests are passed on again.
fn forget(mux: &mut Mux, task: usize) {
    if let Some((state, _)) = state(mux, task) {
        *state = Keeping::Not;
        pump(mux, task, 0);
    }
}

/// Before anything runs again: mounts whose sessions are over end, as they would have then; the others go on.
pub fn end(mux: &mut Mux) {
    mux.keeping = None;
    for task in 0..mux.tasks.bound() {
        match state(mux, task) {
            Some((Keeping::Not, _)) | None => {}
            Some((_, Some(_))) => forget(mux, task),
            Some((state, None)) => {
                *state = Keeping::Not;
                end_mount(mux, task);
            }
        }
    }
}

/// While the machine is held, who asks for a mount is the host of one that goes on from its memory: sessions with mounts that have parted are those of
/// the host of before, who does not come back here.
fn end_parted(mux: &mut Mux) {
    for task in 0..mux.tasks.bound() {
        let Some((_, Some(link))) = mux.tasks.get_mut(task).and_then(kept) else { continue };
        if mux.keeps_commands && suspension::has_parted(mux, link.session) {
            close_session(mux, link.session);
        }
    }
}

/// Goes on with the mount that was kept of the same request, over this stream. False: there is none. Others at that path, or above it, end: to
/// whoever looks for a place through them nobody would answer.
pub fn go_on(mux: &mut Mux, link: Link, path: &[u8], asked: &[u8]) -> bool {
    end_parted(mux);
    let mut found = None;
    for task in 0..mux.tasks.bound() {
        let Some((worker, None)) = mux.tasks.get_mut(task).and_then(kept) else { continue };
        if !worker.is_kept() {
            continue;
        }
        let Some(mount) = &worker.kept else { continue };
        if found.is_none() && mount.asked == asked {
            found = Some(task);
        } else if path.strip_prefix(&mount.path[..]).is_some_and(|rest| rest.is_empty() || rest[0] == b'/') {
            if let Some((state, _)) = state(mux, task) {
                *state = Keeping::Not;
            }
            end_mount(mux, task);
        }
    }
    let Some(task) = found else { return false };
    let taken = mux.tasks.get_mut(task).and_then(kept).and_then(|(worker, _)| worker.kept.as_mut()).map(|kept| {
        let bytes = match std::mem::take(&mut kept.state) {
            Keeping::There(bytes) => bytes,
            _ => Vec::new(),
        };
        (kept.opened.clone(), messages(&bytes))
    });
    let Some((opened, messages)) = taken else { return false };
    let total: usize = messages.iter().map(Vec::len).sum();
    let credit = mux.sessions.stream(link).map(|stream| &mut stream.credit[0]);
    let Some(credit) = credit.filter(|credit| **credit as usize >= total) else {
        end_mount(mux, task);
        return false;
    };
    *credit -= total as u32;
    mux.connect(link, task);
    mux.sessions.send(link, kind::OPENED, 0, |out| out.extend_from_slice(&opened));
    for message in messages {
        mux.sessions.send(link, kind::DATA, 1, |out| out.extend_from_slice(&message));
    }
    mux.sessions.send(link, kind::DATA, 2, |out| out.push(b'.'));
    pump(mux, task, 0);
    true
}
