//! The agent comes first: whatever commands do, it runs at once, and what it needs is there.

use std::ffi::CStr;

use crate::sys::{self, check};

/// nice(2)'s best: the agent sleeps unless there is something to do, and then nobody shall be before it.
const FIRST: i32 = -20;
/// SCHED_FLAG_RESET_ON_FORK, linux/sched.h: commands and workers start with the usual priority.
const RESET_ON_FORK: u64 = 1;

/// Tables of the kernel that all of root's processes share with the agent. They are so large that memory runs out
/// first, and that is the commands' own: what is in these tables is charged to whoever put it there.
const SHARED_TABLES: [(&CStr, &[u8]); 4] = [
    (c"/proc/sys/fs/epoll/max_user_watches", b"100000000"),
    (c"/proc/sys/fs/inotify/max_user_instances", b"65536"),
    (c"/proc/sys/fs/inotify/max_user_watches", b"1048576"),
    (c"/proc/sys/kernel/pty/max", b"65536"),
];

/// struct sched_attr of sched_setattr(2), first version.
#[repr(C)]
#[derive(Default)]
struct SchedAttr {
    size: u32,
    policy: u32,
    flags: u64,
    nice: i32,
    priority: u32,
    runtime: u64,
    deadline: u64,
    period: u64,
}

/// Puts the agent before everything else. What a kernel does not have is done without.
pub fn set_up() {
    let attributes = SchedAttr {
        size: std::mem::size_of::<SchedAttr>() as u32,
        policy: libc::SCHED_OTHER as u32,
        flags: RESET_ON_FORK,
        nice: FIRST,
        ..SchedAttr::default()
    };
    // SAFETY: the structure lives through the call.
    if let Err(error) = check(unsafe { libc::syscall(libc::SYS_sched_setattr, 0, &attributes, 0) } as i32) {
        sys::console::warn("the agent has no priority", error);
    }
    // Never swapped: its pages are locked as they are first used.
    let lock = libc::MCL_CURRENT | libc::MCL_FUTURE | libc::MCL_ONFAULT;
    // SAFETY: plain call.
    if let Err(error) = check(unsafe { libc::mlockall(lock) }) {
        sys::console::warn("the agent's memory is not locked", error);
    }
    for (file, value) in SHARED_TABLES {
        // A kernel without it has no such table.
        let _ = sys::write_file(file, value, 0);
    }
}
