//! Holes in files.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;

/// All of it is zeros.
pub fn is_zero(page: &[u8]) -> bool {
    // SAFETY: any bytes are a u64.
    let (before, words, after) = unsafe { page.align_to::<u64>() };
    words.iter().all(|&word| word == 0) && before.iter().chain(after).all(|&byte| byte == 0)
}

/// Makes a hole of zeros.
pub fn punch(target: &File, offset: u64, length: u64) -> io::Result<()> {
    let mode = libc::FALLOC_FL_PUNCH_HOLE | libc::FALLOC_FL_KEEP_SIZE;
    // SAFETY: plain call.
    if unsafe { libc::fallocate(target.as_raw_fd(), mode, offset as i64, length as i64) } == 0 {
        return Ok(());
    }
    target.write_all_at(&vec![0; length as usize], offset) // a file system without holes
}
