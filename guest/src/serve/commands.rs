//! Starts commands and follows them to their end.

use std::ffi::CString;

use crate::errors::{failure, no_controller};
use crate::exec::init::{self, Init};
use crate::exec::prepare::{prepare, start_failure};
use crate::exec::process::{remember_argv, Process, Starting};
use crate::exec::ring::Ring;
use crate::exec::spawn::{raise_nofile, spawn, Plan, Space, Stage};
use crate::exec::{kill, pty};
use crate::machine::role::Role;
use crate::machine::users;
use crate::serve::processes;
use crate::streams::mux::Mux;
use crate::streams::settle::settle;
use crate::streams::sink::drop_sink;
use crate::streams::source::{limit_to_rest, pump};
use crate::streams::target::{Poller, Target};
use crate::streams::task::{Kind, Sink, SinkKind, Source, Task};
use crate::sys::poller::{Token, IN, OUT};
use crate::sys::{self, Errno, Fd, Res};
use crate::wire::frame::kind;
use crate::wire::messages::{code, encode_opened_process, Exec, Failure, InitRequest, Outcome};

/// A command is left alone for this long, in ms, unless input comes for it. Most have ended by then: the agent was woken once instead of
/// for every pipe, and OPENED, output and RESULT leave in one write. Each wake-up and each write saved is a tenth of a small command.
const LEFT_ALONE_MS: u64 = 25;

/// The descriptors of a command: the child's three, and our ends.
struct Stdio {
    child: [i32; 3],
    /// the child's ends, closed after the start
    ends: Vec<Fd>,
    input: Option<Fd>,
    output: Option<Fd>,
    errors: Option<Fd>,
}

impl Stdio {
    /// Makes the child's ends its user's: /dev/stderr and the like open them anew. A terminal's group stays tty.
    fn give_to(&self, uid: u32) {
        for end in &self.ends {
            // SAFETY: plain call. Without it the descriptors themselves work all the same.
            unsafe { libc::fchown(end.raw(), uid, u32::MAX) };
        }
    }
}

/// What starting commands takes.
pub struct Commands {
    null: Fd,
    next_process: u32,
    /// their limits of open files
    nofile: (u64, u64),
    /// a file system that can hang is mounted: they start in memory of their own
    pub slow_mounts: bool,
    /// what is started stands still at once, before it has left the agent's memory
    pub frozen: bool,
    /// the image's init, in whose namespaces commands start
    pub init: Option<Init>,
}

impl Commands {
    /// Raises the agent's own limit of open files.
    pub fn new(role: Role) -> Res<Commands> {
        let nofile = raise_nofile(role == Role::Init).unwrap_or((1024, 4096));
        Ok(Commands {
            null: sys::open(c"/dev/null", libc::O_RDWR)?,
            next_process: 1,
            nofile,
            slow_mounts: false,
            frozen: false,
            init: None,
        })
    }

    /// Starts a command; its task is not tied to a stream yet.
    pub fn start(&mut self, mux: &mut Mux, exec: &Exec) -> Result<usize, Failure> {
        self.start_as(mux, exec, false)
    }

    /// Starts the image's init, if none runs.
    pub fn start_init(&mut self, mux: &mut Mux, request: &InitRequest) -> Result<(), Failure> {
        if self.init.is_some() {
            return Ok(());
        }
        init::hide_console();
        let argv = if request.argv.is_empty() { vec![init::PLACES[0].to_bytes()] } else { request.argv.clone() };
        if argv[0].first() != Some(&b'/') {
            return Err(Failure::new(code::INVALID, "the init's program is not an absolute path"));
        }
        let exec = Exec { argv, env: request.env.clone(), cwd: b"/", detached: true, ..Exec::default() };
        let task = self.start_as(mux, &exec, true).map_err(|failure| match failure.code {
            code::NOT_FOUND => Failure { code: code::UNSUPPORTED, ..failure },
            _ => failure,
        })?;
        let Some((process, pid)) = mux.tasks.get(task).and_then(|t| t.process()).map(|p| (p.id, p.pid)) else {
            return Err(Failure::new(code::IO, "the init was lost"));
        };
        match Init::of(process, pid) {
            Ok(init) => self.init = Some(init),
            Err(error) => {
                let _ = sys::kill(pid, libc::SIGKILL);
                return Err(failure(b"cannot follow the init", error));
            }
        }
        mux.init = Some(pid);
        Ok(())
    }

    /// `first`: it is the image's init.
    fn start_as(&mut self, mux: &mut Mux, exec: &Exec, first: bool) -> Result<usize, Failure> {
        let user = users::resolve(exec.user)?;
        let mut command = prepare(exec, &user)?;
        if first && exec.argv == [init::PLACES[0].to_bytes()] {
            command.programs = init::PLACES.map(CString::from).to_vec();
        }
        let stdio = self.stdio(exec).map_err(|e| failure(b"no pipes for the command", e))?;
        if user.identity.uid != 0 {
            stdio.give_to(user.identity.uid);
        }
        let identity = (user.identity.uid != 0 || !user.identity.groups.is_empty()).then_some(&user.identity);
        if let Some(controller) = mux.cgroups.lacks(exec.limits) {
            return Err(no_controller(controller));
        }
        let cgroup = if first { mux.take_init_cgroup() } else { mux.take_cgroup(exec.limits) };
        let plan = Plan {
            programs: &command.programs,
            argv: &command.argv,
            env: &command.env,
            cwd: &command.cwd,
            cwd_optional: command.cwd_optional,
            stdio: stdio.child,
            terminal: exec.pty.is_some(),
            identity,
            borrow_memory: identity.is_none() && !self.slow_mounts && !self.frozen,
            cgroup: cgroup.as_ref().map(|lease| lease.group.dir().raw()),
            nofile: self.nofile,
            space: match &self.init {
                _ if first => Space::New,
                Some(init) => Space::Init(init),
                None => Space::Machine,
            },
        };
        let program = command.argv[0].as_bytes();
        let started = match spawn(&plan) {
            Ok(started) => started,
            Err((stage, errno)) => {
                if let Some(group) = cgroup {
                    mux.cgroups.give(group);
                }
                let mut failure = start_failure(stage, errno, program, command.cwd.as_bytes());
                if stage == Stage::Clone && errno == Errno(libc::EAGAIN) {
                    failure.holders = processes::holders(mux);
                }
                return Err(failure);
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
            ending: None,
            ring: exec.detached.then(Ring::default),
            left: false,
            cursor: 0,
            dropped: 0,
            starting: None,
            watch_at: None,
        };
        self.next_process = self.next_process.wrapping_add(1).max(1);
        adopt(mux, process, stdio, started.status, command.cwd).map_err(|e| failure(b"cannot watch the command", e))
    }

    fn stdio(&self, exec: &Exec) -> Res<Stdio> {
        if let Some(size) = exec.pty {
            let (master, slave) = pty::open()?;
            pty::resize(master.raw(), size);
            // A descriptor of its own for each direction, as for pipes.
            // SAFETY: plain call.
            let input = Fd::own(sys::check(unsafe { libc::fcntl(master.raw(), libc::F_DUPFD_CLOEXEC, 3) })?);
            let child = [slave.raw(); 3];
            return Ok(Stdio { child, ends: vec![slave], input: Some(input), output: Some(master), errors: None });
        }
        let (out_read, out_write) = sys::pipe()?;
        let (err_read, err_write) = sys::pipe()?;
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
        Ok(Stdio { child, ends, input, output: Some(out_read), errors: Some(err_read) })
    }
}

/// Puts a started command under the loop's care.
fn adopt(mux: &mut Mux, mut process: Process, stdio: Stdio, status: Option<Fd>, cwd: CString) -> Res<usize> {
    let index = mux.tasks.next_index();
    let terminal = process.pty;
    let alone = !terminal && process.ring.is_none();
    let watched = (|| -> Res<_> {
        let sink = match stdio.input {
            Some(fd) => {
                let token = if alone { None } else { Some(mux.poller.add(&fd, OUT, Target::Sink(index))?) };
                let kind = if terminal { SinkKind::Terminal } else { SinkKind::Pipe };
                Some(Sink::new(fd, token, kind, true))
            }
            None => None,
        };
        let mut sources = [None, None];
        for (channel, fd) in [stdio.output, stdio.errors].into_iter().enumerate() {
            if let Some(fd) = fd {
                let token = if alone { None } else { Some(watch_output(&mut mux.poller, &fd, index, channel)?) };
                sources[channel] = Some(Source::new(fd, token, terminal));
            }
        }
        process.watch_at = alone.then(|| sys::now_ms() + LEFT_ALONE_MS);
        if let Some(status) = status {
            sys::set_nonblocking(status.raw())?;
            let token = if alone { None } else { Some(mux.poller.add(&status, IN, Target::Status(index))?) };
            process.starting = Some(Starting { status, token, cwd: cwd.into_bytes() });
        }
        Ok((sink, sources))
    })();
    match watched {
        Ok((sink, sources)) => {
            Ok(mux.tasks.insert(Task { link: None, sink, sources, kind: Kind::Process(Box::new(process)) }))
        }
        Err(error) => {
            let _ = kill::tree(&process, libc::SIGKILL);
            Err(error)
        }
    }
}

/// What a command writes from now on is told.
fn watch_output(poller: &mut Poller, fd: &Fd, task: usize, channel: usize) -> Res<Token> {
    sys::set_nonblocking(fd.raw())?;
    poller.add(fd, IN, Target::Source(task, channel))
}

/// The command runs: OPENED; or, for a detached one, its only answer.
pub fn opened(mux: &mut Mux, task: usize, process: u32, pid: u32) {
    let Some(t) = mux.tasks.get_mut(task) else { return };
    let detached = t.process().is_some_and(|p| p.ring.is_some());
    let Some(link) = t.link else { return };
    if detached {
        mux.unlink(task);
        mux.sessions.answer(link, &Outcome { process, pid, ..Outcome::default() });
    } else {
        mux.sessions.send(link, kind::OPENED, 0, |out| encode_opened_process(out, process, pid));
    }
}

/// A command that was left alone goes on: its host is told, and its output is watched from now on. Does nothing if that is so already.
pub fn watch(mux: &mut Mux, task: usize) {
    let Some(t) = mux.tasks.get_mut(task).filter(|t| t.process().is_some_and(|p| p.watch_at.is_some())) else { return };
    let mut watched = Ok(());
    if let Some(sink) = &mut t.sink {
        match mux.poller.add(&sink.fd, OUT, Target::Sink(task)) {
            Ok(token) => sink.token = Some(token),
            Err(error) => watched = Err(error),
        }
    }
    for (channel, source) in t.sources.iter_mut().enumerate() {
        if let Some(source) = source {
            match watch_output(&mut mux.poller, &source.fd, task, channel) {
                Ok(token) => source.token = Some(token),
                Err(error) => watched = Err(error),
            }
        }
    }
    let Kind::Process(process) = &mut t.kind else { return };
    process.watch_at = None;
    if let Some(starting) = &mut process.starting {
        match mux.poller.add(&starting.status, IN, Target::Status(task)) {
            Ok(token) => starting.token = Some(token),
            Err(error) => watched = Err(error),
        }
    }
    if let Err(error) = watched {
        // Nobody would read what it writes.
        sys::console::warn("cannot watch a command", error);
        let _ = kill::tree(process, libc::SIGKILL);
    }
    if process.starting.is_none() {
        let (id, pid) = (process.id, process.pid as u32);
        opened(mux, task, id, pid);
    }
}

/// The status pipe of a command in memory of its own: exec worked, or why not.
pub fn on_exec_status(mux: &mut Mux, task: usize) {
    let Some(process) = mux.tasks.get_mut(task).and_then(|t| t.process_mut()) else { return };
    let Some(starting) = &process.starting else { return };
    let mut report = [0u8; 5];
    let read = sys::read(starting.status.raw(), &mut report);
    if read.is_err_and(Errno::would_block) {
        return;
    }
    let Some(starting) = process.starting.take() else { return };
    mux.poller.forget(starting.token);
    let (id, pid) = (process.id, process.pid as u32);
    if read != Ok(5) {
        opened(mux, task, id, pid);
        for channel in 0..2 {
            pump(mux, task, channel);
        }
        return settle(mux, task);
    }
    let errno = Errno(i32::from_le_bytes([report[1], report[2], report[3], report[4]]));
    let program = process.argv.first().cloned().unwrap_or_default();
    let failure = if process.cancelled {
        Failure::new(code::CANCELLED, "the command was cancelled")
    } else {
        start_failure(Stage::from_byte(report[0]), errno, &program, &starting.cwd)
    };
    let link = mux.tasks.get_mut(task).and_then(|t| t.link);
    mux.unlink(task);
    mux.remove(task);
    if let Some(link) = link {
        mux.sessions.answer(link, &Outcome::failed(failure));
    }
}

/// A command has ended: what its pipes hold now is still sent, then its result.
pub fn on_exit(mux: &mut Mux, task: usize, exit_code: u32, signal: u32) {
    let Some(process) = mux.tasks.get_mut(task).and_then(|t| t.process_mut()) else { return };
    let (id, pid) = (process.id, process.pid as u32);
    let alone = process.watch_at.take().is_some();
    if process.starting.is_some() {
        // It may have died before exec: then the pipe says so, or is closed.
        on_exec_status(mux, task);
    } else if alone {
        opened(mux, task, id, pid);
    }
    let Some(t) = mux.tasks.get_mut(task) else { return };
    limit_to_rest(&mut t.sources);
    if let Some(process) = t.process_mut() {
        process.exited = Some((exit_code, signal));
    }
    drop_sink(mux, task);
    for channel in 0..2 {
        pump(mux, task, channel);
    }
    settle(mux, task);
}
