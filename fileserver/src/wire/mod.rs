//! Pure: bytes in, values out.

pub mod fields;
pub mod frame;
pub mod fuse;
pub mod json;
pub mod messages;
pub mod scan;

/// What HELLO says of this program.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");
