//! `own-tap`: gives a tap that is there to a user, who may open it then (tuntap.txt of the kernel's documentation).

use std::ffi::OsString;
use std::fs::OpenOptions;
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;

/// _IOW('T', 202, int) and _IOW('T', 204, int) of linux/if_tun.h
pub const TUNSETIFF: u64 = 0x4004_54ca;
const TUNSETOWNER: u64 = 0x4004_54cc;

pub fn parse(mut args: impl Iterator<Item = OsString>) -> Option<(Vec<u8>, u32)> {
    let (name, uid) = (args.next()?, args.next()?);
    let name = name.as_bytes().to_vec();
    // With a NUL behind it; the kernel makes names of such with a % in them.
    let fits = !name.is_empty() && name.len() < libc::IFNAMSIZ && !name.contains(&b'%');
    let uid = uid.to_str()?.parse().ok()?;
    (fits && args.next().is_none()).then_some((name, uid))
}

/// Returns the exit status.
pub fn own(name: &[u8], uid: u32) -> i32 {
    match change(name, uid) {
        Ok(()) => 0,
        Err(error) => {
            eprintln!("smolvm-monitor: {}: {error}", String::from_utf8_lossy(name));
            1
        }
    }
}

/// One that names an interface, and has all else still to be said.
pub fn interface_request(name: &[u8]) -> libc::ifreq {
    // SAFETY: all of its members may be zero; a name that fits ends in a NUL.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (to, &from) in request.ifr_name.iter_mut().zip(name) {
        *to = from as libc::c_char;
    }
    request
}

fn change(name: &[u8], uid: u32) -> std::io::Result<()> {
    // One that is not there would be made.
    std::fs::metadata(std::path::Path::new("/sys/class/net").join(std::ffi::OsStr::from_bytes(name)))?;
    let device = OpenOptions::new().read(true).write(true).open("/dev/net/tun")?;
    // SAFETY: the request is initialised and lives as long as the calls; its name ends in a NUL.
    unsafe {
        let mut request = interface_request(name);
        request.ifr_ifru.ifru_flags = (libc::IFF_TAP | libc::IFF_NO_PI) as libc::c_short;
        for (call, value) in
            [(TUNSETIFF, (&raw const request) as libc::c_ulong), (TUNSETOWNER, libc::c_ulong::from(uid))]
        {
            if libc::ioctl(device.as_raw_fd(), call as _, value) < 0 {
                return Err(std::io::Error::last_os_error());
            }
        }
    }
    Ok(())
}
