//! What changed on the host, done again in the guest: its watchers (inotify) hear of it as of any change, and its caches are told.
//! The host answers these requests without doing anything.

use std::ffi::{CStr, CString};

use crate::errors::failure;
use crate::files::channels::Channels;
use crate::sys::{self, check, Errno, Fd, Res};
use crate::wire::fields::read_varint;
use crate::wire::host_mount::{Change, HostChange};
use crate::wire::messages::{code, Failure, Outcome};

/// The longest record: a notification and two paths.
const MAX_RECORD: usize = 65_536;
/// How much of a directory is read at a time, in bytes, and how often at most.
const ENTRIES: usize = 16 << 10;
const MAX_READS: usize = 128;
/// openat2(2): struct open_how
#[repr(C)]
struct OpenHow {
    flags: u64,
    mode: u64,
    resolve: u64,
}
/// linux/openat2.h: RESOLVE_NO_XDEV, RESOLVE_NO_MAGICLINKS, RESOLVE_NO_SYMLINKS, RESOLVE_BENEATH
const RESOLVE: u64 = 0x01 | 0x02 | 0x04 | 0x08;

/// Does what the records say, in order, and tells of each that it is done. `root` is the mount's root, `fuse` its /dev/fuse.
pub fn follow(root: &Fd, fuse: i32, channels: &Channels) -> Result<Outcome, Failure> {
    let mut opened = Vec::new();
    // SAFETY: plain call.
    crate::wire::fields::put_uint(&mut opened, 2, unsafe { libc::getpid() } as u64);
    channels.opened(&opened);
    let mut input = Vec::new();
    loop {
        while let Some((record, used)) = next_record(&input)? {
            let change = HostChange::decode(record);
            let change = change.map_err(|_| Failure::new(code::INVALID, "a record of a change is malformed"))?;
            if !change.notify.is_empty() {
                let _ = sys::write(fuse, change.notify);
            }
            // What fails has changed once more meanwhile: that is told next.
            let _ = act(root, &change);
            input.drain(..used);
            sys::write_all(channels.output(), b".").map_err(|e| failure(b"cannot tell the host", e))?;
        }
        match sys::read_append(channels.input(), &mut input, MAX_RECORD) {
            Ok(0) => return Ok(Outcome::default()),
            Ok(_) => {}
            Err(error) => return Err(failure(b"cannot read what the host tells", error)),
        }
    }
}

/// The first complete record of a buffer, and how long it is with what stands before it.
fn next_record(buf: &[u8]) -> Result<Option<(&[u8], usize)>, Failure> {
    let broken = || Failure::new(code::INVALID, "a record is too long");
    let Some((length, used)) = read_varint(buf).map_err(|_| broken())? else { return Ok(None) };
    if length > MAX_RECORD as u64 {
        return Err(broken());
    }
    let end = used + length as usize;
    Ok(buf.get(used..end).map(|record| (record, end)))
}

fn act(root: &Fd, change: &HostChange) -> Res<()> {
    if change.kind == Change::None {
        return Ok(());
    }
    if change.kind == Change::List {
        return list(root, change.path);
    }
    if change.path.is_empty() {
        return act_on_itself(root, change.kind);
    }
    let (dir, name) = parent(root, change.path)?;
    let at = dir.raw();
    // SAFETY: names are NUL-terminated, descriptors open.
    unsafe {
        match change.kind {
            Change::Created if change.directory => check(libc::mkdirat(at, name.as_ptr(), 0o755)).map(|_| ()),
            Change::Created => sys::openat(at, &name, libc::O_WRONLY | libc::O_CREAT | libc::O_EXCL, 0o644).map(|_| ()),
            Change::Changed => touch(&sys::openat(at, &name, libc::O_WRONLY | libc::O_NOFOLLOW | libc::O_NONBLOCK, 0)?),
            Change::Removed => {
                let flags = if change.directory { libc::AT_REMOVEDIR } else { 0 };
                check(libc::unlinkat(at, name.as_ptr(), flags)).map(|_| ())
            }
            Change::Renamed => {
                let (to_dir, to) = parent(root, change.to)?;
                check(libc::renameat(at, name.as_ptr(), to_dir.raw(), to.as_ptr())).map(|_| ())
            }
            Change::Attributes => {
                let mut stat: libc::stat = std::mem::zeroed();
                check(libc::fstatat(at, name.as_ptr(), &mut stat, libc::AT_SYMLINK_NOFOLLOW))?;
                if stat.st_mode & libc::S_IFMT == libc::S_IFLNK {
                    return Ok(());
                }
                check(libc::fchmodat(at, name.as_ptr(), stat.st_mode & 0o7777, 0)).map(|_| ())
            }
            _ => Ok(()),
        }
    }
}

/// The mount itself: a directory's attributes, or a single file's, and its content.
fn act_on_itself(root: &Fd, kind: Change) -> Res<()> {
    let path = sys::fd_path(root.raw());
    match kind {
        Change::Changed => touch(&sys::open(&path, libc::O_WRONLY | libc::O_NONBLOCK)?),
        Change::Attributes => {
            // SAFETY: the path is NUL-terminated, the structure a plain out parameter.
            unsafe {
                let mut stat: libc::stat = std::mem::zeroed();
                check(libc::stat(path.as_ptr(), &mut stat))?;
                check(libc::chmod(path.as_ptr(), stat.st_mode & 0o7777)).map(|_| ())
            }
        }
        _ => Ok(()),
    }
}

/// Truncates a file to the size that it has: watchers are told of a change, and nothing is one.
fn touch(file: &Fd) -> Res<()> {
    // SAFETY: the structure is a plain out parameter.
    unsafe {
        let mut stat: libc::stat = std::mem::zeroed();
        check(libc::fstat(file.raw(), &mut stat))?;
        check(libc::ftruncate(file.raw(), stat.st_size)).map(|_| ())
    }
}

/// Reads a directory for what the host tells along with its names: who looks at one file after the other need not ask for each.
fn list(root: &Fd, path: &[u8]) -> Res<()> {
    let path =
        CString::new(if path.is_empty() { b".".to_vec() } else { path.to_vec() }).map_err(|_| Errno(libc::EINVAL))?;
    let dir = beneath(root, &path, libc::O_RDONLY)?;
    let mut entries = [0u8; ENTRIES];
    for _ in 0..MAX_READS {
        // SAFETY: the buffer is as long as is said.
        let n = unsafe { libc::syscall(libc::SYS_getdents64, dir.raw(), entries.as_mut_ptr(), entries.len()) };
        let n = check(n as libc::c_int)? as usize;
        if n == 0 {
            break;
        }
        // The kernel asks for attributes with the next names if what it was told with these is used (fuse_use_readdirplus).
        if let Some(name) = last_name(&entries[..n]).and_then(|name| CString::new(name).ok()) {
            // SAFETY: the name is NUL-terminated, the structure a plain out parameter.
            unsafe {
                let mut stat: libc::stat = std::mem::zeroed();
                libc::fstatat(dir.raw(), name.as_ptr(), &mut stat, libc::AT_SYMLINK_NOFOLLOW);
            }
        }
    }
    Ok(())
}

/// The last name of what getdents64(2) gives: its length is 16 bytes after an entry's beginning, the name 19.
fn last_name(mut entries: &[u8]) -> Option<&[u8]> {
    let mut last = None;
    while let Some(&[low, high]) = entries.get(16..18) {
        let length = usize::from(u16::from_le_bytes([low, high]));
        let name = entries.get(19..length)?;
        last = name.split(|byte| *byte == 0).next();
        entries = &entries[length..];
    }
    last
}

/// The directory in which a path ends, and its last name. It follows no links and leaves the mount for nothing that the guest has mounted in it.
fn parent(root: &Fd, path: &[u8]) -> Res<(Fd, CString)> {
    let (dir, name): (&[u8], &[u8]) = match path.iter().rposition(|&b| b == b'/') {
        Some(at) => (&path[..at], &path[at + 1..]),
        None => (b".", path),
    };
    let dir = CString::new(dir).map_err(|_| Errno(libc::EINVAL))?;
    let name = CString::new(name).map_err(|_| Errno(libc::EINVAL))?;
    Ok((beneath(root, &dir, libc::O_PATH)?, name))
}

/// A directory of the mount, opened.
fn beneath(root: &Fd, dir: &CStr, flags: i32) -> Res<Fd> {
    let flags = (flags | libc::O_DIRECTORY | libc::O_CLOEXEC) as u64;
    let how = OpenHow { flags, mode: 0, resolve: RESOLVE };
    // SAFETY: the structure is openat2's, its size is said.
    let opened =
        unsafe { libc::syscall(libc::SYS_openat2, root.raw(), dir.as_ptr(), &how, std::mem::size_of::<OpenHow>()) };
    check(opened as libc::c_int).map(Fd::own)
}
