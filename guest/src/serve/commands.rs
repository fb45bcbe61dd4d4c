//! Starts commands and follows them to their end.

use std::ffi::CString;

use crate::exec::prepare::{prepare, start_failure};
use crate::exec::process::{remember_argv, Process, Starting};
use crate::exec::pty;
use crate::exec::ring::Ring;
use crate::exec::spawn::{spawn, Plan, Stage};
use crate::serve::agent::Agent;
use crate::streams::task::{Kind, Sink, SinkKind, Source, Task};
use crate::sys::poller::{Target, Token, IN, OUT};
use crate::sys::{self, Errno, Fd, Res};
use crate::wire::messages::{code, Exec, Failure};

/// Finished detached processes whose output is kept.
const KEEP_FINISHED: usize = 64;

/// The descriptors of a command: the child's three, and our ends.
struct Stdio {
    child: [i32; 3],
    /// the child's ends, closed after the start
    _ends: Vec<Fd>,
    input: Option<Fd>,
    output: Option<Fd>,
    errors: Option<Fd>,
}

impl Agent {
    /// Starts a command; its task is not tied to a stream yet.
    pub fn start_command(&mut self, exec: &Exec) -> Result<usize, Failure> {
        let user = crate::machine::users::resolve(exec.user)?;
        let command = prepare(exec, &user)?;
        let stdio = self.stdio(exec).map_err(|e| crate::errors::failure(b"no pipes for the command", e))?;
        let identity = (user.identity.uid != 0 || !user.identity.groups.is_empty()).then_some(&user.identity);
        let cgroup = self.cgroups.take();
        let plan = Plan {
            programs: &command.programs,
            argv: &command.argv,
            env: &command.env,
            cwd: &command.cwd,
            cwd_optional: command.cwd_optional,
            stdio: stdio.child,
            terminal: exec.pty.is_some(),
            identity,
            borrow_memory: identity.is_none() && !self.slow_mounts,
            cgroup: cgroup.as_ref().map(|group| group.raw()),
            nofile: self.nofile,
        };
        let program = command.argv[0].as_bytes();
        let started = match spawn(&plan) {
            Ok(started) => started,
            Err((stage, errno)) => {
                if let Some(group) = cgroup {
                    self.cgroups.give(group);
                }
                return Err(start_failure(stage, errno, program, command.cwd.as_bytes()));
            }
        };
        let argv: Vec<&[u8]> = if exec.argv.is_empty() { vec![exec.shell] } else { exec.argv.clone() };
        let process = Process {
            id: self.next_process,
            pid: started.pid,
            argv: remember_argv(&argv),
            user: user.account.name,
            started_s: sys::clock(libc::CLOCK_REALTIME).0,
            pty: exec.pty.is_some(),
            cgroup,
            exited: None,
            cancelled: false,
            ring: exec.detached.then(Ring::default),
            cursor: 0,
            dropped: 0,
            starting: None,
        };
        self.next_process = self.next_process.wrapping_add(1).max(1);
        self.adopt(process, stdio, started.status, command.cwd)
            .map_err(|e| crate::errors::failure(b"cannot watch the command", e))
    }

    fn stdio(&self, exec: &Exec) -> Res<Stdio> {
        if let Some(size) = exec.pty {
            let (master, slave) = pty::open()?;
            pty::resize(master.raw(), size);
            sys::set_nonblocking(master.raw())?;
            // A descriptor of its own for each direction, as for pipes.
            // SAFETY: plain call.
            let input = Fd::own(sys::check(unsafe { libc::fcntl(master.raw(), libc::F_DUPFD_CLOEXEC, 3) })?);
            let child = [slave.raw(); 3];
            return Ok(Stdio { child, _ends: vec![slave], input: Some(input), output: Some(master), errors: None });
        }
        let (out_read, out_write) = sys::pipe()?;
        let (err_read, err_write) = sys::pipe()?;
        sys::set_nonblocking(out_read.raw())?;
        sys::set_nonblocking(err_read.raw())?;
        let mut child = [self.null.raw(), out_write.raw(), err_write.raw()];
        let mut ends = vec![out_write, err_write];
        let mut input = None;
        if exec.stdin {
            let (in_read, in_write) = sys::pipe()?;
            sys::set_nonblocking(in_write.raw())?;
            child[0] = in_read.raw();
            ends.push(in_read);
            input = Some(in_write);
        }
        Ok(Stdio { child, _ends: ends, input, output: Some(out_read), errors: Some(err_read) })
    }

    /// Puts a started command under the loop's care.
    fn adopt(&mut self, mut process: Process, stdio: Stdio, status: Option<Fd>, cwd: CString) -> Res<usize> {
        let index = self.tasks.next_index();
        let terminal = process.pty;
        let watched = (|| -> Res<_> {
            let sink = match stdio.input {
                Some(fd) => {
                    let token = self.poller.add(&fd, OUT, Target::Sink(index))?;
                    let kind = if terminal { SinkKind::Terminal } else { SinkKind::Pipe };
                    Some(Sink { fd, token, writable: true, buf: Vec::new(), done: 0, ended: false, kind })
                }
                None => None,
            };
            let mut sources = [None, None];
            for (channel, fd) in [stdio.output, stdio.errors].into_iter().enumerate() {
                if let Some(fd) = fd {
                    let token = self.poller.add(&fd, IN, Target::Source(index, channel))?;
                    sources[channel] = Some(source(fd, token, terminal));
                }
            }
            if let Some(status) = status {
                sys::set_nonblocking(status.raw())?;
                let token = self.poller.add(&status, IN, Target::Status(index))?;
                process.starting = Some(Starting { status, token, cwd: cwd.into_bytes() });
            }
            Ok((sink, sources))
        })();
        match watched {
            Ok((sink, sources)) => {
                Ok(self.tasks.insert(Task { link: None, sink, sources, kind: Kind::Process(Box::new(process)) }))
            }
            Err(error) => {
                let _ = crate::exec::kill::tree(&process, libc::SIGKILL);
                Err(error)
            }
        }
    }

    /// The status pipe of a command in memory of its own: exec worked, or why not.
    pub fn on_exec_status(&mut self, task: usize) {
        let Some(process) = self.tasks.get_mut(task).and_then(|t| t.process_mut()) else { return };
        let Some(starting) = &process.starting else { return };
        let mut report = [0u8; 5];
        let read = sys::read(starting.status.raw(), &mut report);
        if read.is_err_and(Errno::would_block) {
            return;
        }
        let Some(starting) = process.starting.take() else { return };
        self.poller.forget(starting.token);
        let (id, pid) = (process.id, process.pid as u32);
        if read != Ok(5) {
            self.opened(task, id, pid);
            for channel in 0..2 {
                self.pump(task, channel);
            }
            return self.settle(task);
        }
        let errno = Errno(i32::from_le_bytes([report[1], report[2], report[3], report[4]]));
        let program = process.argv.first().cloned().unwrap_or_default();
        let failure = if process.cancelled {
            Failure::new(code::CANCELLED, "the command was cancelled")
        } else {
            start_failure(Stage::from_byte(report[0]), errno, &program, &starting.cwd)
        };
        let link = self.tasks.get_mut(task).and_then(|t| t.link);
        self.unlink(task);
        self.remove_task(task);
        if let Some(link) = link {
            self.answer(link.session, link.stream, &crate::streams::task::failed(failure));
        }
    }

    /// A command has ended: what its pipes hold now is still sent, then its result.
    pub fn on_exit(&mut self, task: usize, exit_code: u32, signal: u32) {
        if self.tasks.get(task).and_then(|t| t.process()).is_some_and(|p| p.starting.is_some()) {
            // It may have died before exec: then the pipe says so, or is closed.
            self.on_exec_status(task);
        }
        let Some(t) = self.tasks.get_mut(task) else { return };
        for source in t.sources.iter_mut().flatten() {
            source.ready = true;
            source.limit = Some(if source.terminal {
                crate::streams::source::TERMINAL_REST
            } else {
                sys::unread(source.fd.raw())
            });
        }
        if let Some(process) = t.process_mut() {
            process.exited = Some((exit_code, signal));
        }
        self.drop_sink(task);
        for channel in 0..2 {
            self.pump(task, channel);
        }
        self.settle(task);
    }

    /// A detached process has ended and its ring is complete: its descriptors go, the ring stays for a while.
    pub fn finish_detached(&mut self, task: usize) {
        if self.finished.contains(&task) {
            return;
        }
        let Some(process) = self.tasks.get_mut(task).and_then(|t| t.process_mut()) else { return };
        if let Some(group) = process.cgroup.take() {
            self.cgroups.give(group);
        }
        self.finished.push_back(task);
        if self.finished.len() > KEEP_FINISHED {
            // The oldest that nobody reads right now.
            let oldest = self.finished.iter().position(|&i| self.tasks.get(i).is_none_or(|t| t.link.is_none()));
            if let Some(gone) = oldest.and_then(|at| self.finished.remove(at)) {
                self.remove_task(gone);
            }
        }
    }
}

/// A fresh source.
pub fn source(fd: Fd, token: Token, terminal: bool) -> Source {
    Source { fd, token, ready: false, hung_up: false, events: 0, widened: false, waiting: false, limit: None, terminal }
}
