//! File requests: what a forked child does on behalf of one.

pub mod abort;
pub mod channels;
pub mod copy;
pub mod copy_data;
pub mod entries;
pub mod full;
pub mod host_changes;
pub mod host_mount;
pub mod info;
pub mod inotify;
pub mod list;
pub mod mover;
pub mod news;
pub mod paths;
pub mod read;
pub mod remove;
pub mod request;
pub mod temporary;
pub mod times;
pub mod tree_read;
pub mod tree_write;
pub mod unchanged;
pub mod watch;
pub mod watch_tree;
pub mod watched;
pub mod write;
