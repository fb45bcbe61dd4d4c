//! The end of a boot that does not work out.

use crate::sys::Errno;

/// A stage that failed, and why.
pub struct Failed {
    pub stage: &'static str,
    pub reason: Vec<u8>,
}

impl Failed {
    pub fn new(stage: &'static str, what: &[u8], error: Errno) -> Failed {
        Failed { stage, reason: [what, b": ", error.text().as_bytes()].concat() }
    }
}
