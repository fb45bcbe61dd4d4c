//! Pure: bytes in, values out.

pub mod fuse;
pub mod json;
pub mod messages;
pub mod scan;

pub use smolvm_wire::{fields, frame, host_mount, kept, known};

/// What HELLO says of this program.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");
