//! File requests: what a forked child does on behalf of one.

pub mod abort;
pub mod info;
pub mod read;
pub mod remove;
pub mod request;
pub mod tree_read;
pub mod tree_write;
pub mod watch;
pub mod watched;
pub mod write;
