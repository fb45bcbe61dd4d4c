//! The table of commands: listed, attached to, signalled.

use crate::errors::failure;
use crate::exec::process::Process;
use crate::exec::{kill, pty};
use crate::serve::worker::{self, Job};
use crate::streams::ending::await_end;
use crate::streams::mux::Mux;
use crate::streams::session::Link;
use crate::streams::settle::settle;
use crate::streams::source::pump_ring;
use crate::streams::task::Kind;
use crate::sys::text::decimal;
use crate::sys::{self, Errno};
use crate::wire::frame::{kind, MAX_PAYLOAD};
use crate::wire::messages::{
    code, encode_opened_process, put_record, Control, Failure, Outcome, ProcessRecord, ProcessSignal,
};

/// Signals that exist (SIGRTMAX).
const MAX_SIGNAL: u32 = 64;
/// Commands that are named to who gets no process.
const HOLDERS: usize = 3;

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
    mux.look_at_leftovers(usize::MAX);
    for process in mux.tasks.iter().filter_map(|(_, task)| task.process()).chain(mux.leftovers.iter()) {
        record.clear();
        process.record().encode(&mut record);
        put_record(&mut records, &record);
    }
    send_buffer(mux, link, records)
}

/// Sends a signal. Of SIGKILL to all that a command started the answer comes at its end, as far as the kernel can tell.
pub fn signal(mux: &mut Mux, link: Link, request: &ProcessSignal) -> Result<Option<Outcome>, Failure> {
    if request.signal > MAX_SIGNAL {
        return Err(Failure::new(code::INVALID, "there is no such signal"));
    }
    mux.look_at_leftovers(usize::MAX);
    let id = request.process;
    let process = match mux.leftovers.find(id) {
        Some(process) => process,
        None => {
            let task = find_process(mux, id)?;
            let Some(process) = mux.tasks.get(task).and_then(|t| t.process()) else { return Ok(None) };
            process
        }
    };
    let signal = request.signal as i32;
    let gone = |_| Failure::new(code::NOT_FOUND, "the process has ended");
    if !request.tree {
        if process.exited.is_some() {
            return Err(gone(Errno(libc::ESRCH)));
        }
        return sys::kill(-process.pid, signal).map(|()| Some(Outcome::default())).map_err(gone);
    }
    if process.exited.is_some() && process.all_ended() {
        return Err(gone(Errno(libc::ESRCH)));
    }
    kill::tree(process, signal).map_err(gone)?;
    let group = process.cgroup.as_ref().filter(|_| signal == libc::SIGKILL);
    let Some(group) = group.and_then(|lease| lease.group.open(c"cgroup.events").ok()) else {
        return Ok(Some(Outcome::default()));
    };
    await_end(mux, link, id, group).map_err(|e| failure(b"cannot watch what was killed", e))
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

/// The commands that have the most processes, as encoded records, for who gets none.
pub fn holders(mux: &Mux) -> Vec<Vec<u8>> {
    let all = mux.tasks.iter().filter_map(|(_, task)| task.process()).chain(mux.leftovers.iter());
    let mut records: Vec<ProcessRecord> = all.map(Process::record).filter(|record| record.processes > 0).collect();
    records.sort_by_key(|record| std::cmp::Reverse(record.processes));
    let encoded = records.iter_mut().take(HOLDERS).map(|record| {
        // An error is one frame, however long their command lines are.
        let argv: Vec<Vec<u8>> = record.argv.iter().take(8).map(|arg| arg[..arg.len().min(64)].to_vec()).collect();
        let mut out = Vec::new();
        ProcessRecord { argv: &argv, ..*record }.encode(&mut out);
        out
    });
    encoded.collect()
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
