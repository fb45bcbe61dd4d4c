//! Which of a file system's two supplies is used up: one error number stands for both.

use std::ffi::CString;

use crate::sys;
use crate::wire::messages::Full;

/// TMPFS_MAGIC, linux/magic.h
const TMPFS: u32 = 0x0102_1994;

/// What is used up of the file system that a path is on, or would be on: space, unless there are no inodes.
pub fn what_is_full(path: &[u8]) -> Full {
    // What is not there yet would be in the nearest directory above that is.
    let above = path.iter().enumerate().rev().filter(|(_, &b)| b == b'/').map(|(at, _)| at.max(1));
    for end in [path.len()].into_iter().chain(above) {
        let Ok(part) = CString::new(&path[..end]) else { break };
        if let Ok(fs) = sys::statfs(&part) {
            return Full { no_inodes: fs.f_files > 0 && fs.f_ffree == 0, in_memory: fs.f_type as u32 == TMPFS };
        }
    }
    Full::default()
}
