//! `run`: start the program, say its pid, follow it to its end.

use std::ffi::CString;
use std::fs::{self, File, OpenOptions};
use std::io::{Seek, SeekFrom, Write};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use crate::log::Log;
use crate::sys::{check, errno, pipe, read, set_nonblocking, wall_ms};
use crate::Options;

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

/// A JSON string.
fn quote(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => {
                out.push('\\');
                out.push(c);
            }
            c if u32::from(c) < 0x20 => out.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

struct Running {
    pid: i32,
    signals: OwnedFd,
    console: Option<OwnedFd>,
    messages: Option<OwnedFd>,
    console_log: Log,
    messages_log: Log,
    exit: ExitFile,
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
    let pid = spawn(options, &null, &console_end, &messages_end);
    let pid = match pid {
        Ok(pid) => pid,
        Err(error) => {
            exit.release();
            return Err(error);
        }
    };
    for end in [&console, &messages] {
        set_nonblocking(end.as_raw_fd()).map_err(failed("cannot read without waiting"))?;
    }
    Ok(Running { pid, signals, console: Some(console), messages: Some(messages), console_log, messages_log, exit })
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

fn spawn(options: &Options, null: &OwnedFd, out: &OwnedFd, err: &OwnedFd) -> Result<i32, StartError> {
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
    // SAFETY: one thread; the child makes system calls only, and ends by exec or _exit.
    let pid = unsafe {
        let monitor = libc::getpid();
        let pid = check(libc::fork()).map_err(failed("cannot start a process"))?;
        if pid == 0 {
            child(monitor, &pointers, [null.as_raw_fd(), out.as_raw_fd(), err.as_raw_fd()], status_end.as_raw_fd());
        }
        pid
    };
    drop(status_end);
    let mut report = [0u8; 4];
    // Closed by a successful exec.
    if read(status.as_raw_fd(), &mut report) == Ok(4) {
        // SAFETY: plain call; the child has ended.
        unsafe { libc::waitpid(pid, std::ptr::null_mut(), 0) };
        return Err(StartError { what: format!("cannot run {name}"), errno: i32::from_ne_bytes(report) });
    }
    Ok(pid)
}

unsafe fn child(monitor: i32, arguments: &[*const libc::c_char], stdio: [RawFd; 3], status: RawFd) -> ! {
    // Whatever happens to the monitor, no VMM stays behind without one.
    libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
    if libc::getppid() != monitor {
        libc::_exit(1);
    }
    for (target, &fd) in stdio.iter().enumerate() {
        libc::dup2(fd, target as i32);
    }
    let mut none: libc::sigset_t = std::mem::zeroed();
    libc::sigemptyset(&mut none);
    libc::sigprocmask(libc::SIG_SETMASK, &none, std::ptr::null_mut());
    // The standard library ignores it, and ignored signals are inherited.
    libc::signal(libc::SIGPIPE, libc::SIG_DFL);
    libc::execvp(arguments[0], arguments.as_ptr());
    let error = errno().to_ne_bytes();
    libc::write(status, error.as_ptr().cast(), error.len());
    libc::_exit(127);
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
    /// Copies output until the program ends, then writes down how.
    fn follow(&mut self) {
        loop {
            let entry = |fd: Option<RawFd>| libc::pollfd { fd: fd.unwrap_or(-1), events: libc::POLLIN, revents: 0 };
            let mut polled = [
                entry(Some(self.signals.as_raw_fd())),
                entry(self.console.as_ref().map(AsRawFd::as_raw_fd)),
                entry(self.messages.as_ref().map(AsRawFd::as_raw_fd)),
            ];
            // SAFETY: three entries. An error can only be an interruption.
            unsafe { libc::poll(polled.as_mut_ptr(), 3, -1) };
            if polled[1].revents != 0 {
                copy(&mut self.console, &mut self.console_log, 1);
            }
            if polled[2].revents != 0 {
                copy(&mut self.messages, &mut self.messages_log, 1);
            }
            if polled[0].revents != 0 {
                self.on_signals();
                if let Some(status) = self.ended() {
                    copy(&mut self.console, &mut self.console_log, REST_READS);
                    copy(&mut self.messages, &mut self.messages_log, REST_READS);
                    return self.exit.write(self.pid, status);
                }
            }
        }
    }

    fn on_signals(&self) {
        let mut info = [0u8; std::mem::size_of::<libc::signalfd_siginfo>()];
        while read(self.signals.as_raw_fd(), &mut info) == Ok(info.len()) {
            let signal = u32::from_ne_bytes([info[0], info[1], info[2], info[3]]) as i32;
            if signal == libc::SIGTERM || signal == libc::SIGINT {
                // SAFETY: plain call; it is not reaped yet, so the pid is the program's.
                unsafe { libc::kill(self.pid, signal) };
            }
        }
    }

    /// The wait status, if the program has ended.
    fn ended(&self) -> Option<i32> {
        let mut status = 0;
        // SAFETY: plain out parameter.
        let pid = unsafe { libc::waitpid(self.pid, &mut status, libc::WNOHANG) };
        (pid == self.pid).then_some(status)
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

/// The file that says how the program ended. Its space is taken at the start, so that a disk that is full by then
/// cannot lose the answer.
struct ExitFile {
    path: PathBuf,
    temporary: PathBuf,
    file: File,
}

/// Longer than any content.
const RESERVED: usize = 256;

impl ExitFile {
    fn reserve(path: &Path) -> std::io::Result<ExitFile> {
        let mut temporary = path.as_os_str().to_owned();
        temporary.push(".tmp");
        let temporary = PathBuf::from(temporary);
        // An earlier run's answer must not be taken for this one's.
        match fs::remove_file(path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .custom_flags(libc::O_NOFOLLOW)
            .open(&temporary)?;
        file.write_all(&[b' '; RESERVED])?;
        Ok(ExitFile { path: path.to_path_buf(), temporary, file })
    }

    /// Nothing ran: nothing is written down.
    fn release(&self) {
        let _ = fs::remove_file(&self.temporary);
    }

    fn write(&mut self, pid: i32, status: i32) {
        let number = |there: bool, value: i32| if there { value.to_string() } else { "null".into() };
        let code = number(libc::WIFEXITED(status), libc::WEXITSTATUS(status));
        let signal = number(libc::WIFSIGNALED(status), libc::WTERMSIG(status));
        let text = format!("{{\"pid\":{pid},\"code\":{code},\"signal\":{signal},\"at_ms\":{}}}\n", wall_ms());
        // There is nobody to tell about an error here: without the file, readers know that the monitor failed.
        let _ = self.file.seek(SeekFrom::Start(0));
        let _ = self.file.write_all(text.as_bytes());
        let _ = self.file.set_len(text.len() as u64);
        let _ = self.file.sync_data();
        let _ = fs::rename(&self.temporary, &self.path);
    }
}
