//! stat(2) as the protocol's FileInfo.

use std::ffi::CStr;

use crate::sys::{check, Res};
use crate::wire::messages::file_kind::{DIRECTORY, FILE, OTHER, SYMLINK};
use crate::wire::messages::{FileInfo, Outcome};

/// What stat(2) said.
pub struct FileStat(libc::stat);

impl FileStat {
    pub fn of(dir: i32, path: &CStr, follow: bool) -> Res<FileStat> {
        // SAFETY: the path is NUL-terminated, the structure a plain out parameter.
        unsafe {
            let mut stat: libc::stat = std::mem::zeroed();
            let flags = if follow { 0 } else { libc::AT_SYMLINK_NOFOLLOW };
            check(libc::fstatat(dir, path.as_ptr(), &mut stat, flags)).map(|_| FileStat(stat))
        }
    }

    pub fn of_fd(fd: i32) -> Res<FileStat> {
        // SAFETY: the structure is a plain out parameter.
        unsafe {
            let mut stat: libc::stat = std::mem::zeroed();
            check(libc::fstat(fd, &mut stat)).map(|_| FileStat(stat))
        }
    }

    pub fn kind(&self) -> u32 {
        match self.0.st_mode & libc::S_IFMT {
            libc::S_IFREG => FILE,
            libc::S_IFDIR => DIRECTORY,
            libc::S_IFLNK => SYMLINK,
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
        self.0.st_mode & 0o7777
    }

    pub fn size(&self) -> u64 {
        self.0.st_size as u64
    }

    pub fn owner(&self) -> (u32, u32) {
        (self.0.st_uid, self.0.st_gid)
    }

    /// Device and inode: which file it is.
    pub fn identity(&self) -> (u64, u64) {
        (self.0.st_dev, self.0.st_ino)
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

    pub fn info<'a>(&self, path: &'a [u8], target: &'a [u8]) -> FileInfo<'a> {
        let stat = &self.0;
        FileInfo {
            path,
            kind: self.kind(),
            mode: self.mode(),
            size: if self.kind() == FILE { self.size() } else { 0 },
            // Times before 1970 have no place in the message.
            mtime_s: stat.st_mtime.max(0) as u64,
            mtime_ns: stat.st_mtime_nsec.clamp(0, 999_999_999) as u32,
            uid: stat.st_uid,
            gid: stat.st_gid,
            target,
        }
    }
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
