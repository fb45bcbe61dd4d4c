//! A log of bounded size: when the file is half as long as both may be together, it becomes FILE.1 and a new one
//! begins. A full disk loses bytes, never time: the VMM must not wait for its log.
//!
//! FILE.at says where the present file begins among all bytes since the log began, and which file that is: "OFFSET INODE".
//! A reader that fell behind by more than the two files learns from it how much it has missed. It is there from the first
//! change of files on.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

pub use crate::sys::create;
use crate::sys::file_id;

pub struct Log {
    path: PathBuf,
    previous: PathBuf,
    at: PathBuf,
    file: Option<File>,
    /// where the present file begins
    offset: u64,
    size: u64,
    half: u64,
}

impl Log {
    /// Begins a new file; one of an earlier run becomes FILE.1.
    pub fn begin(path: &Path, max_bytes: u64) -> std::io::Result<Log> {
        let beside = |suffix: &str| {
            let mut name = OsString::from(path);
            name.push(suffix);
            PathBuf::from(name)
        };
        let (previous, at) = (beside(".1"), beside(".at"));
        let _ = fs::remove_file(&at); // an earlier run's
        if fs::symlink_metadata(path).is_ok_and(|found| found.len() > 0) {
            fs::rename(path, &previous)?;
        }
        let file = Some(create(path)?);
        Ok(Log { path: path.to_path_buf(), previous, at, file, offset: 0, size: 0, half: (max_bytes / 2).max(1) })
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
                self.begin_next();
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
        self.begin_next();
    }

    fn begin_next(&mut self) {
        self.file = create(&self.path).ok();
        self.offset += self.size;
        self.size = 0;
        if let Some(inode) = self.file.as_ref().and_then(file_id) {
            // Without it a reader cannot tell what it has missed; that is all.
            let _ = fs::write(&self.at, format!("{} {inode}\n", self.offset));
        }
    }
}
