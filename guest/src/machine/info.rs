//! What `info` tells of the machine.

use std::ffi::CStr;

use crate::sys;
use crate::sys::text::parse_decimal;
use crate::wire::messages::Info;

/// The value in bytes of a line "Name:   123 kB" of /proc/meminfo.
fn meminfo(text: &[u8], name: &[u8]) -> u64 {
    let line = text.split(|&b| b == b'\n').find_map(|line| line.strip_prefix(name));
    let digits =
        line.and_then(|l| l.split(|&b| b == b' ').find(|field| !field.is_empty() && field[0].is_ascii_digit()));
    digits.and_then(parse_decimal).unwrap_or(0) * 1024
}

/// What `info` tells; the agent knows the boot's id and how many commands run.
pub fn read(boot_id: &[u8], processes: u32) -> Info {
    let (clock_s, clock_ns) = sys::clock(libc::CLOCK_REALTIME);
    let (up_s, up_ns) = sys::clock(libc::CLOCK_BOOTTIME);
    let memory = sys::read_file(c"/proc/meminfo", 4096).unwrap_or_default();
    let mut info = Info {
        boot_id: boot_id.to_vec(),
        processes,
        uptime_ms: up_s * 1000 + u64::from(up_ns) / 1_000_000,
        mem_total_bytes: meminfo(&memory, b"MemTotal:"),
        mem_available_bytes: meminfo(&memory, b"MemAvailable:"),
        clock_s,
        clock_ns,
        ..Info::default()
    };
    // SAFETY: both structures are plain out parameters, and uname's strings are NUL-terminated.
    unsafe {
        let mut names: libc::utsname = std::mem::zeroed();
        if libc::uname(&mut names) == 0 {
            info.kernel = CStr::from_ptr(names.release.as_ptr()).to_bytes().to_vec();
            info.hostname = CStr::from_ptr(names.nodename.as_ptr()).to_bytes().to_vec();
        }
        let mut disk: libc::statvfs = std::mem::zeroed();
        if libc::statvfs(c"/".as_ptr(), &mut disk) == 0 {
            info.disk_total_bytes = disk.f_blocks * disk.f_frsize;
            info.disk_free_bytes = disk.f_bavail * disk.f_frsize;
        }
    }
    info
}
