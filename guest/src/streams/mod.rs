//! Sessions, their streams, and the bytes between a stream and the task that runs for it.

pub mod pump;
pub mod session;
pub mod task;
