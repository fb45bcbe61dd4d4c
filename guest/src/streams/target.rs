//! What the loop waits for.

/// What a descriptor belongs to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Target {
    Signals,
    DeviceNodes,
    Mounts,
    /// cgroup.events of all commands, while they are being frozen
    Frozen,
    /// memory.events of all commands
    Memory,
    Listener(usize),
    /// connections that leave: 0 over IPv4, 1 over IPv6
    Door(usize),
    /// connections to a port that the host brought: which
    Brought(usize),
    /// the machine's addresses have changed
    Addresses,
    /// questions for the addresses of names
    ResolverUdp,
    ResolverTcp,
    /// one who asks over TCP, by its number
    ResolverClient(usize),
    Session(usize),
    /// a task's way in (channel 0)
    Sink(usize),
    /// a task's output: task, 0 for channel 1 or 1 for channel 2
    Source(usize, usize),
    /// the exec status or result pipe of a task
    Status(usize),
    /// a file worker that waits: its pid
    Waiting(i32),
    /// the cgroup of a task that was killed
    Group(usize),
    /// output that a finished command's background children still write
    Orphan(usize),
}

pub type Poller = crate::sys::poller::Poller<Target>;
pub type Event = crate::sys::poller::Event<Target>;
