//! `run`: start the program, say its pid, follow it to its end.

use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use crate::exit_file::ExitFile;
use crate::follow::Running;
use crate::json::quote;
use crate::log::Log;
use crate::network::{Network, Streams};
use crate::options::Options;
use crate::spawn::{open_members, spawn};
use crate::start_error::{failed, StartError};
use crate::sys::{check, credential_pair, pipe, read, read_writer, set_nonblocking};

/// Bytes that the two files of the program's messages may hold together.
const STDERR_MAX_BYTES: u64 = 64 * 1024;

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

fn start(options: &Options) -> Result<Running, StartError> {
    detach(options)?;
    let console_log = Log::begin(&options.console, options.max_bytes)
        .map_err(|e| failed(format!("cannot write {}", options.console.display()))(e.raw_os_error().unwrap_or(0)))?;
    let messages_log = Log::begin(&options.stderr, STDERR_MAX_BYTES)
        .map_err(|e| failed(format!("cannot write {}", options.stderr.display()))(e.raw_os_error().unwrap_or(0)))?;
    // What dies with its parent is removed by whoever finds it without one: nobody asks then how it ended.
    let exit = ExitFile::reserve(&options.exit, !options.die_with_parent)
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

/// Becomes a process that nobody but its parent, if that is asked, ends by ending.
fn detach(options: &Options) -> Result<(), StartError> {
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
    Ok(())
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
