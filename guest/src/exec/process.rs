//! A command in the process table.

use crate::exec::ring::Ring;
use crate::sys::poller::{Poller, Token};
use crate::sys::Fd;
use crate::wire::messages::ProcessRecord;

/// How much of a command line the table remembers.
const ARGV_KEPT: usize = 4096;

pub struct Process {
    /// the agent's own number for it, never reused
    pub id: u32,
    pub pid: i32,
    pub argv: Vec<Vec<u8>>,
    pub user: Vec<u8>,
    pub started_s: u64,
    pub pty: bool,
    pub cgroup: Option<crate::exec::pool::Lease>,
    /// exit code and signal, once it was reaped
    pub exited: Option<(u32, u32)>,
    /// RESET asked for its end
    pub cancelled: bool,
    /// it was killed, and its answer waits for the end of all it started
    pub ending: Option<Ending>,
    /// output of a detached process
    pub ring: Option<Ring>,
    /// its host has left while the machine was held: it is detached for the copies' sake
    pub left: bool,
    /// position in the ring up to which the attached stream was served
    pub cursor: u64,
    pub dropped: u64,
    /// until its exec(2) is known to have worked
    pub starting: Option<Starting>,
    /// when its host is told that it runs, and its output is watched, in monotonic ms: until then it is left alone
    pub watch_at: Option<u64>,
}

/// A command between fork and exec.
pub struct Starting {
    /// closes when exec(2) works, else carries stage and error number
    pub status: Fd,
    pub token: Option<Token>,
    pub cwd: Vec<u8>,
}

/// The wait for the end of a killed command and all it started.
pub struct Ending {
    /// of its cgroup's events
    pub token: Option<Token>,
    /// when the answer is given all the same, in monotonic ms
    pub until: u64,
}

impl Process {
    /// The kernel says that none of its processes is left. Without a cgroup nobody can know.
    pub fn all_ended(&self) -> bool {
        self.cgroup.as_ref().is_some_and(|lease| lease.group.is_empty())
    }

    /// The end of a killed command is not waited for any longer.
    pub fn stop_waiting<T: Copy + PartialEq>(&mut self, poller: &mut Poller<T>) {
        let Some(token) = self.ending.take().and_then(|ending| ending.token) else { return };
        if let Some(lease) = &self.cgroup {
            poller.remove(&lease.group.events, token);
        }
    }

    /// A table entry's record for `process_list`.
    pub fn record(&self) -> ProcessRecord<'_> {
        let (exit_code, signal) = self.exited.unwrap_or((0, 0));
        ProcessRecord {
            process: self.id,
            pid: self.pid as u32,
            argv: &self.argv,
            running: self.exited.is_none(),
            exit_code,
            signal,
            detached: self.ring.is_some(),
            pty: self.pty,
            started_s: self.started_s,
            user: &self.user,
            processes: self.cgroup.as_ref().map_or(0, |lease| lease.group.count()),
        }
    }

    /// The oldest output still kept becomes the next to send; what fell out is counted.
    pub fn catch_up(&mut self) {
        if let Some(ring) = &self.ring {
            if self.cursor < ring.start() {
                self.dropped += ring.start() - self.cursor;
                self.cursor = ring.start();
            }
        }
    }
}

/// The part of a command line that the table keeps.
pub fn remember_argv(argv: &[&[u8]]) -> Vec<Vec<u8>> {
    let mut left = ARGV_KEPT;
    let mut kept = Vec::new();
    for arg in argv {
        if left == 0 {
            break;
        }
        let part = &arg[..arg.len().min(left)];
        left -= part.len().max(1).min(left);
        kept.push(part.to_vec());
    }
    kept
}
