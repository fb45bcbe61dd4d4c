//! What a host can ask for, and the loop that answers.

pub mod agent;
pub mod commands;
pub mod forward;
pub mod listeners;
pub mod requests;
pub mod shutdown;
pub mod signals;
pub mod worker;
