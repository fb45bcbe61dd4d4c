//! A command, from a request through clone3 to the signals that reach all it started.

pub mod cgroup;
pub mod init;
pub mod kill;
pub mod leftovers;
pub mod limits;
pub mod memory;
pub mod pool;
pub mod prepare;
pub mod process;
pub mod pty;
pub mod ring;
pub mod spawn;
pub mod step;
