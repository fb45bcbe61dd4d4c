//! The table of commands: listed, attached to, signalled.

use crate::exec::{kill, pty};
use crate::serve::worker::{self, Job};
use crate::streams::mux::Mux;
use crate::streams::session::Link;
use crate::streams::settle::settle;
use crate::streams::source::pump_ring;
use crate::streams::task::Kind;
use crate::sys;
use crate::sys::text::decimal;
use crate::wire::frame::{kind, MAX_PAYLOAD};
use crate::wire::messages::{code, encode_opened_process, put_record, Control, Failure, Outcome, ProcessSignal};

/// Signals that exist (SIGRTMAX).
const MAX_SIGNAL: u32 = 64;

pub fn attach(mux: &mut Mux, link: Link, process: u32) -> Result<(), Failure> {
    let task = find_process(mux, process)?;
    let Some(t) = mux.tasks.get_mut(task) else { return Ok(()) };
    let busy = t.link.is_some();
    let Some(p) = t.process_mut() else { return Ok(()) };
    let Some(ring) = &p.ring else {
        return Err(Failure::new(code::INVALID, "the process was not started detached"));
    };
    if busy {
        return Err(Failure::new(code::BUSY, "the process is attached already"));
    }
    // What fell out before counts as dropped, and what the ring holds comes first.
    p.cursor = ring.start();
    p.dropped = ring.start();
    let (id, pid) = (p.id, p.pid as u32);
    mux.connect(link, task);
    mux.sessions.send(link, kind::OPENED, 0, |out| encode_opened_process(out, id, pid));
    pump_ring(mux, task);
    settle(mux, task);
    Ok(())
}

pub fn list(mux: &mut Mux, link: Link) -> Result<Option<Outcome>, Failure> {
    let mut records = Vec::new();
    let mut record = Vec::new();
    for (_, task) in mux.tasks.iter() {
        if let Some(process) = task.process() {
            record.clear();
            process.record().encode(&mut record);
            put_record(&mut records, &record);
        }
    }
    send_buffer(mux, link, records)
}

pub fn signal(mux: &mut Mux, request: &ProcessSignal) -> Result<(), Failure> {
    let task = find_process(mux, request.process)?;
    if request.signal > MAX_SIGNAL {
        return Err(Failure::new(code::INVALID, "there is no such signal"));
    }
    let Some(process) = mux.tasks.get(task).and_then(|t| t.process()) else { return Ok(()) };
    let signal = request.signal as i32;
    let gone = || Failure::new(code::NOT_FOUND, "the process has ended");
    if request.tree {
        kill::tree(process, signal).map_err(|_| gone())
    } else if process.exited.is_some() {
        Err(gone())
    } else {
        sys::kill(-process.pid, signal).map_err(|_| gone())
    }
}

pub fn control(mux: &mut Mux, link: Link, control: &Control) {
    let task = mux.sessions.task_of(link);
    let Some(task) = task.and_then(|task| mux.tasks.get(task)) else { return };
    let Kind::Process(process) = &task.kind else { return };
    if let (Some(size), true) = (control.resize, process.pty) {
        if let Some(source) = &task.sources[0] {
            pty::resize(source.fd.raw(), size);
        }
    }
    if (1..=MAX_SIGNAL).contains(&control.signal) && process.exited.is_none() && process.pid > 0 {
        // It may have ended in between.
        let _ = sys::kill(-process.pid, control.signal as i32);
    }
}

fn find_process(mux: &Mux, process: u32) -> Result<usize, Failure> {
    let found = mux.tasks.iter().find(|(_, t)| t.process().is_some_and(|p| p.id == process));
    found.map(|(index, _)| index).ok_or_else(|| {
        let mut message = b"there is no process ".to_vec();
        message.extend_from_slice(decimal(process.into()).as_bytes());
        Failure::new(code::NOT_FOUND, message)
    })
}

/// A buffer that is ready is sent like any other output: through a pipe's worth of credit at a time.
fn send_buffer(mux: &mut Mux, link: Link, bytes: Vec<u8>) -> Result<Option<Outcome>, Failure> {
    let Some(session) = mux.sessions.get_mut(link.session) else { return Ok(None) };
    let Some(stream) = session.stream(link.stream) else { return Ok(None) };
    if bytes.len() > stream.credit[0] as usize {
        // Too long for the window: a worker hands it out as credit comes.
        return worker::start(mux, link, Job::Bytes(bytes)).map(|()| None);
    }
    for chunk in bytes.chunks(MAX_PAYLOAD) {
        session.put(link.stream, kind::DATA, 1, chunk);
    }
    session.put(link.stream, kind::END, 1, &[]);
    Ok(Some(Outcome::default()))
}
