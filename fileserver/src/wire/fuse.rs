//! FUSE's structures (linux/fuse.h, version 7.38 and older ones that have the same): requests are read by their offsets, answers appended.

use std::ffi::CStr;

/// The length of fuse_in_header and of fuse_out_header.
pub const IN_HEADER: usize = 40;
pub const OUT_HEADER: usize = 16;
/// The most data of one write, and of one answer: fifteen pages, so that with its headers it fits into one frame.
pub const MAX_DATA: usize = 61_440;
/// The node that the mount's root is.
pub const ROOT: u64 = 1;
/// The longest name.
pub const MAX_NAME: usize = 255;

/// What a request is.
pub mod op {
    pub const LOOKUP: u32 = 1;
    pub const FORGET: u32 = 2;
    pub const GETATTR: u32 = 3;
    pub const SETATTR: u32 = 4;
    pub const READLINK: u32 = 5;
    pub const SYMLINK: u32 = 6;
    pub const MKNOD: u32 = 8;
    pub const MKDIR: u32 = 9;
    pub const UNLINK: u32 = 10;
    pub const RMDIR: u32 = 11;
    pub const RENAME: u32 = 12;
    pub const LINK: u32 = 13;
    pub const OPEN: u32 = 14;
    pub const READ: u32 = 15;
    pub const WRITE: u32 = 16;
    pub const STATFS: u32 = 17;
    pub const RELEASE: u32 = 18;
    pub const FSYNC: u32 = 20;
    pub const SETXATTR: u32 = 21;
    pub const GETXATTR: u32 = 22;
    pub const LISTXATTR: u32 = 23;
    pub const REMOVEXATTR: u32 = 24;
    pub const FLUSH: u32 = 25;
    pub const INIT: u32 = 26;
    pub const OPENDIR: u32 = 27;
    pub const READDIR: u32 = 28;
    pub const RELEASEDIR: u32 = 29;
    pub const FSYNCDIR: u32 = 30;
    pub const ACCESS: u32 = 34;
    pub const CREATE: u32 = 35;
    pub const INTERRUPT: u32 = 36;
    pub const DESTROY: u32 = 38;
    pub const NOTIFY_REPLY: u32 = 41;
    pub const BATCH_FORGET: u32 = 42;
    pub const FALLOCATE: u32 = 43;
    pub const READDIRPLUS: u32 = 44;
    pub const RENAME2: u32 = 45;
    pub const LSEEK: u32 = 46;
    pub const COPY_FILE_RANGE: u32 = 47;
    pub const SYNCFS: u32 = 50;
}

/// What FUSE_INIT agrees on.
pub mod init {
    pub const ASYNC_READ: u64 = 1;
    pub const ATOMIC_O_TRUNC: u64 = 1 << 3;
    pub const BIG_WRITES: u64 = 1 << 5;
    pub const AUTO_INVAL_DATA: u64 = 1 << 12;
    pub const DO_READDIRPLUS: u64 = 1 << 13;
    pub const READDIRPLUS_AUTO: u64 = 1 << 14;
    pub const ASYNC_DIO: u64 = 1 << 15;
    pub const PARALLEL_DIROPS: u64 = 1 << 18;
    pub const MAX_PAGES: u64 = 1 << 22;
    pub const CACHE_SYMLINKS: u64 = 1 << 23;
    pub const NO_OPENDIR_SUPPORT: u64 = 1 << 24;
    pub const HANDLE_KILLPRIV_V2: u64 = 1 << 28;
    pub const INIT_EXT: u64 = 1 << 30;
    pub const DIRECT_IO_ALLOW_MMAP: u64 = 1 << 36;
}

/// Which fields a FUSE_SETATTR sets.
pub mod set {
    pub const MODE: u32 = 1;
    pub const UID: u32 = 2;
    pub const GID: u32 = 4;
    pub const SIZE: u32 = 8;
    pub const ATIME: u32 = 16;
    pub const MTIME: u32 = 32;
    pub const FH: u32 = 64;
    pub const ATIME_NOW: u32 = 128;
    pub const MTIME_NOW: u32 = 256;
    pub const KILL_SUIDGID: u32 = 1 << 11;
}

/// Flags of an open file, for the kernel.
pub mod open {
    pub const DIRECT_IO: u32 = 1;
    pub const KEEP_CACHE: u32 = 2;
    pub const CACHE_DIR: u32 = 8;
}

/// Codes of notifications.
pub mod notify {
    pub const INVAL_INODE: i32 = 2;
    pub const INVAL_ENTRY: i32 = 3;
    pub const DELETE: i32 = 6;
}

/// One request: its header, and the rest.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    pub opcode: u32,
    pub unique: u64,
    pub node: u64,
    pub pid: u32,
    body: &'a [u8],
}

/// The rest of a request is too short, or not what it should be.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Malformed;

impl<'a> Request<'a> {
    /// Reads a message; None where it is no request.
    pub fn parse(message: &'a [u8]) -> Option<Request<'a>> {
        let body = message.get(IN_HEADER..)?;
        let (head, fields) = (Fields(message), message.len());
        if head.u32(0).ok()? as usize != fields {
            return None;
        }
        Some(Request {
            opcode: head.u32(4).ok()?,
            unique: head.u64(8).ok()?,
            node: head.u64(16).ok()?,
            pid: head.u32(32).ok()?,
            body,
        })
    }

    /// What comes after the header.
    pub fn fields(&self) -> Fields<'a> {
        Fields(self.body)
    }

    /// The names that come after `at` bytes of fields.
    pub fn names<const N: usize>(&self, at: usize) -> Result<[&'a CStr; N], Malformed> {
        let mut rest = self.body.get(at..).ok_or(Malformed)?;
        let mut names = [c""; N];
        for name in &mut names {
            *name = CStr::from_bytes_until_nul(rest).map_err(|_| Malformed)?;
            rest = &rest[name.count_bytes() + 1..];
        }
        Ok(names)
    }

    /// What comes after `at` bytes of fields.
    pub fn data(&self, at: usize) -> Result<&'a [u8], Malformed> {
        self.body.get(at..).ok_or(Malformed)
    }
}

/// Numbers by their offsets.
#[derive(Clone, Copy)]
pub struct Fields<'a>(&'a [u8]);

impl Fields<'_> {
    pub fn u32(&self, at: usize) -> Result<u32, Malformed> {
        self.0.get(at..).and_then(|rest| rest.first_chunk()).map(|bytes| u32::from_le_bytes(*bytes)).ok_or(Malformed)
    }
    pub fn u64(&self, at: usize) -> Result<u64, Malformed> {
        self.0.get(at..).and_then(|rest| rest.first_chunk()).map(|bytes| u64::from_le_bytes(*bytes)).ok_or(Malformed)
    }
}

/// Appends numbers.
pub fn put_u32(out: &mut Vec<u8>, value: u32) {
    out.extend_from_slice(&value.to_le_bytes());
}
pub fn put_u64(out: &mut Vec<u8>, value: u64) {
    out.extend_from_slice(&value.to_le_bytes());
}

/// Appends the header of an answer (or, with unique 0, of a notification) whose length is not known yet. Returns where it begins.
pub fn begin(out: &mut Vec<u8>, unique: u64) -> usize {
    let at = out.len();
    put_u32(out, 0);
    put_u32(out, 0);
    put_u64(out, unique);
    at
}

/// Writes the length into the header that begins there.
pub fn end(out: &mut [u8], at: usize) {
    let length = (out.len() - at) as u32;
    out[at..at + 4].copy_from_slice(&length.to_le_bytes());
}

/// Makes an error of the answer that begins there.
pub fn fail(out: &mut Vec<u8>, at: usize, errno: i32) {
    out.truncate(at + OUT_HEADER);
    out[at + 4..at + 8].copy_from_slice(&(-errno).to_le_bytes());
    end(out, at);
}

/// What the guest is told of a file (fuse_attr).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Attributes {
    pub ino: u64,
    pub size: u64,
    pub blocks: u64,
    pub times: [(i64, u32); 3],
    pub mode: u32,
    pub nlink: u32,
    pub uid: u32,
    pub gid: u32,
    pub block_size: u32,
}

impl Attributes {
    /// Appends fuse_attr. A device's number is not told: it would be the guest's device.
    pub fn put(&self, out: &mut Vec<u8>) {
        for value in
            [self.ino, self.size, self.blocks, self.times[0].0 as u64, self.times[1].0 as u64, self.times[2].0 as u64]
        {
            put_u64(out, value);
        }
        for value in [
            self.times[0].1,
            self.times[1].1,
            self.times[2].1,
            self.mode,
            self.nlink,
            self.uid,
            self.gid,
            0,
            self.block_size,
            0,
        ] {
            put_u32(out, value);
        }
    }
}

/// How long the kernel may believe something, in milliseconds.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Validity {
    pub entry_ms: u64,
    pub attributes_ms: u64,
}

/// Appends fuse_entry_out. With node 0 there is no such name, for as long as the entry is valid.
pub fn put_entry(out: &mut Vec<u8>, node: u64, valid: Validity, attributes: &Attributes) {
    put_u64(out, node);
    put_u64(out, 0);
    put_u64(out, valid.entry_ms / 1000);
    put_u64(out, valid.attributes_ms / 1000);
    put_u32(out, (valid.entry_ms % 1000) as u32 * 1_000_000);
    put_u32(out, (valid.attributes_ms % 1000) as u32 * 1_000_000);
    attributes.put(out);
}

/// The length of fuse_entry_out.
pub const ENTRY: usize = 128;

/// Appends fuse_attr_out.
pub fn put_attributes(out: &mut Vec<u8>, valid: Validity, attributes: &Attributes) {
    put_u64(out, valid.attributes_ms / 1000);
    put_u32(out, (valid.attributes_ms % 1000) as u32 * 1_000_000);
    put_u32(out, 0);
    attributes.put(out);
}

/// Appends fuse_open_out.
pub fn put_open(out: &mut Vec<u8>, handle: u64, flags: u32) {
    put_u64(out, handle);
    put_u32(out, flags);
    put_u32(out, 0);
}

/// The length of a fuse_dirent with its padding.
pub fn dirent_len(name: &[u8]) -> usize {
    (24 + name.len()).next_multiple_of(8)
}

/// Appends a fuse_dirent. `kind` is as in struct dirent.
pub fn put_dirent(out: &mut Vec<u8>, ino: u64, next: u64, kind: u8, name: &[u8]) {
    put_u64(out, ino);
    put_u64(out, next);
    put_u32(out, name.len() as u32);
    put_u32(out, kind.into());
    out.extend_from_slice(name);
    out.resize(out.len() + dirent_len(name) - 24 - name.len(), 0);
}

/// A notification that what is known of a node is old: its attributes, and its content if `data`.
pub fn inval_inode(node: u64, data: bool) -> Vec<u8> {
    let mut out = Vec::with_capacity(40);
    let at = begin(&mut out, 0);
    out[4..8].copy_from_slice(&notify::INVAL_INODE.to_le_bytes());
    put_u64(&mut out, node);
    put_u64(&mut out, if data { 0 } else { u64::MAX });
    put_u64(&mut out, 0);
    end(&mut out, at);
    out
}

/// A notification that what is known of a name is old.
pub fn inval_entry(parent: u64, name: &CStr) -> Vec<u8> {
    let mut out = Vec::with_capacity(48 + name.count_bytes());
    let at = begin(&mut out, 0);
    out[4..8].copy_from_slice(&notify::INVAL_ENTRY.to_le_bytes());
    put_u64(&mut out, parent);
    put_u32(&mut out, name.count_bytes() as u32);
    put_u32(&mut out, 0);
    out.extend_from_slice(name.to_bytes_with_nul());
    end(&mut out, at);
    out
}
