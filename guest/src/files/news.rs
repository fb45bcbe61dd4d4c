//! The events of a watch on their way out.

use crate::errors::failure;
use crate::files::channels::BUFFER;
use crate::sys;
use crate::wire::messages::{put_record, Change, Failure, FileEvent};

/// Events that were not sent yet.
pub struct News {
    output: i32,
    out: Vec<u8>,
    /// the path of the last event of this batch, if that was a change
    changed: Option<Vec<u8>>,
}

impl News {
    pub fn new(output: i32) -> News {
        News { output, out: Vec::new(), changed: None }
    }

    /// The channel that they go to.
    pub fn output(&self) -> i32 {
        self.output
    }

    /// From here on a change of the same file is told again.
    pub fn begin_batch(&mut self) {
        self.changed = None;
    }

    pub fn put(&mut self, change: Change, path: &[u8], from: &[u8], directory: bool) {
        // A command that writes much changes one file a thousand times.
        let same = change == Change::Changed && self.changed.as_deref() == Some(path);
        if same {
            return;
        }
        self.changed = (change == Change::Changed).then(|| path.to_vec());
        let mut record = Vec::new();
        FileEvent { change, path, from, directory }.encode(&mut record);
        put_record(&mut self.out, &record);
    }

    /// Tells what happened to an entry. One without a path is left out: nobody could be told of it.
    pub fn tell(&mut self, change: Change, path: Option<Vec<u8>>, directory: bool) -> Result<(), Failure> {
        if let Some(path) = path {
            self.put(change, &path, b"", directory);
        }
        if self.out.len() >= BUFFER {
            self.flush()?;
        }
        Ok(())
    }

    pub fn flush(&mut self) -> Result<(), Failure> {
        let result = sys::write_all(self.output, &self.out).map_err(|e| failure(b"cannot send events", e));
        self.out.clear();
        result
    }
}
