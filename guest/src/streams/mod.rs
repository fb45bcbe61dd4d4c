//! Sessions, their streams, and the bytes between a stream and the task that runs for it.

pub mod ending;
pub mod flush;
pub mod keeping;
pub mod kept_mount;
pub mod mux;
pub mod orphans;
pub mod parting;
pub mod place;
pub mod pressure;
pub mod session;
pub mod sessions;
pub mod settle;
pub mod sink;
pub mod slab;
pub mod source;
pub mod stop;
pub mod suspension;
pub mod target;
pub mod task;
