//! The parts of a sparse file that hold data: Node cannot ask for holes (SEEK_DATA, lseek(2)).

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsRawFd;
use std::path::Path;

/// Prints a line `OFFSET LENGTH` for each part, in order. Returns an exit status.
pub fn print(path: &Path) -> i32 {
    match list(path, &mut io::stdout().lock()) {
        Ok(()) => 0,
        Err(error) => {
            eprintln!("{}: {error}", path.display());
            1
        }
    }
}

fn list(path: &Path, out: &mut impl Write) -> io::Result<()> {
    let file = File::open(path)?;
    let mut at = 0;
    while let Some((start, end)) = data_after(&file, at)? {
        writeln!(out, "{start} {}", end - start)?;
        at = end;
    }
    out.flush()
}

/// The next part with data, from its start to its end; None: there is no more of it.
pub fn data_after(file: &File, at: i64) -> io::Result<Option<(i64, i64)>> {
    let Some(start) = seek(file, at, libc::SEEK_DATA)? else { return Ok(None) };
    // There is a hole at the end of every file.
    Ok(Some((start, seek(file, start, libc::SEEK_HOLE)?.unwrap_or(start))))
}

/// Where the next data or hole begins; None: there is no more of it.
fn seek(file: &File, from: i64, whence: libc::c_int) -> io::Result<Option<i64>> {
    // SAFETY: plain call.
    let at = unsafe { libc::lseek(file.as_raw_fd(), from, whence) };
    if at >= 0 {
        return Ok(Some(at));
    }
    match io::Error::last_os_error() {
        error if error.raw_os_error() == Some(libc::ENXIO) => Ok(None),
        error => Err(error),
    }
}
