//! What the loop looks after: tasks, sessions, and what ties them together.

use std::collections::VecDeque;

use crate::exec::leftovers::Leftovers;
use crate::exec::limits;
use crate::exec::memory::Pressure;
use crate::exec::pool::{Lease, Pool};
use crate::exec::process::Process;
use crate::streams::orphans::Orphans;
use crate::streams::parting::Suspension;
use crate::streams::place::Place;
use crate::streams::session::Link;
use crate::streams::sessions::Sessions;
use crate::streams::slab::Slab;

use crate::streams::target::{Poller, Target};
use crate::streams::task::{Kind, SinkKind, Task, Waiting, Worker};
use crate::sys::{self, Fd};
use crate::wire::messages::{Limits, Outcome};

/// File workers that wait: root's, and those of the users who were here last.
const MAX_WAITING: usize = 3;

/// Commands that left something behind which are looked at for each new one.
const LOOK_AT: usize = 4;

pub struct Mux {
    pub poller: Poller,
    pub sessions: Sessions,
    pub tasks: Slab<Task>,
    pub orphans: Orphans,
    pub cgroups: Pool,
    /// what commands that have ended left behind
    pub leftovers: Leftovers,
    /// commands at the limit of their memory
    pub pressure: Pressure,
    /// the file workers that wait for a request, each another one's, the last used last
    pub waiting: Vec<Waiting>,
    /// when one is forked ahead of the first request, in monotonic ms, or as soon as the agent is quiet after that
    pub fork_at: Option<u64>,
    /// the pid of the image's init
    pub init: Option<i32>,
    /// it has ended, and with it all that was in its namespaces
    pub init_ended: bool,
    /// finished detached processes, oldest first
    pub finished: VecDeque<usize>,
    /// sources whose reads were cut short
    pub again: VecDeque<(usize, usize)>,
    /// commands that are over, and answered
    over: Vec<usize>,
    /// what they wrote to
    closing: Vec<Fd>,
    /// the memory is, or was, captured: commands outlive the sessions of the machine that it was
    pub keeps_commands: bool,
    /// sessions part from their connections, or have
    pub suspension: Suspension,
    /// until when the hosts of mounts are waited for to tell what they know, in monotonic ms
    pub keeping: Option<u64>,
    /// where the agent is among all processes
    pub place: Place,
    /// since the last wait, others were let run first
    pub yielded: bool,
    pub scratch: Vec<u8>,
    /// the content of the request that is being handled, if it came with it and is short
    pub content: Option<Vec<u8>>,
}

impl Mux {
    pub fn new(poller: Poller, cgroups: Pool) -> Mux {
        Mux {
            poller,
            sessions: Sessions::default(),
            tasks: Slab::new(),
            orphans: Orphans::default(),
            cgroups,
            leftovers: Leftovers::default(),
            pressure: Pressure::default(),
            waiting: Vec::new(),
            fork_at: None,
            init: None,
            init_ended: false,
            finished: VecDeque::new(),
            again: VecDeque::new(),
            over: Vec::new(),
            closing: Vec::new(),
            keeps_commands: false,
            suspension: Suspension::default(),
            keeping: None,
            place: Place::default(),
            yielded: false,
            scratch: Vec::new(),
            content: None,
        }
    }

    /// Nobody is awaited any more before others are answered: those who have said hello are.
    pub fn no_holder(&mut self) {
        self.suspension.holder = None;
        self.sessions.look_again(|session| !session.active);
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

    /// A command has been answered: what it holds is given back when the answer has left (`tidy`), so that its host need not wait for that.
    pub fn remove_later(&mut self, task: usize) {
        if let Some(t) = self.tasks.get_mut(task) {
            t.link = None;
            if !self.over.contains(&task) {
                self.over.push(task);
            }
        }
    }

    /// Closes a descriptor when answers have left.
    pub fn close_later(&mut self, fd: Fd) {
        self.closing.push(fd);
    }

    /// Answers have left: what could wait for that.
    pub fn tidy(&mut self) {
        self.closing.clear();
        for task in std::mem::take(&mut self.over) {
            self.remove(task);
        }
    }

    /// Whether there is nothing but what stays until it is told to stop.
    pub fn is_quiet(&self) -> bool {
        let stays = |task: &Task| match &task.kind {
            Kind::Worker(worker) => worker.stays,
            Kind::Process(process) => process.exited.is_some(),
            Kind::Door(_) => true,
            Kind::Kill(_) | Kind::Forward(_) => false,
        };
        self.tasks.iter().all(|(_, task)| stays(task))
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
                self.part(process);
            }
            Kind::Worker(worker) => self.release(worker),
            Kind::Kill(kill) => self.poller.remove(&kill.events, kill.token),
            Kind::Forward(_) | Kind::Door(_) => {}
        }
    }

    /// A command is over. Its cgroup is another's, unless there are processes in it.
    fn part(&mut self, mut process: Box<Process>) {
        if process.cgroup.is_some() && !process.all_ended() {
            process.ring = None;
            self.leftovers.keep(process);
        } else if let Some(lease) = process.cgroup {
            self.give_back(process.id, lease);
        }
    }

    /// A command's cgroup is empty. Who waits for that is told now: when the kernel's event comes another command may be in it.
    pub fn give_back(&mut self, process: u32, lease: Lease) {
        self.cgroups.give(lease);
        let waits = |task: &Task| matches!(&task.kind, Kind::Kill(kill) if kill.process == process);
        let waiting: Vec<usize> = self.tasks.iter().filter(|(_, task)| waits(task)).map(|(index, _)| index).collect();
        for task in waiting {
            self.answer_kill(task, &Outcome { all_ended: true, ..Outcome::default() });
        }
    }

    /// Ends the wait for a kill.
    pub fn answer_kill(&mut self, task: usize, outcome: &Outcome) {
        let link = self.tasks.get_mut(task).and_then(|t| t.link);
        self.unlink(task);
        self.remove(task);
        if let Some(link) = link {
            self.sessions.answer(link, outcome);
        }
    }

    /// Looks at up to `count` of the commands that left something behind: whether it has ended meanwhile.
    pub fn look_at_leftovers(&mut self, count: usize) {
        for process in self.leftovers.take_ended(count) {
            self.part(process);
        }
    }

    /// A cgroup for a command, if there are any at all.
    pub fn take_cgroup(&mut self, limits: Limits) -> Option<Lease> {
        self.look_at_leftovers(LOOK_AT);
        self.cgroups.take(limits)
    }

    /// The cgroup of the image's init: its services are many, so it may have more processes than a command.
    pub fn take_init_cgroup(&mut self) -> Option<Lease> {
        self.cgroups.take(limits::of_init(self.cgroups.limits()))
    }

    /// A worker's request is over. One that can do another waits for it, if none does for the same; else it sees its channel's end, and ends.
    fn release(&mut self, worker: Worker) {
        let Worker { pid, status: channel, status_token: token, .. } = worker;
        let good = worker.answered && pid > 0 && !worker.cancelled;
        match worker.key.filter(|key| good && !self.waits_for(key)) {
            Some(key) => {
                self.poller.retarget(token, Target::Waiting(pid));
                self.keep_waiting(Waiting { pid, key, channel, token });
            }
            None => self.poller.forget(token),
        }
    }

    /// Whether a worker waits for a request of this kind.
    pub fn waits_for(&self, key: &[u8]) -> bool {
        self.waiting.iter().any(|waiting| waiting.key == key)
    }

    /// A worker waits; if that are too many, the one that has waited longest for somebody other than root ends.
    pub fn keep_waiting(&mut self, waiting: Waiting) {
        self.waiting.push(waiting);
        if self.waiting.len() > MAX_WAITING {
            let oldest = self.waiting.iter().find(|waiting| !waiting.key.is_empty()).map(|waiting| waiting.pid);
            self.dismiss_waiting(oldest);
        }
    }

    /// The worker that waits for a request of this kind, which waits no more.
    pub fn take_waiting(&mut self, key: &[u8]) -> Option<Waiting> {
        let at = self.waiting.iter().position(|waiting| waiting.key == key)?;
        Some(self.waiting.remove(at))
    }

    /// A worker that waits, or without a pid all of them, is told to end, or has.
    pub fn dismiss_waiting(&mut self, pid: Option<i32>) {
        while let Some(at) = self.waiting.iter().position(|waiting| pid.is_none_or(|pid| waiting.pid == pid)) {
            let waiting = self.waiting.remove(at);
            self.poller.forget(waiting.token);
        }
    }
}
