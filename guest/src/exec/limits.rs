//! How much of the machine commands may take, all of them together and each. Pure.

use crate::wire::messages::Limits;

const MIB: u64 = 1 << 20;
/// Memory kept for the kernel, the agent and its file workers: a sixteenth, within these bounds.
const KEPT_MEMORY: (u64, u64) = (16 * MIB, 64 * MIB);
/// What a single command leaves of the memory of all: another must be able to start, and what the others have cached
/// must not have to go for one that takes everything.
const LEFT_MEMORY: u64 = 16 * MIB;

/// One command may have this part of the processes of all: a quarter is 690 with 512 MiB of memory, a tenth more than systemd gives
/// a service of such a machine, and three commands that have taken theirs leave as much to the next.
const SHARES: u32 = 4;
/// So many processes each may have, however few all may have together.
const FEW_PIDS: u32 = 32;
/// A command is started with a limit of so many at least: a shell and what it takes to look around.
const FEWEST_PIDS: u32 = 8;

/// What all commands of a machine may take together, when nobody asks for something else.
///
/// `threads`: the most that its kernel lets exist (kernel.threads-max); `total` and `free`: bytes of memory before
/// the first command.
pub fn of_all(threads: u32, total: u64, free: u64) -> Limits {
    let kept = (total / 16).clamp(KEPT_MEMORY.0, KEPT_MEMORY.1);
    Limits { pids: threads - threads / 4, memory: free.saturating_sub(kept).max(KEPT_MEMORY.0) }
}

/// The usual limits where nothing else was asked for: more processes if wanted, but not more memory than there is.
pub fn asked(usual: Limits, asked: Limits) -> Limits {
    Limits {
        pids: if asked.pids == 0 { usual.pids } else { asked.pids },
        memory: if asked.memory == 0 { usual.memory } else { asked.memory.min(usual.memory) },
    }
}

/// What one command may take of the limits of all: so much that others can still start beside it.
pub fn of_each(all: Limits) -> Limits {
    let pids = (all.pids / SHARES).max(all.pids.min(FEW_PIDS));
    Limits { pids, memory: all.memory - (all.memory / 8).min(LEFT_MEMORY) }
}

/// What the image's init may take, with all its services: as much memory as a command, and half of the processes of all.
pub fn of_init(all: Limits) -> Limits {
    Limits { pids: (all.pids / 2).max(of_each(all).pids), memory: 0 }
}

/// How many processes the next command may have, where `free` of those of all are left: half of them, if that is less than what
/// each may have. However many have taken all that they may, there is something left for one more.
pub fn of_next(each: u32, free: u32) -> u32 {
    each.min((free / 2).max(FEWEST_PIDS))
}
