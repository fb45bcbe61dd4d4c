//! Rights and limits.

use crate::sys::{check, check_long, Errno, Res};

/// The most memory, in bytes of addresses: what all bounds together come to, with room to spare.
const MAX_MEMORY: u64 = 3 << 30;
const LAST_CAPABILITY: libc::c_ulong = 63;

#[repr(C)]
struct CapabilityHeader {
    version: u32,
    pid: i32,
}

fn limit(which: libc::c_uint, soft: u64, hard: u64) -> Res<()> {
    let limit = libc::rlimit { rlim_cur: soft, rlim_max: hard };
    // SAFETY: the limit lives through the call.
    check_long(unsafe { libc::syscall(libc::SYS_prlimit64, 0, which, &raw const limit, 0) }).map(|_| ())
}

/// No capabilities, none to be had by anything executed, no dumps of memory, no debugger of the same user, and bounds. Returns how many files may be open at once.
pub fn set() -> Res<usize> {
    // SAFETY: plain calls; the structures are of the sizes that the kernel knows.
    unsafe {
        check(libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))?;
        check(libc::prctl(libc::PR_SET_DUMPABLE, 0, 0, 0, 0))?;
        libc::prctl(libc::PR_CAP_AMBIENT, libc::PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
        for capability in 0..=LAST_CAPABILITY {
            libc::prctl(libc::PR_CAPBSET_DROP, capability, 0, 0, 0);
        }
        const VERSION_3: u32 = 0x2008_0522;
        let header = CapabilityHeader { version: VERSION_3, pid: 0 };
        let none = [0u32; 6];
        check_long(libc::syscall(libc::SYS_capset, &raw const header, none.as_ptr()))?;
        // The modes of what is made are the guest's.
        libc::umask(0);
        libc::signal(libc::SIGPIPE, libc::SIG_IGN);
        libc::signal(libc::SIGXFSZ, libc::SIG_IGN);
    }
    // SAFETY: plain out parameter.
    let files = unsafe {
        let mut now: libc::rlimit = std::mem::zeroed();
        if libc::getrlimit(libc::RLIMIT_NOFILE, &mut now) != 0 {
            return Err(Errno::last());
        }
        now.rlim_max
    };
    limit(libc::RLIMIT_NOFILE as _, files, files)?;
    limit(libc::RLIMIT_CORE as _, 0, 0)?;
    limit(libc::RLIMIT_AS as _, MAX_MEMORY, MAX_MEMORY)?;
    Ok(usize::try_from(files).unwrap_or(usize::MAX))
}
