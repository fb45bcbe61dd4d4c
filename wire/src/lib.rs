//! The bytes of the agent protocol (protocol/PROTOCOL.md) that both of its ends have: the guest's agent, and the host's file server.
//! Pure: knows bytes, never descriptors.

pub mod code;
pub mod fields;
pub mod frame;
pub mod host_mount;
pub mod kept;
pub mod known;
pub mod start;
