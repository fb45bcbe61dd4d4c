//! The machine's end.

/// Restarts the machine; the VMM takes that as its end.
pub fn restart() -> ! {
    // SAFETY: plain calls. Should the kernel refuse, ending PID 1 makes it panic, which ends the machine too.
    unsafe {
        libc::reboot(libc::RB_AUTOBOOT);
        libc::_exit(1)
    }
}
