//! What the loop looks after: tasks, sessions, and what ties them together.

use std::collections::VecDeque;

use crate::exec::cgroup::Pool;
use crate::streams::orphans::Orphans;
use crate::streams::session::Link;
use crate::streams::sessions::Sessions;
use crate::streams::slab::Slab;
use crate::streams::target::Poller;
use crate::streams::task::{Kind, SinkKind, Task};
use crate::sys;

pub struct Mux {
    pub poller: Poller,
    pub sessions: Sessions,
    pub tasks: Slab<Task>,
    pub orphans: Orphans,
    pub cgroups: Pool,
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
            Kind::Process(process) => {
                if let Some(starting) = process.starting {
                    self.poller.forget(starting.token);
                }
                if let Some(group) = process.cgroup {
                    self.cgroups.give(group);
                }
            }
            Kind::Worker(worker) => self.poller.forget(worker.status_token),
            Kind::Forward(_) => {}
        }
    }
}
