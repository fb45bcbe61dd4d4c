//! Lines on the machine's console: the host reads them when a boot fails.

use crate::sys::{self, Errno};

fn line(parts: &[&[u8]]) {
    let mut text = b"smolvm-agent: ".to_vec();
    for part in parts {
        text.extend_from_slice(part);
    }
    text.push(b'\n');
    // Standard error is the console; a machine without one has nobody to tell.
    let _ = sys::write(2, &text);
}

/// A stage of the boot was reached.
pub fn stage(name: &str) {
    line(&[name.as_bytes()]);
}

/// Waits until the console's line has taken all that was written: a restart throws away what is still queued.
pub fn drain() {
    // SAFETY: plain call; it fails where standard error is no terminal.
    unsafe { libc::tcdrain(2) };
}

/// A stage failed; the machine restarts.
pub fn failed(stage: &str, reason: &[u8]) {
    line(&[b"FAILED ", stage.as_bytes(), b": ", reason]);
}

/// Something is wrong, and the agent goes on.
pub fn warn(what: &str, error: Errno) {
    line(&[b"warning: ", what.as_bytes(), b": ", error.text().as_bytes()]);
}
