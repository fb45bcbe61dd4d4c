//! `file_read`: a file's bytes on channel 1.

use std::ffi::CStr;

use crate::errors::{failed_at, failure};
use crate::files::channels::Channels;
use crate::files::info::FileStat;
use crate::files::mover::Mover;
use crate::sys::{self, Errno};
use crate::wire::fields::put_field;
use crate::wire::messages::file_kind::FILE;
use crate::wire::messages::{Failure, FileRequest, Outcome};

/// What is asked for at once; a pipe's whole capacity.
const STEP: usize = 65_536;
/// A file that is read before its host is told that it was opened; half a pipe.
const SMALL: u64 = 32_768;

pub fn read(request: &FileRequest, path: &CStr, channels: &Channels) -> Result<Outcome, Failure> {
    let fail = || failed_at("cannot read", request.path);
    let file = sys::open(path, libc::O_RDONLY | libc::O_NOCTTY).map_err(fail())?;
    let stat = FileStat::of_fd(file.raw()).map_err(fail())?;
    if stat.is_dir() {
        return Err(fail()(Errno(libc::EISDIR)));
    }
    if request.offset > 0 {
        let offset = request.offset.try_into().map_err(|_| fail()(Errno(libc::EINVAL)))?;
        // SAFETY: plain call.
        if unsafe { libc::lseek(file.raw(), offset, libc::SEEK_SET) } < 0 {
            return Err(fail()(Errno::last()));
        }
    }
    let mut opened = Vec::new();
    let mut info = Vec::new();
    stat.info(request.path, b"").encode(&mut info);
    put_field(&mut opened, 3, &info);
    // What the pipe takes for sure. Other files, and the kernel's, whose size is 0, may give their bytes when they like.
    if stat.kind() == FILE && (1..=SMALL).contains(&stat.size()) {
        channels.opened_soon(&opened);
    } else {
        channels.opened(&opened);
    }
    let mut moved = 0;
    let mut left = if request.length == 0 { u64::MAX } else { request.length };
    let mut mover = Mover::default();
    while left > 0 {
        if moved > SMALL {
            channels.tell(); // it has grown meanwhile
        }
        let want = left.min(STEP as u64) as usize;
        match mover.step(file.raw(), channels.output(), want) {
            Ok(0) => break,
            Ok(n) => {
                left -= n as u64;
                moved += n as u64;
            }
            // The stream was reset.
            Err(Errno(libc::EPIPE)) => break,
            Err(errno) => return Err(failure(&[b"cannot read '", request.path, b"' to its end"].concat(), errno)),
        }
    }
    Ok(Outcome::default())
}
