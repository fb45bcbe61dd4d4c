//! Whether this machine is the agent's own.

/// Where the agent runs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Role {
    /// PID 1 of a machine of its own
    Init,
    /// an ordinary process, for tests: nothing of its host may be changed
    Guest,
}
