//! Commands at the limit of their memory: those that only read their own programs again and again are ended as the kernel ends
//! those for which it finds no memory, by one process.

use crate::exec::cgroup::{self, Cgroup};
use crate::exec::memory::{Seen, Usage, LOOKS};
use crate::streams::mux::Mux;
use crate::streams::target::Target;
use crate::sys::poller::PRI;
use crate::sys::{self, console, Errno};

/// Between two looks, in ms.
const LOOK_MS: u64 = 500;
/// Stands for all commands together among their numbers, which begin at 1.
const ALL: u32 = 0;

/// Waits for a command that reaches its limit, if this kernel has limits of memory.
pub fn watch(mux: &mut Mux) {
    let pressure = &mut mux.pressure;
    if pressure.events.is_none() {
        pressure.events = mux.cgroups.all().and_then(|all| all.open(c"memory.events").ok());
    }
    if let Some(events) = &pressure.events {
        pressure.reached = cgroup::value(events, b"max").unwrap_or(0);
        pressure.token = mux.poller.add(events, PRI, Target::Memory).ok();
    }
}

/// A limit was reached. It is looked at now and then from here on: the kernel would tell a hundred times a second.
pub fn on_reached(mux: &mut Mux) {
    let pressure = &mut mux.pressure;
    if let (Some(events), Some(token)) = (&pressure.events, pressure.token.take()) {
        mux.poller.remove(events, token);
        pressure.look_at = Some(sys::now_ms() + LOOK_MS);
    }
}

/// Looks at every command; if none has reached a limit since the last look, that was it.
pub fn look(mux: &mut Mux) {
    let pressure = &mut mux.pressure;
    pressure.look_at = None;
    let reached = pressure.events.as_ref().and_then(|events| cgroup::value(events, b"max")).unwrap_or(0);
    if reached == std::mem::replace(&mut pressure.reached, reached) {
        pressure.seen = Vec::new();
        return watch(mux);
    }
    pressure.look_at = Some(sys::now_ms() + LOOK_MS);
    let before = std::mem::take(&mut pressure.seen);
    let mut seen = Vec::new();
    let mut victim = None;
    for (process, group) in groups(mux) {
        let Some((limit, usage)) = full(group) else { continue };
        let last = before.iter().find(|seen| seen.process == process);
        let stuck = match last {
            Some(last) if usage.is_stuck(limit, last.read_again) => last.stuck + 1,
            _ => 0,
        };
        if stuck >= LOOKS && victim.is_none() {
            victim = largest(mux, process, group);
        }
        seen.push(Seen { process, read_again: usage.read_again, stuck });
    }
    if let Some(pid) = victim {
        // It may have ended in between. What it had is the others' now: they get time to go on.
        let _ = sys::kill(pid, libc::SIGKILL);
        console::warn(
            "a command read its own programs again and again: its largest process was killed",
            Errno(libc::ENOMEM),
        );
        seen.clear();
    }
    mux.pressure.seen = seen;
}

/// The cgroups of commands, also of those that have ended and left something behind, and that of all.
fn groups(mux: &Mux) -> impl Iterator<Item = (u32, &Cgroup)> {
    let each = mux.tasks.iter().filter_map(|(_, task)| task.process()).chain(mux.leftovers.iter());
    let each = each.filter_map(|process| process.cgroup.as_ref().map(|lease| (process.id, &lease.group)));
    each.chain(mux.cgroups.all().map(|all| (ALL, all)))
}

/// Limit and use of a cgroup that has nearly reached its limit. Most have not, and what they use costs more to ask.
fn full(group: &Cgroup) -> Option<(u64, Usage)> {
    let limit = group.number(c"memory.max")?;
    if group.number(c"memory.current")? < limit - limit / 8 {
        return None;
    }
    Some((limit, Usage::parse(&group.read(c"memory.stat").ok()?)))
}

/// The process that the kernel would take: of one command, or of all.
fn largest(mux: &Mux, process: u32, group: &Cgroup) -> Option<i32> {
    if process != ALL {
        return group.largest();
    }
    let each = groups(mux).filter(|(id, _)| *id != ALL).filter_map(|(_, group)| group.largest());
    each.max_by_key(|&pid| cgroup::badness(pid))
}
