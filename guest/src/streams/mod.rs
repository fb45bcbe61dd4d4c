//! Sessions, their streams, and the bytes between a stream and the task that runs for it.

pub mod session;
pub mod source;
pub mod task;
