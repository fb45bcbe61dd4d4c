//! What a host can ask for, and the loop that answers.

pub mod agent;
pub mod children;
pub mod commands;
pub mod deadlines;
pub mod door;
pub mod event_loop;
pub mod forward;
pub mod hold;
pub mod hold_state;
pub mod host_keys;
pub mod host_mounts;
pub mod identity;
pub mod input;
pub mod listeners;
pub mod processes;
pub mod requests;
pub mod resolver;
pub mod shutdown;
pub mod signals;
pub mod waiting;
pub mod worker;
