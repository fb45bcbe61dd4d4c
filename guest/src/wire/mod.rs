//! The protocol's bytes: frames, messages and tree records. Pure, and every decoder is fuzzed.

pub mod dns;
pub mod fuse;
pub mod hello;
pub mod messages;
pub mod tree;

pub use smolvm_wire::{fields, frame, host_mount, kept, known};

/// The agent's version.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");
