//! `run`: start the program, say its pid, follow it to its end.

use std::ffi::CString;
use std::fs::OpenOptions;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use crate::enter::TELL_FD;
use crate::exit_file::ExitFile;
use crate::guest_tap::{GuestTap, TAP_FD};
use crate::json::quote;
use crate::log::Log;
use crate::network::{Network, Streams, NO_TAP};
use crate::options::Options;
use crate::sys::{check, credential_pair, errno, pipe, read, read_writer, set_nonblocking};

/// Bytes that the two files of the program's messages may hold together.
const STDERR_MAX_BYTES: u64 = 64 * 1024;
/// One read.
const CHUNK: usize = 64 * 1024;
/// What is read after the program's end at most: its children may write for ever.
const REST_READS: usize = 64;

/// What went wrong before the program ran.
struct StartError {
    what: String,
    errno: i32,
}

fn failed(what: impl Into<String>) -> impl FnOnce(i32) -> StartError {
    let what = what.into();
    move |errno| StartError { what, errno }
}

/// Runs the program; returns the monitor's own exit status.
pub fn run(options: &Options) -> i32 {
    match start(options) {
        Ok(mut running) => {
            announce(running.pid);
            running.connect();
            running.follow();
            0
        }
        Err(error) => {
            let reason = std::io::Error::from_raw_os_error(error.errno);
            println!("{{\"error\":{},\"errno\":{}}}", quote(&format!("{}: {reason}", error.what)), error.errno);
            1
        }
    }
}

struct Running {
    /// the program's process
    pid: i32,
    /// our child: the program itself, or what it is wrapped in
    child: i32,
    wrapped: bool,
    signals: OwnedFd,
    console: Option<OwnedFd>,
    messages: Option<OwnedFd>,
    console_log: Log,
    messages_log: Log,
    exit: ExitFile,
    network: Option<Network>,
}

fn start(options: &Options) -> Result<Running, StartError> {
    // SAFETY: plain calls; nothing is open yet but what was inherited.
    unsafe {
        // Whatever else our starter's starter left open (a pipe that somebody waits on) is not ours to keep for weeks.
        // Kernels before 5.9 have no such call: there it stays open.
        libc::syscall(libc::SYS_close_range, 3 as libc::c_uint, libc::c_uint::MAX, 0 as libc::c_uint);
        let parent = libc::getppid();
        if options.die_with_parent {
            check(libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL)).map_err(failed("cannot follow the parent"))?;
            if libc::getppid() != parent {
                libc::_exit(1); // it ended in between
            }
        }
        // Fails for a group leader, which is a session leader already when it was started detached.
        libc::setsid();
        // Whoever holds us is putting us somewhere. If that one ends, there is nobody to start anything for.
        if options.held && read(0, &mut [0]) != Ok(1) {
            libc::_exit(1);
        }
    }
    let console_log = Log::begin(&options.console, options.max_bytes)
        .map_err(|e| failed(format!("cannot write {}", options.console.display()))(e.raw_os_error().unwrap_or(0)))?;
    let messages_log = Log::begin(&options.stderr, STDERR_MAX_BYTES)
        .map_err(|e| failed(format!("cannot write {}", options.stderr.display()))(e.raw_os_error().unwrap_or(0)))?;
    let exit = ExitFile::reserve(&options.exit)
        .map_err(|e| failed(format!("cannot write {}", options.exit.display()))(e.raw_os_error().unwrap_or(0)))?;
    let signals = block_signals().map_err(failed("cannot block signals"))?;
    let (console, console_end) = pipe().map_err(failed("cannot make a pipe"))?;
    let (messages, messages_end) = pipe().map_err(failed("cannot make a pipe"))?;
    let null = null().map_err(failed("cannot open /dev/null"))?;
    if options.wrapped {
        // Whatever is left of the wrapper when it ends becomes our child, and is waited for.
        // SAFETY: plain call.
        check(unsafe { libc::prctl(libc::PR_SET_CHILD_SUBREAPER, 1) }).map_err(failed("cannot adopt processes"))?;
    }
    let tell = if options.wrapped { Some(credential_pair().map_err(failed("cannot make a socket"))?) } else { None };
    let (told, teller) = tell.map_or((None, None), |(told, teller)| (Some(told), Some(teller)));
    let mut network = match begin_network(options, &null, &messages_end, &messages) {
        Ok(network) => network,
        Err(error) => {
            exit.release();
            return Err(error);
        }
    };
    let ends = [&null, &console_end, &messages_end];
    let spawned = spawn(options, ends, teller, network.as_ref()).and_then(|child| match &told {
        None => Ok((child, child)),
        Some(told) => Ok((child, wait_for_word(options, child, told, &messages)?)),
    });
    let (child, pid) = match spawned {
        Ok(started) => started,
        Err(error) => {
            if let Some(network) = &mut network {
                network.end();
            }
            exit.release();
            return Err(error);
        }
    };
    for end in [&console, &messages] {
        set_nonblocking(end.as_raw_fd()).map_err(failed("cannot read without waiting"))?;
    }
    let wrapped = options.wrapped;
    Ok(Running {
        pid,
        child,
        wrapped,
        signals,
        console: Some(console),
        messages: Some(messages),
        console_log,
        messages_log,
        exit,
        network,
    })
}

/// The pid of the program within its wrapper, which says it itself right before it runs. A wrapper that ends first tells
/// why on stderr.
fn wait_for_word(options: &Options, child: i32, told: &OwnedFd, messages: &OwnedFd) -> Result<i32, StartError> {
    if let Some(pid) = read_writer(told.as_raw_fd()).map_err(failed("cannot learn the program's process"))? {
        return Ok(pid);
    }
    kill(child); // it has closed its end: it is ending, or is not what it should be
    let name = options.command[0].to_string_lossy();
    Err(StartError { what: format!("{name} did not run its program: {}", said(messages)), errno: libc::ECHILD })
}

/// What was written as messages so far, of it the first part.
fn said(messages: &OwnedFd) -> String {
    let mut said = [0u8; 1000];
    let length = match set_nonblocking(messages.as_raw_fd()) {
        Ok(()) => read(messages.as_raw_fd(), &mut said).unwrap_or(0),
        Err(_) => 0,
    };
    String::from_utf8_lossy(&said[..length]).trim().to_owned()
}

fn kill(child: i32) {
    // SAFETY: our own child, which is not reaped yet.
    unsafe {
        libc::kill(child, libc::SIGKILL);
        libc::waitpid(child, std::ptr::null_mut(), 0);
    }
}

/// The network that the program shall have of its own, if it shall; its packet filter is being made.
fn begin_network(
    options: &Options,
    null: &OwnedFd,
    messages_end: &OwnedFd,
    messages: &OwnedFd,
) -> Result<Option<Network>, StartError> {
    let Some(wanted) = &options.network else { return Ok(None) };
    let again =
        |fd: &OwnedFd| fd.try_clone().map_err(|e| failed("cannot keep a file open")(e.raw_os_error().unwrap_or(0)));
    let members = options.cgroup.as_deref().map(open_members).transpose()?;
    let streams = Streams { null: again(null)?, messages: again(messages_end)?, members };
    Network::begin(wanted, streams).map(Some).map_err(|failed| network_error(failed, messages))
}

fn network_error((what, errno): (&str, i32), messages: &OwnedFd) -> StartError {
    let said = said(messages);
    let colon = if said.is_empty() { "" } else { ": " };
    StartError { what: format!("{what}{colon}{said}"), errno }
}

fn null() -> Result<OwnedFd, i32> {
    // SAFETY: constant path; the descriptor becomes ours.
    unsafe {
        check(libc::open(c"/dev/null".as_ptr(), libc::O_RDWR | libc::O_CLOEXEC)).map(|fd| OwnedFd::from_raw_fd(fd))
    }
}

/// Signals come as reads. Those that only concern a terminal are blocked too: a monitor outlives terminals.
fn block_signals() -> Result<OwnedFd, i32> {
    // SAFETY: the set is initialised before use; the descriptor becomes ours.
    unsafe {
        let mut set: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&mut set);
        for signal in [libc::SIGCHLD, libc::SIGTERM, libc::SIGINT, libc::SIGHUP, libc::SIGQUIT] {
            libc::sigaddset(&mut set, signal);
        }
        check(libc::sigprocmask(libc::SIG_BLOCK, &set, std::ptr::null_mut()))?;
        let fd = check(libc::signalfd(-1, &set, libc::SFD_CLOEXEC | libc::SFD_NONBLOCK))?;
        Ok(OwnedFd::from_raw_fd(fd))
    }
}

fn spawn(
    options: &Options,
    ends: [&OwnedFd; 3],
    teller: Option<OwnedFd>,
    network: Option<&Network>,
) -> Result<i32, StartError> {
    let name = options.command[0].to_string_lossy().into_owned();
    let arguments: Vec<CString> = options
        .command
        .iter()
        .map(|arg| CString::new(arg.as_bytes()))
        .collect::<Result<_, _>>()
        .map_err(|_| StartError { what: "an argument holds a NUL byte".into(), errno: libc::EINVAL })?;
    let mut pointers: Vec<_> = arguments.iter().map(|arg| arg.as_ptr()).collect();
    pointers.push(std::ptr::null());
    let (status, status_end) = pipe().map_err(failed("cannot make a pipe"))?;
    let members = match &options.cgroup {
        None => None,
        Some(dir) => Some(open_members(dir)?),
    };
    // SAFETY: one thread; the child makes system calls only, and ends by exec or _exit.
    let pid = unsafe {
        let monitor = libc::getpid();
        let pid = check(libc::fork()).map_err(failed("cannot start a process"))?;
        if pid == 0 {
            let raw = |fd: &OwnedFd| fd.as_raw_fd();
            let stdio = ends.map(raw);
            let descriptors = Descriptors {
                stdio,
                status: raw(&status_end),
                members: members.as_ref().map(raw),
                teller: teller.as_ref().map(raw),
                network,
                tap: options.network.as_ref().and_then(|network| network.tap.as_ref()),
            };
            child(monitor, &pointers, &descriptors);
        }
        pid
    };
    drop(status_end);
    let mut report = [0u8; REPORT_BYTES];
    // Closed by a successful exec.
    if read(status.as_raw_fd(), &mut report) == Ok(REPORT_BYTES) {
        // SAFETY: plain call; the child has ended.
        unsafe { libc::waitpid(pid, std::ptr::null_mut(), 0) };
        let [no_tap, errno @ ..] = report;
        let what = if no_tap == 0 { format!("cannot run {name}") } else { NO_TAP.into() };
        return Err(StartError { what, errno: i32::from_ne_bytes(errno) });
    }
    Ok(pid)
}

/// A child's word on why it does not run the program: whether it is for want of a tap, and an error number.
const REPORT_BYTES: usize = 5;

/// The file through which a process joins a cgroup.
fn open_members(cgroup: &Path) -> Result<OwnedFd, StartError> {
    let path = cgroup.join("cgroup.procs");
    let opened = OpenOptions::new().write(true).open(&path);
    opened
        .map(OwnedFd::from)
        .map_err(|e| failed(format!("cannot write {}", path.display()))(e.raw_os_error().unwrap_or(0)))
}

/// What a child needs of ours.
struct Descriptors<'a> {
    stdio: [RawFd; 3],
    /// where it says why it cannot run the program
    status: RawFd,
    /// its cgroup's list of processes
    members: Option<RawFd>,
    /// where the program within a wrapper says its pid
    teller: Option<RawFd>,
    network: Option<&'a Network>,
    tap: Option<&'a GuestTap>,
}

unsafe fn child(monitor: i32, arguments: &[*const libc::c_char], fds: &Descriptors<'_>) -> ! {
    // Out of the way of the numbers that the program expects.
    let status = libc::fcntl(fds.status, libc::F_DUPFD_CLOEXEC, TAP_FD + 1);
    let give_up = |no_tap: bool, error: i32| -> ! {
        let [a, b, c, d] = error.to_ne_bytes();
        libc::write(status, [u8::from(no_tap), a, b, c, d].as_ptr().cast(), REPORT_BYTES);
        libc::_exit(127);
    };
    let fail = |error: i32| -> ! { give_up(false, error) };
    // Whatever happens to the monitor, no VMM stays behind without one.
    libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
    if libc::getppid() != monitor {
        libc::_exit(1);
    }
    // "0": the process that writes it (cgroups(7)).
    if fds.members.is_some_and(|members| libc::write(members, b"0".as_ptr().cast(), 1) != 1) {
        fail(errno());
    }
    if let Some(Err(error)) = fds.network.map(Network::join) {
        fail(error);
    }
    let tap = fds.tap.map(|tap| tap.make().unwrap_or_else(|error| give_up(true, error.raw_os_error().unwrap_or(0))));
    let tap = tap.map(|tap| libc::fcntl(tap.as_raw_fd(), libc::F_DUPFD_CLOEXEC, TAP_FD + 1));
    // Joining may have made the kernel forget it.
    libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
    if libc::getppid() != monitor {
        libc::_exit(1);
    }
    for (target, &fd) in fds.stdio.iter().enumerate() {
        libc::dup2(fd, target as i32);
    }
    if let Some(teller) = fds.teller {
        if teller == TELL_FD {
            libc::fcntl(teller, libc::F_SETFD, 0); // stays open when the program runs
        } else {
            libc::dup2(teller, TELL_FD);
        }
    }
    // After the other one, whose source may have this number.
    if let Some(tap) = tap {
        libc::dup2(tap, TAP_FD);
    }
    let mut none: libc::sigset_t = std::mem::zeroed();
    libc::sigemptyset(&mut none);
    libc::sigprocmask(libc::SIG_SETMASK, &none, std::ptr::null_mut());
    // The standard library ignores it, and ignored signals are inherited.
    libc::signal(libc::SIGPIPE, libc::SIG_DFL);
    libc::execvp(arguments[0], arguments.as_ptr());
    fail(errno())
}

/// Says the pid and lets go of whoever started us.
fn announce(pid: i32) {
    let line = format!("{{\"pid\":{pid}}}\n");
    // SAFETY: the buffer is valid; nobody may be listening, which changes nothing.
    unsafe { libc::write(1, line.as_ptr().cast(), line.len()) };
    if let Ok(null) = null() {
        for fd in 0..3 {
            // SAFETY: plain call.
            unsafe { libc::dup2(null.as_raw_fd(), fd) };
        }
    }
}

impl Running {
    /// Connects its network, which is closed until then, while the program starts: nobody waits for it. Without a filter it ends.
    fn connect(&mut self) {
        let Some(Err((what, error))) = self.network.as_mut().map(Network::connect) else { return };
        copy(&mut self.messages, &mut self.messages_log, REST_READS); // why, in the words of the program that failed
        let reason = std::io::Error::from_raw_os_error(error);
        self.messages_log.append(format!("smolvm-monitor: {what}: {reason}\n").as_bytes());
        // SAFETY: plain calls; our child is not reaped yet.
        unsafe {
            libc::kill(self.pid, libc::SIGKILL);
            libc::kill(self.child, libc::SIGKILL);
        }
    }

    /// Copies output until the program ends, then writes down how.
    fn follow(&mut self) {
        let mut patience = None;
        loop {
            let entry = |fd: Option<RawFd>| libc::pollfd { fd: fd.unwrap_or(-1), events: libc::POLLIN, revents: 0 };
            let mut polled = [
                entry(Some(self.signals.as_raw_fd())),
                entry(self.console.as_ref().map(AsRawFd::as_raw_fd)),
                entry(self.messages.as_ref().map(AsRawFd::as_raw_fd)),
                entry(self.network.as_ref().map(Network::fd)), // only wakes us
            ];
            // SAFETY: four entries. An error can only be an interruption.
            unsafe { libc::poll(polled.as_mut_ptr(), 4, patience.unwrap_or(-1)) };
            if polled[1].revents != 0 {
                copy(&mut self.console, &mut self.console_log, 1);
            }
            if polled[2].revents != 0 {
                copy(&mut self.messages, &mut self.messages_log, 1);
            }
            if polled[0].revents != 0 {
                self.on_signals();
                if let Some(status) = self.ended() {
                    if let Some(network) = &mut self.network {
                        network.end();
                    }
                    copy(&mut self.console, &mut self.console_log, REST_READS);
                    copy(&mut self.messages, &mut self.messages_log, REST_READS);
                    self.reap_rest();
                    return self.exit.write(i64::from(self.pid), status.code.map(i64::from), status.signal);
                }
            }
            patience = self.tend_network();
        }
    }

    /// Milliseconds after which it wants to be looked after again.
    fn tend_network(&mut self) -> Option<i32> {
        let (wait, told) = self.network.as_mut()?.tend();
        if let Some(told) = told {
            self.messages_log.append(format!("smolvm-monitor: {told}\n").as_bytes());
        }
        wait.map(|wait| wait.as_millis() as i32 + 1)
    }

    fn on_signals(&self) {
        let mut info = [0u8; std::mem::size_of::<libc::signalfd_siginfo>()];
        while read(self.signals.as_raw_fd(), &mut info) == Ok(info.len()) {
            let signal = u32::from_ne_bytes([info[0], info[1], info[2], info[3]]) as i32;
            if signal == libc::SIGTERM || signal == libc::SIGINT {
                // SAFETY: plain call; our child is not reaped yet. A wrapper ends as soon as its program has, so for hardly
                // a moment is the number free.
                unsafe { libc::kill(self.pid, signal) };
            }
        }
    }

    /// How the program has ended, if it has.
    fn ended(&self) -> Option<End> {
        let mut status = 0;
        // SAFETY: plain out parameter.
        let pid = unsafe { libc::waitpid(self.child, &mut status, libc::WNOHANG) };
        (pid == self.child).then(|| End::of(status, self.wrapped))
    }

    /// Waits for what is left of a wrapper: it dies with its parent, so this takes no time.
    fn reap_rest(&self) {
        // SAFETY: plain call; it fails when there is no child.
        while self.wrapped && unsafe { libc::waitpid(-1, std::ptr::null_mut(), 0) } > 0 {}
    }
}

/// How a program ended: one of the two.
struct End {
    code: Option<i32>,
    signal: Option<i32>,
}

impl End {
    /// A wrapper ends as shells do, with 128 and the number of the signal that ended its program. Higher numbers than these
    /// are codes of VMMs themselves (Firecracker's are 148 to 157).
    fn of(status: i32, wrapped: bool) -> End {
        let code = libc::WIFEXITED(status).then(|| libc::WEXITSTATUS(status));
        match code.map(|code| code - 128) {
            Some(signal @ (1..=libc::SIGTERM | libc::SIGSYS)) if wrapped => End { code: None, signal: Some(signal) },
            _ => End { code, signal: libc::WIFSIGNALED(status).then(|| libc::WTERMSIG(status)) },
        }
    }
}

/// Copies what is there, in at most `reads` reads; a stream that is over is closed.
fn copy(from: &mut Option<OwnedFd>, to: &mut Log, reads: usize) {
    let mut buf = [0u8; CHUNK];
    for _ in 0..reads {
        let Some(fd) = from else { return };
        match read(fd.as_raw_fd(), &mut buf) {
            Ok(0) => *from = None,
            Ok(n) => to.append(&buf[..n]),
            Err(libc::EAGAIN) => return,
            Err(_) => *from = None,
        }
    }
}
