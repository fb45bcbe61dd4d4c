//! A copy of a sparse file that is as sparse: only what holds data is read and written, and where the file system can share
//! blocks between files (FICLONE, ioctl_ficlone(2)), not even that.

use crate::extents::data_after;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::Path;

/// _IOW(0x94, 9, int), linux/fs.h
const FICLONE: u64 = 0x4004_9409;

const CHUNK: usize = 1 << 20;

/// Copies `from` to `to`, which must not exist, or hold nothing. Returns an exit status; nothing is left on failure.
pub fn copy(from: &Path, to: &Path) -> i32 {
    let made = File::open(from).and_then(|source| Ok((source, create(to)?)));
    let done = made.and_then(|(source, target)| {
        let size = source.metadata()?.len();
        fill(&source, &target, size).inspect_err(|_| {
            let _ = std::fs::remove_file(to);
        })
    });
    match done {
        Ok(()) => 0,
        Err(error) => {
            eprintln!("{}: {error}", to.display());
            1
        }
    }
}

/// A new file, for its owner alone; or one that was made for what comes, and holds nothing yet: others may have opened it already.
pub fn create(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false).mode(0o600).custom_flags(libc::O_NOFOLLOW);
    let file = options.open(path)?;
    let about = file.metadata()?;
    if about.is_file() && about.blocks() == 0 {
        Ok(file)
    } else {
        Err(io::ErrorKind::AlreadyExists.into())
    }
}

/// Gives an empty file the content of another, and that size.
pub fn fill(source: &File, target: &File, size: u64) -> io::Result<()> {
    // SAFETY: plain call.
    if unsafe { libc::ioctl(target.as_raw_fd(), FICLONE as _, source.as_raw_fd()) } == 0 {
        return target.set_len(size);
    }
    target.set_len(size)?;
    let mut at = 0;
    while let Some((start, end)) = data_after(source, at)? {
        copy_range(source, target, start, end.min(size as i64))?;
        at = end;
        if at as u64 >= size {
            break;
        }
    }
    Ok(())
}

/// Copies a part of a file to the same place in another.
pub fn copy_range(source: &File, target: &File, start: i64, end: i64) -> io::Result<()> {
    let (mut from, mut to) = (start, start);
    while from < end {
        // SAFETY: in and out parameters.
        let n = unsafe {
            libc::copy_file_range(
                source.as_raw_fd(),
                &raw mut from,
                target.as_raw_fd(),
                &raw mut to,
                (end - from) as usize,
                0,
            )
        };
        match n {
            1.. => {}
            0 => return Ok(()), // the source has become shorter
            _ => return copy_bytes(source, target, from as u64, end as u64),
        }
    }
    Ok(())
}

/// Between file systems that the kernel does not copy between.
fn copy_bytes(source: &File, target: &File, mut at: u64, end: u64) -> io::Result<()> {
    let mut buffer = vec![0; CHUNK];
    while at < end {
        let wanted = CHUNK.min((end - at) as usize);
        let n = source.read_at(&mut buffer[..wanted], at)?;
        if n == 0 {
            return Ok(());
        }
        target.write_all_at(&buffer[..n], at)?;
        at += n as u64;
    }
    Ok(())
}
