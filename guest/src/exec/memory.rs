//! What a cgroup's memory is used for, and when that leaves it no way on. Pure.
//!
//! A cgroup at its limit is not killed by the kernel as long as it has pages of files that can be thrown away: also when they
//! are those of its own programs, which are read again at once, and thrown away again, for minutes, with nothing else done.

use crate::sys::poller::Token;
use crate::sys::text::parse_decimal;
use crate::sys::Fd;

/// What must be left for files; less is a command that lives on pages which it reads again and again.
const FILES: u64 = 8 << 20;
/// Pages of files read again within one look that are too many: 2 MiB.
const READ_AGAIN: u64 = 512;
/// So many looks in a row find it so, before it is ended.
pub const LOOKS: u32 = 6;

/// A cgroup's memory at one moment.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct Usage {
    /// bytes that cannot be thrown away
    pub fixed: u64,
    /// pages of files that were thrown away and read again since the cgroup was made
    pub read_again: u64,
}

impl Usage {
    /// From the text of memory.stat.
    pub fn parse(stat: &[u8]) -> Usage {
        let mut usage = Usage::default();
        for line in stat.split(|&b| b == b'\n') {
            let Some(at) = line.iter().position(|&b| b == b' ') else { continue };
            let value = parse_decimal(&line[at + 1..]).unwrap_or(0);
            match &line[..at] {
                b"anon" | b"shmem" | b"kernel" => usage.fixed = usage.fixed.saturating_add(value),
                b"workingset_refault_file" => usage.read_again = value,
                _ => {}
            }
        }
        usage
    }

    /// Whether what a limit of `limit` bytes leaves for files is read again and again, since the look that found `read_again` before.
    pub fn is_stuck(&self, limit: u64, read_again: u64) -> bool {
        let room = limit.saturating_sub(self.fixed);
        room < FILES.min(limit / 8) && self.read_again.saturating_sub(read_again) >= READ_AGAIN
    }
}

/// How a cgroup was found at the last look.
pub struct Seen {
    pub process: u32,
    pub read_again: u64,
    /// looks in a row that found it stuck
    pub stuck: u32,
}

/// Whether commands are at the limit of their memory, and how they were found at the last look.
#[derive(Default)]
pub struct Pressure {
    /// memory.events of all commands together: urgent when one of them is at its limit
    pub events: Option<Fd>,
    /// while nobody is at a limit; else time brings the next look
    pub token: Option<Token>,
    pub look_at: Option<u64>,
    /// times that a limit was reached, at the last look
    pub reached: u64,
    pub seen: Vec<Seen>,
}
