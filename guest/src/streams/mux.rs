//! What the loop looks after: tasks, sessions, and what ties them together.

use std::collections::VecDeque;

use crate::exec::pool::Pool;
use crate::streams::orphans::Orphans;
use crate::streams::session::Link;
use crate::streams::sessions::Sessions;
use crate::streams::slab::Slab;
use crate::streams::target::{Poller, Target};
use crate::streams::task::{Kind, SinkKind, Task, Waiting, Worker};
use crate::sys;

pub struct Mux {
    pub poller: Poller,
    pub sessions: Sessions,
    pub tasks: Slab<Task>,
    pub orphans: Orphans,
    pub cgroups: Pool,
    /// the file worker that waits for a request, once there was one
    pub waiting: Option<Waiting>,
    /// finished detached processes, oldest first
    pub finished: VecDeque<usize>,
    /// sources whose reads were cut short
    pub again: VecDeque<(usize, usize)>,
    /// since the last wait, others were let run first
    pub yielded: bool,
    pub scratch: Vec<u8>,
}

impl Mux {
    pub fn new(poller: Poller, cgroups: Pool) -> Mux {
        Mux {
            poller,
            sessions: Sessions::default(),
            tasks: Slab::new(),
            orphans: Orphans::default(),
            cgroups,
            waiting: None,
            finished: VecDeque::new(),
            again: VecDeque::new(),
            yielded: false,
            scratch: Vec::new(),
        }
    }

    /// Ties a stream and a task together.
    pub fn connect(&mut self, link: Link, task: usize) {
        if let Some(t) = self.tasks.get_mut(task) {
            t.link = Some(link);
        }
        if let Some(stream) = self.sessions.stream(link) {
            stream.task = Some(task);
        }
    }

    /// Parts a task from its stream.
    pub fn unlink(&mut self, task: usize) {
        let Some(link) = self.tasks.get_mut(task).and_then(|t| t.link.take()) else { return };
        if let Some(t) = self.tasks.get_mut(task) {
            for source in t.sources.iter_mut().flatten() {
                source.waiting = false;
            }
        }
        if let Some(session) = self.sessions.get_mut(link.session) {
            session.waiting.retain(|&(stream, _)| stream != link.stream);
            if let Some(stream) = session.stream(link.stream) {
                stream.task = None;
            }
        }
    }

    /// Closes all that a task holds and forgets it.
    pub fn remove(&mut self, task: usize) {
        let Some(t) = self.tasks.remove(task) else { return };
        for source in t.sources.into_iter().flatten() {
            self.poller.forget(source.token);
        }
        if let Some(sink) = t.sink {
            self.poller.forget(sink.token);
            if sink.kind == SinkKind::Socket {
                // The server has not got all that the host had for it: that must not look like an orderly end.
                sys::reset_on_close(sink.fd.raw());
            }
        }
        match t.kind {
            Kind::Process(mut process) => {
                if let Some(starting) = process.starting.take() {
                    self.poller.forget(starting.token);
                }
                process.stop_waiting(&mut self.poller);
                if let Some(group) = process.cgroup {
                    self.cgroups.give(group);
                }
            }
            Kind::Worker(worker) => self.release(worker),
            Kind::Forward(_) => {}
        }
    }

    /// A worker's request is over. One that can do another waits for it, if none does; else it sees its channel's end, and ends.
    fn release(&mut self, worker: Worker) {
        let good = worker.reusable && worker.answered && worker.pid > 0 && !worker.cancelled;
        if good && self.waiting.is_none() {
            self.poller.retarget(worker.status_token, Target::Waiting);
            self.waiting = Some(Waiting { pid: worker.pid, channel: worker.status, token: worker.status_token });
        } else {
            self.poller.forget(worker.status_token);
        }
    }

    /// The worker that waits is told to end, or has.
    pub fn dismiss_waiting(&mut self) {
        if let Some(waiting) = self.waiting.take() {
            self.poller.forget(waiting.token);
        }
    }
}
