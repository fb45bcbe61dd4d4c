//! File systems that can hang, because another program or machine answers for them.

use std::ffi::CStr;

use crate::sys;

/// The mount table: poll(2) says POLLPRI when it changes.
pub const TABLE: &CStr = c"/proc/self/mounts";

/// File systems that only wait for memory and local disks.
const LOCAL: [&[u8]; 28] = [
    b"rootfs",
    b"ramfs",
    b"tmpfs",
    b"devtmpfs",
    b"devpts",
    b"proc",
    b"sysfs",
    b"cgroup",
    b"cgroup2",
    b"overlay",
    b"squashfs",
    b"erofs",
    b"ext2",
    b"ext3",
    b"ext4",
    b"xfs",
    b"btrfs",
    b"vfat",
    b"iso9660",
    b"mqueue",
    b"debugfs",
    b"tracefs",
    b"securityfs",
    b"configfs",
    b"bpf",
    b"hugetlbfs",
    b"binfmt_misc",
    b"nsfs",
];

/// True if a mount table (proc(5), mounts) has a file system that another program or machine answers for. Pure.
pub fn has_slow(table: &[u8]) -> bool {
    let kinds = table.split(|&b| b == b'\n').filter_map(|line| line.split(|&b| b == b' ').nth(2));
    kinds.into_iter().any(|kind| !LOCAL.contains(&kind))
}

/// True if one is mounted, or nobody can tell.
pub fn exist() -> bool {
    sys::read_file(TABLE, 1 << 20).map_or(true, |table| has_slow(&table))
}
