//! File requests run in forked children: a hung file system then blocks one request, and RESET ends it. A child talks
//! through pipes: its data like a command's, its OPENED and RESULT through a status channel as (kind, length, bytes).
//! Small requests are done by one child after the other (waiting.rs).

use crate::errors::failure;
use crate::files::abort::prepare_worker;
use crate::files::channels::Channels;
use crate::files::difference::{self, Layers};
use crate::files::host_changes;
use crate::files::host_mount::{self, Given, MOUNTED};
use crate::files::request;
use crate::machine::address::look_up;
use crate::serve::waiting::{hand_over, key_of, MAX_MESSAGE};
use crate::streams::mux::Mux;
use crate::streams::session::Link;
use crate::streams::settle::settle;
use crate::streams::source::pump;
use crate::streams::stop::stop_worker;
use crate::streams::target::{Poller, Target};
use crate::streams::task::{Kind, Sink, SinkKind, Source, Task, Waiting, Worker};
use crate::sys::poller::{IN, OUT};
use crate::sys::{self, check, Fd, Res};
use crate::wire::frame::{kind, MAX_PAYLOAD};
use crate::wire::fuse::Directories;
use crate::wire::host_mount::HostUnmount;
use crate::wire::messages::{code, Difference, Failure, FileOp, FileRequest, Outcome};

/// The longest report of a worker: OPENED and RESULT each fit a frame.
const MAX_REPORT: usize = 2 * MAX_PAYLOAD + 16;

/// Watches at once, over all sessions: each is a process, and takes one of the 128 queues that a user may have.
const MAX_WATCHES: usize = 64;

/// What a worker does.
pub enum Job<'a> {
    /// a request, and the OPEN that asks for it
    File(&'a FileRequest<'a>, &'a [u8]),
    Sync,
    /// what lies on the disk over its base, or the base
    Difference(Difference<'a>, Layers),
    /// hands out bytes that are too many for the stream's window
    Bytes(Vec<u8>),
    /// finds a host name's addresses, for a port
    LookUp(&'a [u8], u16),
    /// mounts a directory of the host, and keeps it
    HostMount(Given<'a>),
    HostUnmount(&'a HostUnmount<'a>),
    /// does again what was done on the host: the mount's root, and its /dev/fuse
    HostChanges(Fd, i32),
}

/// A status record beside OPENED and RESULT: addresses that were found.
const LOOKED_UP: u8 = 255;

impl Job<'_> {
    fn is_watch(&self) -> bool {
        matches!(self, Job::File(FileRequest { op: FileOp::Watch, .. }, _))
    }

    /// It stays until it is told to stop.
    fn stays(&self) -> bool {
        self.is_watch() || matches!(self, Job::HostMount(_) | Job::HostChanges(..))
    }

    /// Descriptors of the agent's that it works with.
    fn descriptors(&self) -> Vec<i32> {
        match self {
            Job::HostMount(given) => [Some(given.fuse), given.disk].into_iter().flatten().collect(),
            Job::HostChanges(root, fuse) => vec![root.raw(), *fuse],
            Job::Difference(_, layers) => vec![layers.upper, layers.base],
            _ => Vec::new(),
        }
    }

    /// It writes what it makes to temporary files first.
    fn is_copy(&self) -> bool {
        matches!(self, Job::File(FileRequest { op: FileOp::Copy, .. }, _))
    }

    /// Streams are announced by OPENED, one-shot requests are not.
    fn has_opened(&self) -> bool {
        matches!(
            self,
            Job::HostMount(_)
                | Job::HostChanges(..)
                | Job::Difference(..)
                | Job::File(
                    FileRequest {
                        op: FileOp::Read | FileOp::Write | FileOp::TreeRead | FileOp::TreeWrite | FileOp::Watch,
                        ..
                    },
                    _
                )
        )
    }
    fn has_input(&self) -> bool {
        matches!(self, Job::HostChanges(..) | Job::File(FileRequest { op: FileOp::Write | FileOp::TreeWrite, .. }, _))
    }
    fn has_output(&self) -> bool {
        matches!(
            self,
            Job::Bytes(_)
                | Job::HostMount(_)
                | Job::HostChanges(..)
                | Job::Difference(..)
                | Job::File(FileRequest { op: FileOp::Read | FileOp::List | FileOp::TreeRead | FileOp::Watch, .. }, _)
        )
    }

    /// For whom the worker is that may wait for the request, and what it is told, if it is one for it: those that leave nothing of
    /// themselves behind in it and end by themselves.
    fn for_waiting(&self) -> Option<(Vec<u8>, &[u8])> {
        match self {
            Job::File(
                FileRequest { op: FileOp::TreeRead | FileOp::TreeWrite | FileOp::Watch | FileOp::Copy, .. },
                _,
            ) => None,
            Job::File(request, message) if message.len() <= MAX_MESSAGE => Some((key_of(request.user), message)),
            _ => None,
        }
    }
}

/// Gives a job to a worker and ties it to the stream.
pub fn start(mux: &mut Mux, link: Link, job: Job) -> Result<(), Failure> {
    let is_watch = |task: &Task| matches!(&task.kind, Kind::Worker(worker) if worker.watch);
    if job.is_watch() && mux.tasks.iter().filter(|(_, task)| is_watch(task)).count() >= MAX_WATCHES {
        return Err(Failure::new(code::LIMIT, "there are 64 watches already"));
    }
    let task = begin(mux, &job).map_err(|e| failure(b"cannot start a worker", e))?;
    mux.connect(link, task);
    Ok(())
}

fn begin(mux: &mut Mux, job: &Job) -> Res<usize> {
    let content = mux.content.take_if(|_| job.has_input());
    let (mut input, mut output) = (None, None);
    let (mut worker_input, mut worker_output) = (None, None);
    if job.has_input() && content.is_none() {
        let (read, write) = sys::pipe()?;
        sys::set_nonblocking(write.raw())?;
        (input, worker_input) = (Some(write), Some(read));
    }
    if job.has_output() {
        let (read, write) = sys::pipe()?;
        sys::set_nonblocking(read.raw())?;
        (output, worker_output) = (Some(read), Some(write));
    }
    let index = mux.tasks.next_index();
    let mut key = None;
    let (pid, status, status_token) = if let Some((for_whom, message)) = job.for_waiting() {
        let Waiting { pid, channel, token, .. } =
            hand_over(mux, &for_whom, message, content.as_deref(), worker_input.or(worker_output))?;
        mux.poller.retarget(token, Target::Status(index));
        key = Some(for_whom);
        (pid, channel, token)
    } else {
        let (status, child_status) = sys::pipe()?;
        sys::set_nonblocking(status.raw())?;
        let mut channels = Channels::new(child_status);
        (channels.input, channels.content, channels.output) = (worker_input, content, worker_output);
        // SAFETY: the agent has one thread, so the child may do anything.
        let pid = check(unsafe { libc::fork() })?;
        if pid == 0 {
            child(job, channels);
        }
        let token = mux.poller.add(&status, IN, Target::Status(index))?;
        (pid, status, token)
    };
    let sink = match input {
        Some(fd) => {
            let token = mux.poller.add(&fd, OUT, Target::Sink(index))?;
            Some(Sink::new(fd, token, SinkKind::Pipe, true))
        }
        None => None,
    };
    let mut sources = [output.map(|fd| Source::new(fd, None, false)), None];
    if !job.has_opened() {
        watch_output(&mut mux.poller, index, &mut sources)?;
    }
    let worker = Worker {
        pid,
        status,
        status_token,
        report: Vec::new(),
        opened: !job.has_opened(),
        result: None,
        cleans_up: matches!(job, Job::HostMount(_))
            || (job.has_input() && !matches!(job, Job::HostChanges(..)))
            || job.is_copy(),
        watch: job.is_watch(),
        stays: job.stays(),
        mount: matches!(job, Job::HostMount(_)).then(Directories::default),
        kept: None,
        place: None,
        key,
        answered: false,
        cancelled: false,
        kill_at: None,
        port: if let Job::LookUp(_, port) = job { *port } else { 0 },
    };
    Ok(mux.tasks.insert(Task { link: None, sink, sources, kind: Kind::Worker(worker) }))
}

/// Watches a worker's output: more will come than its result can take along.
fn watch_output(poller: &mut Poller, task: usize, outputs: &mut [Option<Source>; 2]) -> Res<()> {
    for (channel, output) in outputs.iter_mut().enumerate() {
        if let Some(source) = output.as_mut().filter(|source| source.token.is_none()) {
            if !source.messages {
                sys::widen_pipe(source.fd.raw());
            }
            source.token = Some(poller.add(&source.fd, IN, Target::Source(task, channel))?);
        }
    }
    Ok(())
}

/// A worker has begun, and its output is watched from now on; or it is over, and what it has written is all.
fn go_on_with_output(mux: &mut Mux, task: usize, over: bool) {
    let Some(t) = mux.tasks.get_mut(task) else { return };
    if !over {
        if let Err(error) = watch_output(&mut mux.poller, task, &mut t.sources) {
            sys::console::warn("cannot watch a worker", error);
            stop_worker(mux, task);
        }
        return;
    }
    for source in t.sources.iter_mut().flatten() {
        source.ready = true;
        source.hung_up = true;
    }
}

/// A worker told something. Returns the addresses that it has looked up.
pub fn on_status(mux: &mut Mux, task: usize) -> Option<Vec<u8>> {
    let t = mux.tasks.get_mut(task)?;
    let link = t.link;
    let Kind::Worker(worker) = &mut t.kind else { return None };
    // Into a buffer that is there already: a page got and given back costs more than the rest of this.
    let news = &mut mux.scratch;
    news.clear();
    while worker.report.len() + news.len() < MAX_REPORT
        && sys::read_append(worker.status.raw(), news, 4096).is_ok_and(|n| n > 0)
    {}
    worker.report.extend_from_slice(news);
    let mut begun = None;
    let mut found = None;
    while let Some((record_kind, message, used)) = next_report(&worker.report) {
        if record_kind == kind::OPENED && !worker.opened {
            worker.opened = true;
            begun = Some(message.to_vec());
            if let Some(kept) = &mut worker.kept {
                kept.opened = message.to_vec();
            }
        } else if record_kind == kind::RESULT {
            worker.result = Some(message.to_vec());
            worker.answered = true;
        } else if let (MOUNTED, Ok(place)) = (record_kind, message.try_into()) {
            worker.place = Some(i32::from_le_bytes(place));
        } else if record_kind == LOOKED_UP {
            found = Some(message.to_vec());
        }
        worker.report.drain(..used);
    }
    if found.is_some() && link.is_some() && !worker.cancelled {
        return found;
    }
    let over = worker.answered;
    go_on_with_output(mux, task, over);
    if let (Some(message), Some(link)) = (begun, link) {
        mux.sessions.send(link, kind::OPENED, 0, |out| out.extend_from_slice(&message));
    }
    pump_all(mux, task);
    settle(mux, task);
    None
}

fn pump_all(mux: &mut Mux, task: usize) {
    pump(mux, task, 0);
    if mux.tasks.get(task).is_some_and(|t| t.sources[1].is_some()) {
        pump(mux, task, 1);
    }
}

/// A worker's process has ended, with or without a word. Returns what [`on_status`] does.
pub fn on_exit(mux: &mut Mux, task: usize) -> Option<Vec<u8>> {
    let found = on_status(mux, task);
    if found.is_some() {
        return found;
    }
    let t = mux.tasks.get_mut(task)?;
    let Kind::Worker(worker) = &mut t.kind else { return None };
    worker.pid = 0;
    worker.kill_at = None;
    if worker.result.is_none() {
        let failure = Failure::new(code::IO, "the file worker was killed (the guest may be out of memory)");
        let mut message = Vec::new();
        Outcome::failed(failure).encode(&mut message);
        worker.result = Some(message);
        // What was read is still sent before the error.
    }
    go_on_with_output(mux, task, true);
    pump_all(mux, task);
    settle(mux, task);
    None
}

/// The first complete record of a status pipe: kind, message, length of all.
fn next_report(buf: &[u8]) -> Option<(u8, &[u8], usize)> {
    let (head, rest) = buf.split_first_chunk::<5>()?;
    let len = u32::from_le_bytes([head[1], head[2], head[3], head[4]]) as usize;
    Some((head[0], rest.get(..len)?, 5 + len))
}

/// The child: does the job, reports, exits.
fn child(job: &Job, mut channels: Channels) -> ! {
    prepare_worker();
    channels.close_others(&job.descriptors());
    let outcome = match job {
        Job::HostMount(given) => host_mount::keep(given, &channels),
        Job::HostUnmount(request) => host_mount::unmount(request),
        Job::HostChanges(root, fuse) => host_changes::follow(root, *fuse, &channels),
        Job::Sync => {
            // SAFETY: plain call.
            unsafe { libc::sync() };
            Ok(Outcome::default())
        }
        Job::Bytes(bytes) => sys::write_all(channels.output(), bytes)
            .map(|()| Outcome::default())
            .map_err(|e| failure(b"cannot hand out the answer", e)),
        Job::Difference(wanted, layers) => difference::send(*wanted, *layers, &channels),
        Job::File(file, _) => request::run(file, &channels),
        Job::LookUp(host, port) => look_up(host, *port).map(|found| {
            channels.report(LOOKED_UP, &found);
            Outcome::default()
        }),
    };
    channels.finish(outcome);
    // SAFETY: plain call; the parent closes nothing of ours.
    unsafe { libc::_exit(0) }
}
