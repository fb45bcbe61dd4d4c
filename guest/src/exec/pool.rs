//! The cgroups of commands, in one of their own: the agent and the kernel's threads are outside, so what commands take
//! together is bounded, and they share the processor as commands, not as processes. Making and removing a cgroup costs
//! more than the rest of a small command, so those whose processes have all ended are used again.

use std::collections::VecDeque;
use std::ffi::CString;

use crate::exec::cgroup::Cgroup;
use crate::exec::limits;
use crate::sys::text::{decimal, parse_decimal};
use crate::sys::{self, Errno, Fd, Res};
use crate::wire::messages::Limits;

/// Groups kept for another command.
const KEEP: usize = 128;
/// What is switched on for commands, as far as the kernel has it.
const WANTED: [&str; 4] = ["cpu", "memory", "pids", "io"];

/// What there is of cgroup v2. Without it there are no limits, and commands are killed by session.
struct Groups {
    /// that of all commands
    all: Cgroup,
    controllers: Vec<&'static str>,
    /// how many processes there are of all
    current: Option<Fd>,
}

#[derive(Default)]
pub struct Pool {
    groups: Option<Groups>,
    /// what all may take when nobody asks for something else
    usual: Limits,
    limits: Limits,
    made: u32,
    used: VecDeque<Cgroup>,
    /// cgroups that commands have, or have left processes in
    lent: usize,
    /// with limits of their own: removed when they are empty
    leaving: Vec<(CString, Cgroup)>,
}

/// A command's cgroup.
pub struct Lease {
    pub group: Cgroup,
    /// of one that was made for limits of its own
    name: Option<CString>,
}

impl Pool {
    /// The commands' cgroup with its controllers and limits. `enabled`: this machine is the agent's.
    pub fn new(enabled: bool) -> Pool {
        let mut pool = Pool::default();
        if enabled {
            match open_groups() {
                Ok(groups) => {
                    pool.usual = groups.possible(usual_limits());
                    pool.groups = Some(groups);
                    if let Err(error) = pool.set_limits(pool.usual) {
                        sys::console::warn("cannot limit commands", error);
                    }
                }
                Err(error) => sys::console::warn("commands have no cgroups", error),
            }
        }
        pool
    }

    /// The cgroup of all commands.
    pub fn all(&self) -> Option<&Cgroup> {
        self.groups.as_ref().map(|groups| &groups.all)
    }

    /// The controllers that are on for commands.
    pub fn controllers(&self) -> &[&'static str] {
        self.groups.as_ref().map_or(&[], |groups| &groups.controllers)
    }

    /// What all commands may take together.
    pub fn limits(&self) -> Limits {
        self.limits
    }

    /// The name of a controller that these limits need and that is not there.
    pub fn lacks(&self, limits: Limits) -> Option<&'static str> {
        let has = |name| self.controllers().contains(&name);
        [("pids", limits.pids != 0), ("memory", limits.memory != 0)]
            .into_iter()
            .find_map(|(name, needed)| (needed && !has(name)).then_some(name))
    }

    /// Other limits for all commands together, instead of the machine's usual ones.
    pub fn limit_all(&mut self, asked: Limits) -> Res<()> {
        if asked.pids > self.usual.pids {
            // A quarter more, for the kernel's and the agent's own.
            let threads = decimal(u64::from(asked.pids) + u64::from(asked.pids / 4));
            sys::write_file(c"/proc/sys/kernel/threads-max", threads.as_bytes(), 0)?;
        }
        self.set_limits(limits::asked(self.usual, asked))?;
        // Those that wait for another command have the limits of before.
        self.used.clear();
        Ok(())
    }

    fn set_limits(&mut self, limits: Limits) -> Res<()> {
        let Some(groups) = &self.groups else { return Err(Errno(libc::EOPNOTSUPP)) };
        let limits = groups.possible(limits);
        groups.all.limit(limits)?;
        self.limits = limits;
        Ok(())
    }

    /// An empty cgroup, if there are any at all. One with limits of its own is made for the purpose: what an earlier command
    /// left in memory would count.
    pub fn take(&mut self, own: Limits) -> Option<Lease> {
        let own = Limits { pids: if own.pids == 0 { self.less_pids() } else { own.pids }, ..own };
        let limited = own != Limits::default();
        if !limited {
            if let Some(group) = self.used.pop_front() {
                self.lent += 1;
                return Some(Lease { group, name: None });
            }
        }
        let groups = self.groups.as_ref()?;
        self.made += 1;
        let name = CString::new(decimal(self.made.into()).as_bytes()).ok()?;
        let group = Cgroup::create(groups.all.dir(), &name).ok()?;
        let limits = groups.possible(limits::asked(limits::of_each(self.limits), own));
        if group.limit(limits).is_err() && limited {
            return None;
        }
        self.lent += 1;
        Some(Lease { group, name: limited.then_some(name) })
    }

    /// The next command's limit of processes, if the others have left so few that it must be lower than usual; else 0.
    fn less_pids(&self) -> u32 {
        let Some(current) = self.groups.as_ref().and_then(|groups| groups.current.as_ref()) else { return 0 };
        if self.lent == 0 || self.limits.pids == 0 {
            return 0;
        }
        let mut text = [0u8; 16];
        // SAFETY: the buffer is valid for its length.
        let n = unsafe { libc::pread(current.raw(), text.as_mut_ptr().cast(), text.len(), 0) };
        let Some(taken) = parse_decimal(text[..n.max(0) as usize].trim_ascii()) else { return 0 };
        let each = limits::of_each(self.limits).pids;
        let next = limits::of_next(each, self.limits.pids.saturating_sub(taken.min(u32::MAX.into()) as u32));
        if next < each {
            next
        } else {
            0
        }
    }

    /// Gives a finished command's cgroup back, in which nothing is left.
    pub fn give(&mut self, lease: Lease) {
        self.lent = self.lent.saturating_sub(1);
        match lease.name {
            Some(name) => {
                self.leaving.push((name, lease.group));
                self.remove_empty();
            }
            None => {
                // The one that was just left is warm.
                self.used.push_front(lease.group);
                self.used.truncate(KEEP);
            }
        }
    }

    fn remove_empty(&mut self) {
        let Some(groups) = &self.groups else { return };
        self.leaving.retain(|(name, _)| {
            // SAFETY: the name is NUL-terminated. One that is not empty stays until the next time.
            unsafe { libc::unlinkat(groups.all.dir().raw(), name.as_ptr(), libc::AT_REMOVEDIR) != 0 }
        });
    }
}

impl Groups {
    /// The limits that this kernel can keep.
    fn possible(&self, limits: Limits) -> Limits {
        let has = |name| self.controllers.contains(&name);
        Limits {
            pids: if has("pids") { limits.pids } else { 0 },
            memory: if has("memory") { limits.memory } else { 0 },
        }
    }
}

fn open_groups() -> Res<Groups> {
    let root = sys::open(c"/sys/fs/cgroup", libc::O_RDONLY | libc::O_DIRECTORY)?;
    let all = Cgroup::create(&root, c"smolvm")?;
    let there = sys::read_file(c"/sys/fs/cgroup/cgroup.controllers", 4096)?;
    let is_there = |name: &&str| there.trim_ascii().split(|&b| b == b' ').any(|word| word == name.as_bytes());
    let controllers: Vec<&'static str> = WANTED.into_iter().filter(is_there).collect();
    let on: Vec<u8> = controllers.iter().flat_map(|name| [b" +", name.as_bytes()].concat()).collect();
    let of_root = sys::openat(root.raw(), c"cgroup.subtree_control", libc::O_WRONLY, 0)?;
    sys::write(of_root.raw(), &on)?;
    all.write(c"cgroup.subtree_control", &on)?;
    let current = sys::openat(all.dir().raw(), c"pids.current", libc::O_RDONLY, 0).ok();
    Ok(Groups { all, controllers, current })
}

/// What this machine's commands may take together when nobody asks for something else.
fn usual_limits() -> Limits {
    let threads = sys::read_file(c"/proc/sys/kernel/threads-max", 32).unwrap_or_default();
    let threads = parse_decimal(threads.trim_ascii()).unwrap_or(0).min(u64::from(u32::MAX)) as u32;
    // SAFETY: plain out parameter.
    let (total, free) = unsafe {
        let mut info: libc::sysinfo = std::mem::zeroed();
        libc::sysinfo(&mut info);
        let unit = u64::from(info.mem_unit);
        (info.totalram * unit, info.freeram * unit)
    };
    limits::of_all(threads, total, free)
}
