//! How the program ended, for whoever asks later.

use std::fs::{self, File};
use std::io::{Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use crate::log::create;
use crate::sys::wall_ms;

/// The file that says how the program ended. Its space is taken at the start, so that a disk that is full by then
/// cannot lose the answer.
pub struct ExitFile {
    path: PathBuf,
    temporary: PathBuf,
    file: File,
    lasting: bool,
}

/// Longer than any content.
const RESERVED: usize = 256;

impl ExitFile {
    /// `lasting`: it is asked for even if the host loses its power right after the program's end. Writing to the disk at once takes 0.3 to 20 ms.
    pub fn reserve(path: &Path, lasting: bool) -> std::io::Result<ExitFile> {
        let mut temporary = path.as_os_str().to_owned();
        temporary.push(".tmp");
        let temporary = PathBuf::from(temporary);
        // An earlier run's answer must not be taken for this one's.
        match fs::remove_file(path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut file = create(&temporary)?;
        file.write_all(&[b' '; RESERVED])?;
        Ok(ExitFile { path: path.to_path_buf(), temporary, file, lasting })
    }

    /// Nothing ran: nothing is written down.
    pub fn release(&self) {
        let _ = fs::remove_file(&self.temporary);
    }

    pub fn write(&mut self, pid: i64, code: Option<i64>, signal: Option<i32>) {
        let number = |value: Option<i64>| value.map_or("null".into(), |value| value.to_string());
        let (code, signal) = (number(code), number(signal.map(i64::from)));
        let text = format!("{{\"pid\":{pid},\"code\":{code},\"signal\":{signal},\"at_ms\":{}}}\n", wall_ms());
        // There is nobody to tell about an error here: without the file, readers know that the monitor failed.
        let _ = self.file.seek(SeekFrom::Start(0));
        let _ = self.file.write_all(text.as_bytes());
        let _ = self.file.set_len(text.len() as u64);
        if self.lasting {
            let _ = self.file.sync_data();
        }
        let _ = fs::rename(&self.temporary, &self.path);
    }
}
