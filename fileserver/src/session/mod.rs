//! The connection to the guest's agent.

pub mod dial;
pub mod link;
