//! statx(2) as the protocol's FileInfo.

use std::ffi::CStr;

use crate::sys::{check, Res};
use crate::wire::messages::file_kind::{BLOCK_DEVICE, CHARACTER_DEVICE, DIRECTORY, FIFO, FILE, OTHER, SOCKET, SYMLINK};
use crate::wire::messages::{FileInfo, Outcome, Version};

/// What statx(2) said.
pub struct FileStat(libc::statx);

impl FileStat {
    pub fn of(dir: i32, path: &CStr, follow: bool) -> Res<FileStat> {
        FileStat::get(dir, path, if follow { 0 } else { libc::AT_SYMLINK_NOFOLLOW })
    }

    pub fn of_fd(fd: i32) -> Res<FileStat> {
        FileStat::get(fd, c"", libc::AT_EMPTY_PATH)
    }

    fn get(dir: i32, path: &CStr, flags: i32) -> Res<FileStat> {
        let wanted = libc::STATX_BASIC_STATS | libc::STATX_BTIME;
        // SAFETY: the path is NUL-terminated, the structure a plain out parameter.
        unsafe {
            let mut stat: libc::statx = std::mem::zeroed();
            check(libc::statx(dir, path.as_ptr(), flags, wanted, &mut stat)).map(|_| FileStat(stat))
        }
    }

    pub fn kind(&self) -> u32 {
        match u32::from(self.0.stx_mode) & libc::S_IFMT {
            libc::S_IFREG => FILE,
            libc::S_IFDIR => DIRECTORY,
            libc::S_IFLNK => SYMLINK,
            libc::S_IFIFO => FIFO,
            libc::S_IFSOCK => SOCKET,
            libc::S_IFCHR => CHARACTER_DEVICE,
            libc::S_IFBLK => BLOCK_DEVICE,
            _ => OTHER,
        }
    }

    pub fn is_dir(&self) -> bool {
        self.kind() == DIRECTORY
    }

    pub fn is_symlink(&self) -> bool {
        self.kind() == SYMLINK
    }

    pub fn mode(&self) -> u32 {
        u32::from(self.0.stx_mode) & 0o7777
    }

    pub fn size(&self) -> u64 {
        self.0.stx_size
    }

    pub fn owner(&self) -> (u32, u32) {
        (self.0.stx_uid, self.0.stx_gid)
    }

    /// Device and inode: which file it is.
    pub fn identity(&self) -> (u64, u64) {
        (u64::from(self.0.stx_dev_major) << 32 | u64::from(self.0.stx_dev_minor), self.0.stx_ino)
    }

    /// How many names it has.
    pub fn links(&self) -> u32 {
        self.0.stx_nlink
    }

    /// Of a device: its major and minor number.
    pub fn device(&self) -> (u32, u32) {
        (self.0.stx_rdev_major, self.0.stx_rdev_minor)
    }

    /// When anything of it was changed last.
    pub fn ctime(&self) -> (u64, u32) {
        (seconds(&self.0.stx_ctime), self.0.stx_ctime.tv_nsec)
    }

    /// When its content was changed last.
    pub fn mtime(&self) -> (u64, u32) {
        (seconds(&self.0.stx_mtime), self.0.stx_mtime.tv_nsec)
    }

    /// Inode, size and times: that of the last change of anything, which nobody can set, is as good as the clock's ticks, some ms.
    pub fn version(&self) -> Version {
        let of = |time: &libc::statx_timestamp| {
            (time.tv_sec as u64).wrapping_mul(1_000_000_000).wrapping_add(time.tv_nsec.into())
        };
        let stat = &self.0;
        let values = [stat.stx_ino, stat.stx_size, of(&stat.stx_ctime), of(&stat.stx_mtime)];
        let mut version = Version::default();
        for (part, value) in version.chunks_exact_mut(8).zip(values) {
            part.copy_from_slice(&value.to_le_bytes());
        }
        version
    }

    /// A symlink's target, empty for everything else.
    pub fn target(&self, dir: i32, path: &CStr) -> Vec<u8> {
        if !self.is_symlink() {
            return Vec::new();
        }
        let mut target = vec![0u8; 4096];
        // SAFETY: the path is NUL-terminated, the buffer valid for its length.
        let n = unsafe { libc::readlinkat(dir, path.as_ptr(), target.as_mut_ptr().cast(), target.len()) };
        target.truncate(n.max(0) as usize);
        target
    }

    /// What an entry of a tree carries.
    pub fn tree_info<'a>(&self, path: &'a [u8], target: &'a [u8]) -> FileInfo<'a> {
        let stat = &self.0;
        FileInfo {
            path,
            kind: self.kind(),
            mode: self.mode(),
            size: if self.kind() == FILE { self.size() } else { 0 },
            mtime_s: seconds(&stat.stx_mtime),
            mtime_ns: stat.stx_mtime.tv_nsec,
            uid: stat.stx_uid,
            gid: stat.stx_gid,
            target,
            ..FileInfo::default()
        }
    }

    /// All that is known.
    pub fn info<'a>(&self, path: &'a [u8], target: &'a [u8]) -> FileInfo<'a> {
        let stat = &self.0;
        let mut info = FileInfo { inode: stat.stx_ino, version: self.version(), ..self.tree_info(path, target) };
        if stat.stx_mask & libc::STATX_BTIME != 0 {
            info.btime_s = seconds(&stat.stx_btime);
            info.btime_ns = stat.stx_btime.tv_nsec;
        }
        info
    }
}

/// Times before 1970 have no place in the message.
fn seconds(time: &libc::statx_timestamp) -> u64 {
    time.tv_sec.max(0) as u64
}

/// An entry of an open directory, itself and not what it links to; and its target.
pub fn info_at(dir: i32, name: &CStr) -> Res<(FileStat, Vec<u8>)> {
    let stat = FileStat::of(dir, name, false)?;
    let target = stat.target(dir, name);
    Ok((stat, target))
}

/// An outcome that carries a file's facts.
pub fn outcome_with(info: &FileInfo) -> Outcome {
    let mut file = Vec::new();
    info.encode(&mut file);
    Outcome { file, ..Outcome::default() }
}
