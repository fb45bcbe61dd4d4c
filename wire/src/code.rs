//! Error codes of `Error.code` (protocol/PROTOCOL.md, section 2).

pub const INVALID: u32 = 1;
pub const NOT_FOUND: u32 = 2;
pub const EXISTS: u32 = 3;
pub const NOT_DIRECTORY: u32 = 4;
pub const IS_DIRECTORY: u32 = 5;
pub const NOT_EMPTY: u32 = 6;
pub const PERMISSION: u32 = 7;
pub const NO_SPACE: u32 = 8;
pub const IO: u32 = 9;
pub const UNSUPPORTED: u32 = 10;
pub const CANCELLED: u32 = 11;
pub const LIMIT: u32 = 12;
pub const NOT_EXECUTABLE: u32 = 13;
pub const TOO_LONG: u32 = 14;
pub const REFUSED: u32 = 15;
pub const UNREACHABLE: u32 = 16;
pub const NO_USER: u32 = 17;
pub const BUSY: u32 = 18;
pub const BAD_CWD: u32 = 19;
pub const RESET: u32 = 20;
pub const CROSS_DEVICE: u32 = 21;
pub const STOPPING: u32 = 22;
pub const CHANGED: u32 = 23;
