//! What happens to a shared directory on the host: heard by inotify, compared with what the guest knows, and queued for it.

pub mod events;
pub mod follow;
pub mod queue;
pub mod watches;
