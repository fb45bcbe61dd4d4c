//! What a host can ask for: dispatch of OPEN, CONTROL and RESET.

use crate::machine::info;
use crate::serve::agent::{Agent, ProtocolError};
use crate::streams::task::{failed, Kind, Link, Task};
use crate::sys;
use crate::wire::frame::kind;
use crate::wire::messages::{
    code, encode_opened_process, put_record, Control, Exec, Failure, Info, Open, Outcome, ProcessSignal, Request,
};

/// Commands, file requests and connections that exist at once, over all sessions.
pub const MAX_TASKS: usize = 1024;
/// Signals that exist (SIGRTMAX).
const MAX_SIGNAL: u32 = 64;

impl Agent {
    /// Begins what a complete OPEN asks for.
    pub fn request(&mut self, index: usize, id: u32, payload: &[u8]) -> Result<(), ProtocolError> {
        let open = Open::decode(payload).map_err(|_| ProtocolError)?;
        if let Some(stream) = self.sessions.get_mut(index).and_then(|s| s.stream(id)) {
            stream.opening = None;
            stream.credit = [open.window; 2];
        }
        let link = Link { session: index, stream: id };
        self.host_clock.follow(open.clock_ms);
        let outcome = match self.begin(link, &open.request) {
            Ok(Some(outcome)) => outcome,
            Ok(None) => return Ok(()),
            Err(failure) => failed(failure),
        };
        self.answer(index, id, &outcome);
        Ok(())
    }

    /// An outcome if the request is done already, none if its stream goes on.
    fn begin(&mut self, link: Link, request: &Request) -> Result<Option<Outcome>, Failure> {
        let makes_task = matches!(request, Request::Exec(_) | Request::File(_) | Request::Forward(_) | Request::Sync);
        if makes_task && self.tasks.len() >= MAX_TASKS {
            return Err(Failure::new(code::LIMIT, "too many commands, file requests and connections at once"));
        }
        if makes_task && self.shutdown.is_some() {
            return Err(Failure::new(code::BUSY, "the machine is shutting down"));
        }
        match request {
            Request::Exec(exec) => self.exec(link, exec),
            Request::Attach(process) => self.attach(link, *process).map(|()| None),
            Request::ProcessList => self.process_list(link),
            Request::ProcessSignal(signal) => self.process_signal(signal).map(|()| Some(Outcome::default())),
            Request::File(file) => self.start_worker(link, crate::serve::worker::Job::File(file)).map(|()| None),
            Request::Sync => self.start_worker(link, crate::serve::worker::Job::Sync).map(|()| None),
            Request::Forward(forward) => self.forward(link, forward).map(|()| None),
            Request::Shutdown { grace_ms } => self.begin_shutdown(*grace_ms, "shutdown").map(|()| None),
            Request::Configure(configure) => {
                crate::machine::configure::apply(configure, self.role, &self.disk)?;
                self.configured = true;
                if configure.clock_s != 0 {
                    let host_ms = configure.clock_s.saturating_mul(1000) + u64::from(configure.clock_ns / 1_000_000);
                    self.host_clock.told(host_ms, sys::now_ms());
                }
                Ok(Some(Outcome { info: Some(self.info()), ..Outcome::default() }))
            }
            Request::Info => Ok(Some(Outcome { info: Some(self.info()), ..Outcome::default() })),
            Request::Unknown => Err(Failure::new(code::UNSUPPORTED, "this agent does not know the request")),
            Request::Ambiguous => Err(Failure::new(code::INVALID, "an OPEN carries exactly one request")),
        }
    }

    fn info(&self) -> Info {
        let running = |task: &Task| task.process().is_some_and(|p| p.exited.is_none());
        info::read(&self.boot_id, self.tasks.iter().filter(|(_, task)| running(task)).count() as u32)
    }

    fn exec(&mut self, link: Link, exec: &Exec) -> Result<Option<Outcome>, Failure> {
        let task = self.start_command(exec)?;
        let Some((id, pid, starting)) =
            self.tasks.get(task).and_then(|t| t.process()).map(|p| (p.id, p.pid as u32, p.starting.is_some()))
        else {
            return Err(Failure::new(code::IO, "the command was lost"));
        };
        self.connect_stream(link, task);
        if starting {
            return Ok(None);
        }
        self.opened(task, id, pid);
        Ok(None)
    }

    /// The command runs: OPENED; or, for a detached one, its only answer.
    pub fn opened(&mut self, task: usize, process: u32, pid: u32) {
        let Some(t) = self.tasks.get_mut(task) else { return };
        let detached = t.process().is_some_and(|p| p.ring.is_some());
        let Some(link) = t.link else { return };
        if detached {
            self.unlink(task);
            self.answer(link.session, link.stream, &Outcome { process, pid, ..Outcome::default() });
        } else if let Some(session) = self.sessions.get_mut(link.session) {
            session.put_with(link.stream, kind::OPENED, 0, |out| encode_opened_process(out, process, pid));
            self.mark(link.session);
        }
    }

    /// Ties a stream and a task together.
    pub fn connect_stream(&mut self, link: Link, task: usize) {
        if let Some(t) = self.tasks.get_mut(task) {
            t.link = Some(link);
        }
        if let Some(stream) = self.sessions.get_mut(link.session).and_then(|s| s.stream(link.stream)) {
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

    fn find_process(&self, process: u32) -> Result<usize, Failure> {
        let found = self.tasks.iter().find(|(_, t)| t.process().is_some_and(|p| p.id == process));
        found.map(|(index, _)| index).ok_or_else(|| {
            let mut message = b"there is no process ".to_vec();
            message.extend_from_slice(crate::sys::text::decimal(process.into()).as_bytes());
            Failure::new(code::NOT_FOUND, message)
        })
    }

    fn attach(&mut self, link: Link, process: u32) -> Result<(), Failure> {
        let task = self.find_process(process)?;
        let Some(t) = self.tasks.get_mut(task) else { return Ok(()) };
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
        self.connect_stream(link, task);
        if let Some(session) = self.sessions.get_mut(link.session) {
            session.put_with(link.stream, kind::OPENED, 0, |out| encode_opened_process(out, id, pid));
        }
        self.mark(link.session);
        self.pump_ring(task);
        self.settle(task);
        Ok(())
    }

    fn process_list(&mut self, link: Link) -> Result<Option<Outcome>, Failure> {
        let mut records = Vec::new();
        let mut record = Vec::new();
        for (_, task) in self.tasks.iter() {
            if let Some(process) = task.process() {
                record.clear();
                process.record().encode(&mut record);
                put_record(&mut records, &record);
            }
        }
        self.send_buffer(link, records)
    }

    fn process_signal(&mut self, request: &ProcessSignal) -> Result<(), Failure> {
        let task = self.find_process(request.process)?;
        if request.signal > MAX_SIGNAL {
            return Err(Failure::new(code::INVALID, "there is no such signal"));
        }
        let Some(process) = self.tasks.get(task).and_then(|t| t.process()) else { return Ok(()) };
        let signal = request.signal as i32;
        let gone = || Failure::new(code::NOT_FOUND, "the process has ended");
        if request.tree {
            crate::exec::kill::tree(process, signal).map_err(|_| gone())
        } else if process.exited.is_some() {
            Err(gone())
        } else {
            sys::kill(-process.pid, signal).map_err(|_| gone())
        }
    }

    pub fn on_control(&mut self, index: usize, stream: u32, payload: &[u8]) -> Result<(), ProtocolError> {
        let control = Control::decode(payload).map_err(|_| ProtocolError)?;
        let task = self.sessions.get_mut(index).and_then(|s| s.stream(stream)).and_then(|s| s.task);
        let Some(task) = task.and_then(|task| self.tasks.get(task)) else { return Ok(()) };
        let Kind::Process(process) = &task.kind else { return Ok(()) };
        if let (Some(size), true) = (control.resize, process.pty) {
            if let Some(source) = &task.sources[0] {
                crate::exec::pty::resize(source.fd.raw(), size);
            }
        }
        if (1..=MAX_SIGNAL).contains(&control.signal) && process.exited.is_none() && process.pid > 0 {
            // It may have ended in between.
            let _ = sys::kill(-process.pid, control.signal as i32);
        }
        Ok(())
    }

    pub fn on_reset(&mut self, index: usize, stream: u32) {
        let Some(session) = self.sessions.get_mut(index) else { return };
        let Some(found) = session.stream(stream) else { return };
        let Some(task) = found.task else {
            self.answer(index, stream, &cancelled());
            return;
        };
        let Some(t) = self.tasks.get_mut(task) else { return };
        match &mut t.kind {
            Kind::Process(process) if process.ring.is_some() && process.starting.is_none() => {
                self.unlink(task);
                self.answer(index, stream, &cancelled());
            }
            Kind::Process(process) => {
                process.cancelled = true;
                // The result comes when it has been reaped.
                let _ = crate::exec::kill::tree(process, libc::SIGKILL);
                self.discard_output(task);
            }
            Kind::Worker(_) => {
                self.stop_worker(task);
                self.discard_output(task);
            }
            Kind::Forward(_) => {
                self.unlink(task);
                self.remove_task(task);
                self.answer(index, stream, &cancelled());
            }
        }
    }

    /// Nothing of a task is wanted any more: its descriptors are closed, its end is still awaited.
    fn discard_output(&mut self, task: usize) {
        let Some(t) = self.tasks.get_mut(task) else { return };
        let link = t.link;
        for source in t.sources.iter_mut().filter_map(Option::take) {
            self.poller.forget(source.token);
        }
        if let Some(sink) = t.sink.take() {
            self.poller.forget(sink.token);
        }
        if let Some(link) = link {
            if let Some(session) = self.sessions.get_mut(link.session) {
                session.waiting.retain(|&(stream, _)| stream != link.stream);
            }
        }
        self.settle(task);
    }

    /// The session of a task has ended.
    pub fn abandon(&mut self, task: usize) {
        let Some(t) = self.tasks.get_mut(task) else { return };
        t.link = None;
        for source in t.sources.iter_mut().flatten() {
            source.waiting = false;
        }
        match &mut t.kind {
            Kind::Process(process) if process.ring.is_some() => {}
            Kind::Process(process) => {
                let _ = crate::exec::kill::tree(process, libc::SIGKILL);
                self.discard_output(task);
            }
            Kind::Worker(_) => {
                self.stop_worker(task);
                self.discard_output(task);
            }
            Kind::Forward(_) => self.remove_task(task),
        }
    }

    /// Closes all that a task holds and forgets it.
    pub fn remove_task(&mut self, task: usize) {
        let Some(t) = self.tasks.remove(task) else { return };
        for source in t.sources.into_iter().flatten() {
            self.poller.forget(source.token);
        }
        if let Some(sink) = t.sink {
            self.poller.forget(sink.token);
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

    /// Sends the RESULT of a task that is over, and forgets what is no longer needed.
    pub fn settle(&mut self, task: usize) {
        let Some(t) = self.tasks.get_mut(task) else { return };
        if t.sources.iter().any(Option::is_some) {
            return;
        }
        match &mut t.kind {
            Kind::Process(_) => self.settle_process(task),
            Kind::Worker(_) => self.settle_worker(task),
            Kind::Forward(_) => self.settle_forward(task),
        }
    }

    fn settle_process(&mut self, task: usize) {
        let Some(t) = self.tasks.get_mut(task) else { return };
        let link = t.link;
        let Some(p) = t.process_mut() else { return };
        if p.starting.is_some() {
            return;
        }
        let Some((exit_code, signal)) = p.exited else { return };
        if let Some(ring) = &p.ring {
            if let (Some(link), true) = (link, p.cursor >= ring.end()) {
                let outcome = Outcome { exit_code, signal, dropped: p.dropped, ..Outcome::default() };
                self.unlink(task);
                self.answer(link.session, link.stream, &outcome);
            }
            self.finish_detached(task);
            return;
        }
        let error = p.cancelled.then(|| Failure::new(code::CANCELLED, "the command was cancelled"));
        let outcome = Outcome { error, exit_code, signal, ..Outcome::default() };
        self.remove_task(task);
        if let Some(link) = link {
            self.answer(link.session, link.stream, &outcome);
        }
    }

    /// A buffer that is ready is sent like any other output: through a pipe's worth of credit at a time.
    fn send_buffer(&mut self, link: Link, bytes: Vec<u8>) -> Result<Option<Outcome>, Failure> {
        let Some(session) = self.sessions.get_mut(link.session) else { return Ok(None) };
        let Some(stream) = session.stream(link.stream) else { return Ok(None) };
        if bytes.len() > stream.credit[0] as usize {
            // Too long for the window: a worker hands it out as credit comes.
            return self.start_worker(link, crate::serve::worker::Job::Bytes(bytes)).map(|()| None);
        }
        for chunk in bytes.chunks(crate::wire::frame::MAX_PAYLOAD) {
            session.put(link.stream, kind::DATA, 1, chunk);
        }
        session.put(link.stream, kind::END, 1, &[]);
        Ok(Some(Outcome::default()))
    }
}

/// The RESULT of what RESET stopped.
pub fn cancelled() -> Outcome {
    failed(Failure::new(code::CANCELLED, "the request was cancelled"))
}
