//! Records of a tree on their way out.

use crate::errors::failure;
use crate::files::channels::{Channels, BUFFER};
use crate::sys::{self, Fd, Res};
use crate::wire::messages::Failure;
use crate::wire::tree::{put_data_header, put_end, MAX_DATA};

/// What is gathered until it is worth a write.
pub struct Records<'a> {
    channels: &'a Channels,
    pub out: Vec<u8>,
}

impl Records<'_> {
    pub fn new(channels: &Channels) -> Records<'_> {
        Records { channels, out: Vec::new() }
    }

    pub fn flush(&mut self) -> Result<(), Failure> {
        self.write().map_err(|e| failure(b"cannot send the tree", e))
    }

    pub fn flush_if_full(&mut self) -> Result<(), Failure> {
        if self.out.len() >= BUFFER {
            self.flush()?;
        }
        Ok(())
    }

    fn write(&mut self) -> Res<()> {
        sys::write_all(self.channels.output(), &self.out)?;
        self.out.clear();
        Ok(())
    }

    /// A file's content and its end. Returns how many bytes that was.
    pub fn content(&mut self, file: &Fd, size: u64) -> Res<u64> {
        let mut total = 0;
        loop {
            // The content is read to where it belongs, behind a header whose length is known only then: the header
            // of the longest record takes its place first.
            let start = self.out.len();
            put_data_header(&mut self.out, MAX_DATA);
            let header = self.out.len() - start;
            let n = sys::read_append(file.raw(), &mut self.out, MAX_DATA)?;
            if n < MAX_DATA {
                let mut exact = Vec::new();
                if n > 0 {
                    put_data_header(&mut exact, n);
                }
                self.out.splice(start..start + header, exact);
            }
            total += n as u64;
            if self.out.len() >= BUFFER {
                self.write()?;
            }
            // A short read ends a file of this size; files of /proc have none.
            if n == 0 || (n < MAX_DATA && total == size) {
                break;
            }
        }
        put_end(&mut self.out);
        Ok(total)
    }
}
