//! Finds the machine's disks: the host names each by the serial number of its virtio-blk device, or all of them, in the
//! order of their nodes, on the kernel's command line (Firecracker makes up the serial numbers itself).
//!
//! The user's own get the name that udev would give them: which of them is vdc and which is vdd depends on the machine.

use std::ffi::{CStr, CString};

use crate::sys;

/// Device nodes of the disks that are there.
#[derive(Default)]
pub struct Disks {
    pub base: Option<CString>,
    pub upper: Option<CString>,
    pub root: Option<CString>,
}

/// Looks for the disks. `order` holds the serial numbers of vda, vdb, ...; where it is empty, each disk knows its own.
pub fn find(order: &[Vec<u8>]) -> Disks {
    let mut disks = Disks::default();
    // SAFETY: opendir and readdir on a constant path; the entries are read before the next call.
    unsafe {
        let dir = libc::opendir(c"/sys/block".as_ptr());
        if dir.is_null() {
            return disks;
        }
        loop {
            let entry = libc::readdir(dir);
            if entry.is_null() {
                break;
            }
            let name = CStr::from_ptr((*entry).d_name.as_ptr()).to_bytes();
            if name.starts_with(b"vd") {
                disks.add(name, order);
            }
        }
        libc::closedir(dir);
    }
    disks
}

impl Disks {
    fn add(&mut self, name: &[u8], order: &[Vec<u8>]) {
        let serial = match order {
            [] => sys::read_file(&sys::path(&[b"/sys/block/", name, b"/serial"]), 64).unwrap_or_default(),
            _ => place(name).and_then(|place| order.get(place)).cloned().unwrap_or_default(),
        };
        let node = Some(sys::path(&[b"/dev/", name]));
        match serial.trim_ascii() {
            b"smolvm-base" => self.base = node,
            b"smolvm-upper" => self.upper = node,
            b"smolvm-root" => self.root = node,
            serial if is_users(serial) => link(name, serial),
            _ => {}
        }
    }
}

/// True for the serial number of a disk of the user's own.
fn is_users(serial: &[u8]) -> bool {
    let plain = |b: &u8| b.is_ascii_alphanumeric() || *b == b'-';
    serial.starts_with(b"extra-") && serial.iter().all(plain)
}

/// /dev/disk/by-id/virtio-SERIAL
fn link(name: &[u8], serial: &[u8]) {
    let target = sys::path(&[b"../../", name]);
    let place = sys::path(&[b"/dev/disk/by-id/virtio-", serial]);
    let made = sys::mkdir(c"/dev/disk", 0o755).and_then(|()| sys::mkdir(c"/dev/disk/by-id", 0o755)).and_then(|()| {
        // SAFETY: valid paths.
        sys::check(unsafe { libc::symlink(target.as_ptr(), place.as_ptr()) })
    });
    if let Err(error) = made {
        crate::sys::console::warn("cannot name a disk", error);
    }
}

/// The place of a disk's node among all: 0 for vda, 1 for vdb. Pure.
pub fn place(name: &[u8]) -> Option<usize> {
    match name {
        [b'v', b'd', letter @ b'a'..=b'z'] => Some(usize::from(letter - b'a')),
        _ => None,
    }
}
