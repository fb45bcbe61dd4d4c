//! Files by a directory's descriptor and one name. No call here follows a symbolic link.

use std::ffi::CStr;

use crate::sys::{append, check, check_long, Errno, Fd, Res};

/// What statx(2) says of a file.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Stat {
    pub dev: u64,
    pub ino: u64,
    pub mode: u32,
    pub nlink: u32,
    pub uid: u32,
    pub gid: u32,
    pub size: u64,
    pub blocks: u64,
    pub block_size: u32,
    pub atime: Time,
    pub mtime: Time,
    pub ctime: Time,
    /// when it was made; zero where the file system does not know
    pub born: Time,
}

/// Seconds and nanoseconds since 1970.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, PartialOrd, Ord)]
pub struct Time {
    pub s: i64,
    pub ns: u32,
}

impl Stat {
    /// The type's bits of the mode.
    pub fn kind(&self) -> u32 {
        self.mode & libc::S_IFMT
    }
}

fn time(time: libc::statx_timestamp) -> Time {
    Time { s: time.tv_sec, ns: time.tv_nsec }
}

fn statx(dir: i32, name: &CStr, flags: i32) -> Res<Stat> {
    let flags = flags | libc::AT_SYMLINK_NOFOLLOW | libc::AT_NO_AUTOMOUNT;
    // SAFETY: the name is NUL-terminated, and the result is plain data of the size that the kernel writes.
    let found = unsafe {
        let mut found: libc::statx = std::mem::zeroed();
        let mask = libc::STATX_BASIC_STATS | libc::STATX_BTIME;
        check_long(libc::syscall(libc::SYS_statx, dir, name.as_ptr(), flags, mask, &raw mut found))?;
        found
    };
    Ok(Stat {
        dev: u64::from(found.stx_dev_major) << 32 | u64::from(found.stx_dev_minor),
        ino: found.stx_ino,
        mode: found.stx_mode.into(),
        nlink: found.stx_nlink,
        uid: found.stx_uid,
        gid: found.stx_gid,
        size: found.stx_size,
        blocks: found.stx_blocks,
        block_size: found.stx_blksize,
        atime: time(found.stx_atime),
        mtime: time(found.stx_mtime),
        ctime: time(found.stx_ctime),
        born: time(found.stx_btime),
    })
}

/// The file of that name, itself.
pub fn stat_at(dir: i32, name: &CStr) -> Res<Stat> {
    statx(dir, name, 0)
}

/// The file behind a descriptor.
pub fn stat(fd: i32) -> Res<Stat> {
    statx(fd, c"", libc::AT_EMPTY_PATH)
}

/// Opens what has that name in a directory: never through a link, never outside of it, and nothing of what is mounted there.
pub fn open_beneath(dir: i32, name: &CStr, flags: i32, mode: u32) -> Res<Fd> {
    let known = if flags & libc::O_PATH == 0 { !0 } else { libc::O_PATH | libc::O_DIRECTORY };
    let flags = flags & known | libc::O_CLOEXEC | libc::O_NOFOLLOW;
    // SAFETY: all zeroes is one of these.
    let mut how: libc::open_how = unsafe { std::mem::zeroed() };
    how.flags = flags as u64;
    how.mode = u64::from(mode);
    how.resolve =
        libc::RESOLVE_BENEATH | libc::RESOLVE_NO_XDEV | libc::RESOLVE_NO_SYMLINKS | libc::RESOLVE_NO_MAGICLINKS;
    loop {
        let size = std::mem::size_of::<libc::open_how>();
        // SAFETY: the name is NUL-terminated, `how` lives through the call and is of that size.
        match check_long(unsafe { libc::syscall(libc::SYS_openat2, dir, name.as_ptr(), &raw const how, size) }) {
            Ok(fd) => return Ok(Fd::own(fd as i32)),
            Err(Errno(libc::EINTR | libc::EAGAIN)) => {}
            Err(error) => return Err(error),
        }
    }
}

/// Appends what the file has from `offset` on, at most `max` bytes.
pub fn read_at(fd: i32, buf: &mut Vec<u8>, max: usize, offset: u64) -> Res<usize> {
    // SAFETY: the memory is valid for its length.
    append(buf, max, |memory, length| unsafe { libc::pread(fd, memory, length, offset as i64) })
}

/// How a write is to be done.
#[derive(Clone, Copy, Default)]
pub struct WriteAs {
    /// at the end of the file, wherever that is by then
    pub at_end: bool,
    /// it is on the disk afterwards
    pub durable: bool,
}

/// Writes at `offset`, or at the end.
pub fn write_at(fd: i32, data: &[u8], offset: u64, how: WriteAs) -> Res<usize> {
    const RWF_DSYNC: libc::c_int = 2;
    const RWF_APPEND: libc::c_int = 16;
    let part = libc::iovec { iov_base: data.as_ptr().cast_mut().cast(), iov_len: data.len() };
    let flags = if how.at_end { RWF_APPEND } else { 0 } | if how.durable { RWF_DSYNC } else { 0 };
    loop {
        // SAFETY: the part is valid for its length.
        match check_long(unsafe { libc::syscall(libc::SYS_pwritev2, fd, &raw const part, 1, offset, 0, flags) }) {
            Err(Errno(libc::EINTR)) => continue,
            other => return other,
        }
    }
}

/// Fills `buf` with the next entries (struct linux_dirent64) of a directory; 0 at its end.
pub fn entries(fd: i32, buf: &mut Vec<u8>, max: usize) -> Res<usize> {
    buf.clear();
    append(buf, max, |memory, length| {
        // SAFETY: the memory is valid for its length.
        unsafe { libc::syscall(libc::SYS_getdents64, fd, memory, length) as isize }
    })
}

/// mkdirat(2)
pub fn make_directory(dir: i32, name: &CStr, mode: u32) -> Res<()> {
    // SAFETY: the name is NUL-terminated.
    check(unsafe { libc::mkdirat(dir, name.as_ptr(), mode) }).map(|_| ())
}

/// mknodat(2), of a file or a socket
pub fn make_node(dir: i32, name: &CStr, mode: u32) -> Res<()> {
    // SAFETY: the name is NUL-terminated.
    check(unsafe { libc::mknodat(dir, name.as_ptr(), mode, 0) }).map(|_| ())
}

/// symlinkat(2)
pub fn make_link(target: &CStr, dir: i32, name: &CStr) -> Res<()> {
    // SAFETY: both are NUL-terminated.
    check(unsafe { libc::symlinkat(target.as_ptr(), dir, name.as_ptr()) }).map(|_| ())
}

/// linkat(2): another name of the same file.
pub fn add_name(dir: i32, name: &CStr, to_dir: i32, to: &CStr) -> Res<()> {
    // SAFETY: both are NUL-terminated.
    check(unsafe { libc::linkat(dir, name.as_ptr(), to_dir, to.as_ptr(), 0) }).map(|_| ())
}

/// unlinkat(2), of a directory or of anything else
pub fn remove(dir: i32, name: &CStr, directory: bool) -> Res<()> {
    // SAFETY: the name is NUL-terminated.
    check(unsafe { libc::unlinkat(dir, name.as_ptr(), if directory { libc::AT_REMOVEDIR } else { 0 }) }).map(|_| ())
}

/// renameat2(2)
pub fn rename(dir: i32, name: &CStr, to_dir: i32, to: &CStr, flags: u32) -> Res<()> {
    // SAFETY: both are NUL-terminated.
    check_long(unsafe { libc::syscall(libc::SYS_renameat2, dir, name.as_ptr(), to_dir, to.as_ptr(), flags) })
        .map(|_| ())
}

/// readlinkat(2), by a descriptor of the link.
pub fn read_link(fd: i32) -> Res<Vec<u8>> {
    let mut text = Vec::new();
    append(&mut text, 4096, |memory, length| {
        // SAFETY: the memory is valid for its length.
        unsafe { libc::readlinkat(fd, c"".as_ptr(), memory.cast(), length) }
    })?;
    Ok(text)
}

/// ftruncate(2)
pub fn truncate(fd: i32, size: u64) -> Res<()> {
    loop {
        // SAFETY: plain call.
        match check(unsafe { libc::ftruncate(fd, size as i64) }) {
            Err(Errno(libc::EINTR)) => continue,
            other => return other.map(|_| ()),
        }
    }
}

/// A time to set: now, as it is, or one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum NewTime {
    Now,
    Omit,
    At(Time),
}

impl NewTime {
    fn timespec(self) -> libc::timespec {
        // SAFETY: all zeroes is one.
        let mut spec: libc::timespec = unsafe { std::mem::zeroed() };
        match self {
            NewTime::Now => spec.tv_nsec = libc::UTIME_NOW,
            NewTime::Omit => spec.tv_nsec = libc::UTIME_OMIT,
            NewTime::At(time) => {
                spec.tv_sec = time.s as _;
                spec.tv_nsec = time.ns as _;
            }
        }
        spec
    }
}

/// utimensat(2), by any descriptor of the file.
pub fn set_times(fd: i32, atime: NewTime, mtime: NewTime) -> Res<()> {
    let times = [atime.timespec(), mtime.timespec()];
    // SAFETY: two times; the path is empty.
    check_long(unsafe { libc::syscall(libc::SYS_utimensat, fd, c"".as_ptr(), times.as_ptr(), libc::AT_EMPTY_PATH) })
        .map(|_| ())
}

/// Changes the mode by a descriptor that names the file and no more (O_PATH). ENOSYS or EOPNOTSUPP: the kernel is older than Linux 6.6.
pub fn set_mode_of_path(fd: i32, mode: u32) -> Res<()> {
    const FCHMODAT2: libc::c_long = 452;
    // SAFETY: the path is empty.
    check_long(unsafe { libc::syscall(FCHMODAT2, fd, c"".as_ptr(), mode, libc::AT_EMPTY_PATH) }).map(|_| ())
}

/// fchmod(2), by a descriptor that was opened. EBADF: it was not. (The C library's would go by /proc then.)
pub fn set_mode(fd: i32, mode: u32) -> Res<()> {
    // SAFETY: plain call.
    check_long(unsafe { libc::syscall(libc::SYS_fchmod, fd, mode) }).map(|_| ())
}

/// fsync(2), or fdatasync(2)
pub fn sync(fd: i32, data_only: bool) -> Res<()> {
    // SAFETY: plain calls.
    check(unsafe {
        if data_only {
            libc::fdatasync(fd)
        } else {
            libc::fsync(fd)
        }
    })
    .map(|_| ())
}

/// fallocate(2)
pub fn allocate(fd: i32, mode: i32, offset: u64, length: u64) -> Res<()> {
    loop {
        // SAFETY: plain call.
        match check(unsafe { libc::fallocate(fd, mode, offset as i64, length as i64) }) {
            Err(Errno(libc::EINTR)) => continue,
            other => return other.map(|_| ()),
        }
    }
}

/// Where data or a hole begins (SEEK_DATA, SEEK_HOLE).
pub fn seek(fd: i32, offset: u64, whence: i32) -> Res<u64> {
    // SAFETY: plain call.
    let at = unsafe { libc::lseek(fd, offset as i64, whence) };
    if at < 0 {
        Err(Errno::last())
    } else {
        Ok(at as u64)
    }
}

/// copy_file_range(2)
pub fn copy_range(from: i32, from_offset: u64, to: i32, to_offset: u64, length: usize) -> Res<usize> {
    let (mut from_offset, mut to_offset) = (from_offset as i64, to_offset as i64);
    // SAFETY: both offsets live through the call.
    check_long(unsafe {
        libc::syscall(libc::SYS_copy_file_range, from, &raw mut from_offset, to, &raw mut to_offset, length, 0)
    })
}

/// The file system that a file is on.
pub fn file_system(fd: i32) -> Res<libc::statfs> {
    // SAFETY: plain out parameter.
    unsafe {
        let mut found: libc::statfs = std::mem::zeroed();
        check(libc::fstatfs(fd, &raw mut found))?;
        Ok(found)
    }
}

/// Appends an extended attribute's value.
pub fn attribute(fd: i32, name: &CStr, out: &mut Vec<u8>, max: usize) -> Res<usize> {
    // SAFETY: the name is NUL-terminated, the memory valid for its length.
    append(out, max, |memory, length| unsafe { libc::fgetxattr(fd, name.as_ptr(), memory, length) })
}

/// Appends the names of all extended attributes, each with its NUL.
pub fn attributes(fd: i32, out: &mut Vec<u8>, max: usize) -> Res<usize> {
    // SAFETY: the memory is valid for its length.
    append(out, max, |memory, length| unsafe { libc::flistxattr(fd, memory.cast(), length) })
}

/// fsetxattr(2)
pub fn set_attribute(fd: i32, name: &CStr, value: &[u8], flags: i32) -> Res<()> {
    // SAFETY: the name is NUL-terminated, the value valid for its length.
    check(unsafe { libc::fsetxattr(fd, name.as_ptr(), value.as_ptr().cast(), value.len(), flags) }).map(|_| ())
}

/// fremovexattr(2)
pub fn remove_attribute(fd: i32, name: &CStr) -> Res<()> {
    // SAFETY: the name is NUL-terminated.
    check(unsafe { libc::fremovexattr(fd, name.as_ptr()) }).map(|_| ())
}
