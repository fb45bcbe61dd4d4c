//! The disk that takes what is written: it grows at the start, and is read-only at the end.

use std::cell::Cell;

use crate::errors::failure;
use crate::sys::{self, check, Errno, Fd, Res};
use crate::wire::messages::{code, Failure};

/// The writable disk's file system.
#[derive(Default)]
pub struct Disk {
    /// its root directory, where it can be grown
    upper: Option<Fd>,
    /// the root directory of what lies below it
    base: Option<Fd>,
    /// the size that it was grown to last, in bytes: a machine that goes on from captured memory is told the same again
    grown: Cell<u64>,
}

impl Disk {
    pub fn new(upper: Option<Fd>, base: Option<Fd>) -> Disk {
        Disk { upper, base, grown: Cell::default() }
    }

    /// The root directories of both, where there are two: the disk's holds the difference in its directory `root`.
    pub fn layers(&self) -> Option<(&Fd, &Fd)> {
        self.upper.as_ref().zip(self.base.as_ref())
    }

    /// The descriptor of its root directory, where there is a disk.
    pub fn root(&self) -> Option<i32> {
        self.upper.as_ref().map(Fd::raw)
    }

    /// Grows its file system to the disk's size.
    pub fn grow(&self, bytes: u64) -> Result<(), Failure> {
        if self.grown.get() == bytes {
            return Ok(());
        }
        let upper = self.upper.as_ref();
        let upper = upper.ok_or_else(|| Failure::new(code::UNSUPPORTED, "the machine has no writable disk to grow"))?;
        grow_ext4(upper, bytes).map_err(|e| failure(b"cannot grow the disk's file system", e))?;
        self.grown.set(bytes);
        Ok(())
    }

    /// The last act on the disks: nothing writes to them any more. Run by a child that may hang.
    pub fn make_read_only(&self) {
        crate::machine::places::unmount_drives();
        let flags = libc::MS_REMOUNT | libc::MS_RDONLY;
        let _ = sys::mount(c"none", c"/", c"", flags, c"");
        if let Some(upper) = &self.upper {
            // The mount of the upper disk has no path any more, but its root is open.
            let _ = sys::mount(c"none", &sys::fd_path(upper.raw()), c"", flags, c"");
        }
    }
}

/// Grows a mounted ext4, named by a directory of it.
fn grow_ext4(upper: &Fd, bytes: u64) -> Res<()> {
    // _IOW('f', 16, __u64), fs/ext4/ext4.h: the new size in blocks
    const EXT4_IOC_RESIZE_FS: u64 = 0x4008_6610;
    // SAFETY: both structures are plain parameters.
    unsafe {
        let mut fs: libc::statfs = std::mem::zeroed();
        check(libc::fstatfs(upper.raw(), &mut fs))?;
        let blocks = bytes / fs.f_bsize as u64;
        let result = check(libc::ioctl(upper.raw(), EXT4_IOC_RESIZE_FS as _, &blocks));
        match result {
            Ok(_) => Ok(()),
            // File systems do not shrink: it may be as large already (what it counts is less its own tables).
            Err(Errno(libc::EINVAL)) if fs.f_blocks as u64 >= blocks / 4 * 3 => Ok(()),
            Err(error) => Err(error),
        }
    }
}
