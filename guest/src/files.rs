//! File requests, run in a worker. (First part: to be completed.)

use crate::messages::{code, Failure, FileRequest, Outcome};
use crate::worker::Channels;

/// Does what the request says.
pub fn run(_request: &FileRequest, _channels: &Channels) -> Result<Outcome, Failure> {
    Err(Failure::new(code::UNSUPPORTED, "files are not built yet"))
}
