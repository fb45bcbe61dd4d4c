//! The kernel's file systems, and what to know of the others.

use std::ffi::CStr;

use crate::boot::failed::Failed;
use crate::sys::{self, Errno, Res};

const SAFE: libc::c_ulong = libc::MS_NOSUID | libc::MS_NODEV | libc::MS_NOEXEC;

fn mount(kind: &CStr, target: &CStr, flags: libc::c_ulong, data: &CStr) -> Res<()> {
    sys::mkdir(target, 0o755)?;
    match sys::mount(kind, target, kind, flags, data) {
        Err(Errno(libc::EBUSY)) => Ok(()), // there already
        other => other,
    }
}

/// What the boot itself needs.
pub fn early() -> Result<(), Failed> {
    let fail = |what: &'static [u8]| move |e| Failed::new("init", what, e);
    mount(c"devtmpfs", c"/dev", libc::MS_NOSUID, c"mode=0755,size=4m").map_err(fail(b"cannot mount /dev"))?;
    mount(c"proc", c"/proc", SAFE, c"").map_err(fail(b"cannot mount /proc"))?;
    mount(c"sysfs", c"/sys", SAFE, c"").map_err(fail(b"cannot mount /sys"))
}

/// What commands expect, in the final root, as a booted Debian has it. One that fails is missed only by who uses it. What is in
/// memory may take half of it, all together, so that full ones leave commands enough to run and to clean up.
pub fn late() {
    let note = |what: &str, result: Res<()>| {
        if let Err(error) = result {
            crate::sys::console::warn(what, error);
        }
    };
    const TEMPORARY: libc::c_ulong = libc::MS_NOSUID | libc::MS_NODEV;
    // Terminals belong to the group tty (5 on every Linux), which write(1) and wall(1) are set to.
    let devpts = c"mode=620,gid=5";
    note("cannot mount /dev/pts", mount(c"devpts", c"/dev/pts", libc::MS_NOSUID | libc::MS_NOEXEC, devpts));
    note("cannot mount /dev/shm", mount(c"tmpfs", c"/dev/shm", TEMPORARY, c"mode=1777,size=40%"));
    note("cannot mount /run", mount(c"tmpfs", c"/run", TEMPORARY, c"mode=0755,size=10%"));
    // Of its own, so that who may lock cannot fill /run.
    note("cannot mount /run/lock", mount(c"tmpfs", c"/run/lock", SAFE, c"mode=1777,size=5m"));
    note("cannot mount /dev/mqueue", mount(c"mqueue", c"/dev/mqueue", SAFE, c""));
    note("cannot mount /sys/fs/cgroup", mount(c"cgroup2", c"/sys/fs/cgroup", SAFE, c""));
    for (target, link) in [
        (c"/proc/self/fd", c"/dev/fd"),
        (c"/proc/self/fd/0", c"/dev/stdin"),
        (c"/proc/self/fd/1", c"/dev/stdout"),
        (c"/proc/self/fd/2", c"/dev/stderr"),
        (c"/proc/kcore", c"/dev/core"),
    ] {
        // SAFETY: constant paths; one that exists stays.
        unsafe { libc::symlink(target.as_ptr(), link.as_ptr()) };
    }
    make_tmp();
    // Mounts of a namespace's parent are seen in it, as systemd sets it up: containers' tools count on that.
    note("cannot share mounts", sys::mount(c"", c"/", c"", libc::MS_REC | libc::MS_SHARED, c""));
}

fn make_tmp() {
    for dir in [c"/tmp", c"/var/tmp"] {
        // SAFETY: constant paths.
        unsafe {
            if libc::mkdir(dir.as_ptr(), 0o1777) == 0 {
                libc::chmod(dir.as_ptr(), 0o1777); // mkdir's mode is less the umask
            }
        }
    }
}
