//! Starting the program: a fork, and what its child does until it is the program.

use std::ffi::CString;
use std::fs::OpenOptions;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use crate::enter::TELL_FD;
use crate::guest_tap::{GuestTap, TAP_FD};
use crate::network::{Network, NO_TAP};
use crate::options::Options;
use crate::start_error::{failed, StartError};
use crate::sys::{check, errno, pipe, read};

/// Returns the pid of a child that has become the program. `ends`: its streams.
pub fn spawn(
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
pub fn open_members(cgroup: &Path) -> Result<OwnedFd, StartError> {
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
