//! Signals to a command and everything it started.

use crate::exec::process::Process;
use crate::sys::text::{decimal, parse_decimal};
use crate::sys::{self, Errno, Res};

/// Rounds over /proc: what is forked during one is found in the next.
const ROUNDS: usize = 8;

/// Sends `signal` to all processes of a command: by its cgroup, else by its session.
pub fn tree(process: &Process, signal: i32) -> Res<()> {
    if let Some(group) = process.cgroup.as_ref().map(|lease| &lease.group) {
        if signal == libc::SIGKILL {
            if group.kill().is_ok() {
                return Ok(());
            }
        } else if group.signal(signal).is_ok() {
            return Ok(());
        }
    }
    session(process.pid, signal, process.exited.is_none())
}

/// Without cgroups: the process group, and all processes of the session in /proc.
fn session(leader: i32, signal: i32, alive: bool) -> Res<()> {
    let mut result = Err(Errno(libc::ESRCH));
    if alive {
        result = sys::kill(-leader, signal).or_else(|_| sys::kill(leader, signal));
    }
    for _ in 0..if signal == libc::SIGKILL { ROUNDS } else { 1 } {
        let members = members(leader);
        if members.iter().filter(|&&pid| pid != leader).count() == 0 {
            break;
        }
        for pid in members {
            if sys::kill(pid, signal).is_ok() {
                result = Ok(());
            }
        }
    }
    result
}

/// Pids whose session is `leader`.
fn members(leader: i32) -> Vec<i32> {
    let mut found = Vec::new();
    // SAFETY: opendir and readdir on a constant path; the entries are read before the next call.
    unsafe {
        let dir = libc::opendir(c"/proc".as_ptr());
        if dir.is_null() {
            return found;
        }
        loop {
            let entry = libc::readdir(dir);
            if entry.is_null() {
                break;
            }
            let name = std::ffi::CStr::from_ptr((*entry).d_name.as_ptr());
            if let Some(pid) = parse_decimal(name.to_bytes()) {
                if session_of(pid) == Some(leader) {
                    found.push(pid as i32);
                }
            }
        }
        libc::closedir(dir);
    }
    found
}

/// The session of a live process, from field 6 of /proc/PID/stat (proc(5)).
fn session_of(pid: u64) -> Option<i32> {
    let path = [b"/proc/", decimal(pid).as_bytes(), b"/stat"].concat();
    let stat = sys::read_file(&std::ffi::CString::new(path).ok()?, 1024).ok()?;
    // The name (field 2) may hold anything: the fields begin after the last ')'.
    let end = stat.iter().rposition(|&b| b == b')')?;
    let mut fields = stat[end + 1..].split(|&b| b == b' ').skip(1);
    let state = fields.next()?;
    if matches!(state, b"Z" | b"X") {
        return None;
    }
    parse_decimal(fields.nth(2)?).map(|id| id as i32)
}
