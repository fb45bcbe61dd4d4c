//! A log of bounded size: when the file is half as long as both may be together, it becomes FILE.1 and a new one
//! begins. A full disk loses bytes, never time: the VMM must not wait for its log.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

pub struct Log {
    path: PathBuf,
    previous: PathBuf,
    file: Option<File>,
    size: u64,
    half: u64,
}

fn create(path: &Path) -> std::io::Result<File> {
    OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).custom_flags(libc::O_NOFOLLOW).open(path)
}

impl Log {
    /// Begins a new file; one of an earlier run becomes FILE.1.
    pub fn begin(path: &Path, max_bytes: u64) -> std::io::Result<Log> {
        let mut previous = OsString::from(path);
        previous.push(".1");
        let previous = PathBuf::from(previous);
        if fs::symlink_metadata(path).is_ok_and(|found| found.len() > 0) {
            fs::rename(path, &previous)?;
        }
        let file = Some(create(path)?);
        Ok(Log { path: path.to_path_buf(), previous, file, size: 0, half: (max_bytes / 2).max(1) })
    }

    /// Appends what fits on the disk.
    pub fn append(&mut self, mut data: &[u8]) {
        while !data.is_empty() {
            if self.size >= self.half {
                self.rotate();
            }
            let part = data.len().min((self.half - self.size) as usize);
            let Some(file) = &mut self.file else {
                // The disk took no new file: try again with the next bytes, these are lost.
                self.file = create(&self.path).ok();
                self.size = 0;
                return;
            };
            match file.write(&data[..part]) {
                Ok(n) if n > 0 => {
                    self.size += n as u64;
                    data = &data[n..];
                }
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                _ => return,
            }
        }
    }

    fn rotate(&mut self) {
        self.file = None;
        // If it cannot be kept, it is overwritten: the bound comes first.
        let _ = fs::rename(&self.path, &self.previous);
        self.file = create(&self.path).ok();
        self.size = 0;
    }
}
