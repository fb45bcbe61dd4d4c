//! How a worker learns that its request was cancelled: SIGTERM sets a flag, and its input ends right after.

use std::sync::atomic::{AtomicBool, Ordering};

use crate::sys::check;

static ABORTED: AtomicBool = AtomicBool::new(false);

extern "C" fn on_term(_: libc::c_int) {
    ABORTED.store(true, Ordering::Relaxed);
}

/// True once the request was cancelled. To be asked at the end of input, before anything becomes final.
pub fn aborted() -> bool {
    ABORTED.load(Ordering::Relaxed)
}

/// In a fresh worker: SIGTERM interrupts and is remembered, a broken pipe is an error and no death.
pub fn prepare_worker() {
    // SAFETY: plain calls with initialised structures.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = on_term as *const () as usize;
        let _ = check(libc::sigaction(libc::SIGTERM, &action, std::ptr::null_mut()));
        action.sa_sigaction = libc::SIG_IGN;
        let _ = check(libc::sigaction(libc::SIGPIPE, &action, std::ptr::null_mut()));
        let mut none: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&mut none);
        let _ = check(libc::sigprocmask(libc::SIG_SETMASK, &none, std::ptr::null_mut()));
    }
}
