//! A tap for a guest in the network namespace that its VMM is started in: made by the VMM's process itself before it becomes the VMM, which
//! gets it as an open descriptor and has no right to make another or to change this one's addresses. It is gone with the namespace.

use std::ffi::OsStr;
use std::fs::OpenOptions;
use std::net::Ipv4Addr;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};

use crate::sys::check;
use crate::tap::{interface_request, TUNSETIFF};

/// linux/if_tun.h
const TUNSETPERSIST: libc::c_ulong = 0x4004_54cb;

/// The descriptor by which the program has it: behind the one of `enter`.
pub const TAP_FD: RawFd = crate::enter::TELL_FD + 1;

pub struct GuestTap {
    name: Vec<u8>,
    /// the namespace's own address on it, the guest's gateway, and how many of its bits are the network's
    address: Ipv4Addr,
    bits: u32,
    mtu: i32,
    /// how fast packets may come to the guest; 0: as fast as they do
    bytes_per_second: u64,
}

/// "NAME,ADDRESS/BITS,MTU,BYTES_PER_SECOND"
pub fn parse(text: &OsStr) -> Option<GuestTap> {
    let mut parts = text.to_str()?.split(',');
    let (name, network, mtu, rate) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let (address, bits) = network.split_once('/')?;
    let bits: u32 = bits.parse().ok()?;
    let plain = name.bytes().all(|byte| byte.is_ascii_alphanumeric());
    let fits = plain && !name.is_empty() && name.len() < libc::IFNAMSIZ && (1..=32).contains(&bits);
    (fits && parts.next().is_none()).then_some(GuestTap {
        name: name.as_bytes().to_vec(),
        address: address.parse().ok()?,
        bits,
        mtu: mtu.parse().ok()?,
        bytes_per_second: rate.parse().ok()?,
    })
}

impl GuestTap {
    /// Makes it in this process's network namespace, and has that pass on packets. Without checksums or segments left to the host (no
    /// IFF_VNET_HDR): so the machine is the same as one whose card has QEMU's user-mode network behind it, and what was saved of
    /// one goes on as the other; and the kernel is told nothing by the guest but packets.
    pub fn make(&self) -> std::io::Result<OwnedFd> {
        let device = make_lasting(&self.name)?;
        let name = String::from_utf8_lossy(&self.name);
        // Only its own address is answered for, and IPv6 is not there (nor is it on some hosts at all).
        std::fs::write(format!("/proc/sys/net/ipv4/conf/{name}/arp_ignore"), "1")?;
        let _ = std::fs::write(format!("/proc/sys/net/ipv6/conf/{name}/disable_ipv6"), "1");
        // What is refused is said each time, not once in a second: the guest alone hears it (icmp(7); without kind 3 the default).
        let _ = std::fs::write("/proc/sys/net/ipv4/icmp_ratemask", "6160");
        std::fs::write("/proc/sys/net/ipv4/ip_forward", "1")?;
        self.set_up()?;
        if self.bytes_per_second > 0 {
            self.limit()?;
        }
        Ok(device)
    }

    fn limit(&self) -> std::io::Result<()> {
        let name = [self.name.as_slice(), b"\0"].concat();
        // SAFETY: a C string.
        let index = unsafe { libc::if_nametoindex(name.as_ptr().cast()) };
        crate::shape::limit(index, self.bytes_per_second).map_err(std::io::Error::from_raw_os_error)
    }

    fn set_up(&self) -> std::io::Result<()> {
        // SAFETY: plain call; the descriptor becomes ours.
        let socket = unsafe {
            let fd = check(libc::socket(libc::AF_INET, libc::SOCK_DGRAM | libc::SOCK_CLOEXEC, 0))
                .map_err(std::io::Error::from_raw_os_error)?;
            OwnedFd::from_raw_fd(fd)
        };
        let set = |call: libc::c_ulong, change: &dyn Fn(&mut libc::ifreq)| {
            let mut wanted = interface_request(&self.name);
            change(&mut wanted);
            request(socket.as_raw_fd(), call, &wanted)
        };
        let mask = Ipv4Addr::from(u32::MAX << (32 - self.bits));
        set(libc::SIOCSIFADDR as _, &|wanted| wanted.ifr_ifru.ifru_addr = socket_address(self.address))?;
        set(libc::SIOCSIFNETMASK as _, &|wanted| wanted.ifr_ifru.ifru_netmask = socket_address(mask))?;
        set(libc::SIOCSIFMTU as _, &|wanted| wanted.ifr_ifru.ifru_mtu = self.mtu)?;
        set(libc::SIOCSIFFLAGS as _, &|wanted| {
            wanted.ifr_ifru.ifru_flags = (libc::IFF_UP | libc::IFF_RUNNING) as libc::c_short;
        })
    }
}

/// Makes a tap in this process's network namespace that is there as long as that. Else the end of whoever has it open, for which the sandbox's owner
/// waits, takes the device down, and that waits for all processors (synchronize_net(), rcu_barrier()): 25 ms. So the kernel does it with the rest of
/// the namespace, later and by itself.
pub fn make_lasting(name: &[u8]) -> std::io::Result<OwnedFd> {
    let device = OpenOptions::new().read(true).write(true).open("/dev/net/tun")?;
    let mut tap = interface_request(name);
    tap.ifr_ifru.ifru_flags = (libc::IFF_TAP | libc::IFF_NO_PI) as libc::c_short;
    request(device.as_raw_fd(), TUNSETIFF as libc::c_ulong, &tap)?;
    // SAFETY: plain call.
    check(unsafe { libc::ioctl(device.as_raw_fd(), TUNSETPERSIST as _, 1) })
        .map_err(std::io::Error::from_raw_os_error)?;
    Ok(device.into())
}

fn request(fd: RawFd, call: libc::c_ulong, wanted: &libc::ifreq) -> std::io::Result<()> {
    // SAFETY: the request is initialised and lives as long as the call.
    let done = unsafe { libc::ioctl(fd, call as _, (&raw const *wanted) as libc::c_ulong) };
    check(done).map(|_| ()).map_err(std::io::Error::from_raw_os_error)
}

fn socket_address(address: Ipv4Addr) -> libc::sockaddr {
    // SAFETY: all of its members may be zero, and an IPv4 address is as large as any.
    unsafe {
        let mut any: libc::sockaddr = std::mem::zeroed();
        let ipv4 = (&raw mut any).cast::<libc::sockaddr_in>();
        (*ipv4).sin_family = libc::AF_INET as libc::sa_family_t;
        (*ipv4).sin_addr.s_addr = u32::from(address).to_be();
        any
    }
}
