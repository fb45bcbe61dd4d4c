//! A directory of the host in the guest: its FUSE file system is mounted, and taken away. All of it in a child, because paths can lead
//! through file systems that the agent itself answers for.

use std::ffi::{CStr, CString};

use crate::errors::failed_at;
use crate::files::channels::Channels;
use crate::files::paths::{checked_path, make_parents};
use crate::machine::places::{mount_table, mounts};
use crate::machine::users::resolve;
use crate::sys::text::decimal;
use crate::sys::{self, check, Errno, Fd, Res};
use crate::wire::host_mount::{encode_opened_mount, HostMount, HostUnmount};
use crate::wire::messages::{code, Failure, Outcome};

/// A status record beside OPENED and RESULT: the file system is mounted, and by which descriptor its root is open.
pub const MOUNTED: u8 = 254;

/// How the mount table names their kind.
const KIND: &CStr = c"fuse.smolvm";
/// How it names what is laid over one.
const OVERLAY: &[u8] = b"smolvm-overlay";
/// The most that are taken away from one place.
const MAX_DEAD: usize = 64;
/// Where the file system itself is for a moment, with a number behind it.
const HIDDEN: &[u8] = b"/run/smolvm/mount-";
/// Nothing in it is more than a file.
const FLAGS: libc::c_ulong = libc::MS_NOSUID | libc::MS_NODEV;
/// linux/stat.h, since 5.8
const STATX_MNT_ID: u32 = 0x1000;
/// What one request or answer carries, in bytes: with its headers it fits a frame.
const MAX_IO: &[u8] = b"61440";
/// Where nothing may be mounted over: what the agent, or every program, needs to be the guest's own.
const OWN: [&[u8]; 8] = [b"/", b"/dev", b"/proc", b"/sys", b"/run", b"/etc", b"/etc/passwd", b"/etc/group"];
/// Below these neither.
const OWN_TREES: [&[u8]; 4] = [b"/dev", b"/proc", b"/sys", b"/run/smolvm"];

/// What the child is given.
pub struct Given<'a> {
    pub request: &'a HostMount<'a>,
    /// /dev/fuse, open
    pub fuse: i32,
    /// the root of the guest's writable disk, if there is one
    pub disk: Option<i32>,
}

/// Mounts it, tells so (by a byte of output, once it is where it was wanted), and waits until it is to be taken away again (SIGUSR1), or there is nothing to do any more (SIGTERM).
///
/// The file system is mounted out of sight, and what the guest sees is bound to it or laid over it. So it can be read-only there while what
/// happens on the host is done again from here, and who keeps it is nobody who has something open in it.
pub fn keep(given: &Given, channels: &Channels) -> Result<Outcome, Failure> {
    let signals = held_signals();
    let request = given.request;
    let owner = resolve(request.user)?.identity;
    let target = target_of(request.path)?;
    let failed = |e| failed_at("cannot mount a directory of the host at", request.path)(e);
    remove_dead(&target);
    make_target(&target, request.file).map_err(failed)?;
    // SAFETY: plain call.
    let hidden = sys::path(&[HIDDEN, decimal(unsafe { libc::getpid() } as u64).as_bytes()]);
    make_target(&hidden, request.file).map_err(failed)?;
    let (source, options) = (source_of(request.source), options(given.fuse, request.file));
    let mounted = sys::mount(&source, &hidden, KIND, FLAGS, &options);
    let root = mounted.and_then(|()| sys::open(&hidden, libc::O_PATH | libc::O_NOFOLLOW));
    let seen = root.and_then(|root| {
        channels.report(MOUNTED, &root.raw().to_le_bytes());
        let mut opened = Vec::new();
        encode_opened_mount(&mut opened, owner.uid, owner.gid);
        channels.opened(&opened);
        let read_only = if request.read_only { libc::MS_RDONLY } else { 0 };
        if request.overlay {
            lay_over(&target, &hidden, given.disk, request.path)?;
        } else {
            sys::mount(&hidden, &target, c"", libc::MS_BIND, c"")?;
            sys::mount(c"none", &target, c"", libc::MS_BIND | libc::MS_REMOUNT | FLAGS | read_only, c"")?;
        }
        Ok((root, sys::open(&target, libc::O_PATH | libc::O_NOFOLLOW)?))
    });
    detach(&hidden);
    remove(&hidden, request.file);
    let (_root, seen) = seen.map_err(failed)?;
    let seen = place_of(seen).map_err(failed)?;
    // From here on the agent alone has it: what it closes is closed.
    drop(Fd::own(given.fuse));
    sys::write_all(channels.output(), b".").map_err(failed)?;
    if wait_for(&signals) == libc::SIGUSR1 && place_at(&target) == Some(seen) {
        detach(&target);
    }
    Ok(Outcome::default())
}

/// Which mount a descriptor is of. None is kept open: it would be busy for who unmounts it.
fn place_of(seen: Fd) -> Res<u64> {
    // SAFETY: the structure is a plain out parameter.
    unsafe {
        let mut stat: libc::statx = std::mem::zeroed();
        let flags = libc::AT_EMPTY_PATH | libc::AT_STATX_DONT_SYNC;
        check(libc::statx(seen.raw(), c"".as_ptr(), flags, STATX_MNT_ID, &mut stat))?;
        Ok(stat.stx_mnt_id)
    }
}

fn place_at(target: &CStr) -> Option<u64> {
    sys::open(target, libc::O_PATH | libc::O_NOFOLLOW).and_then(place_of).ok()
}

/// Takes the mount at a path away.
pub fn unmount(request: &HostUnmount) -> Result<Outcome, Failure> {
    let target = checked_path(request.path)?;
    if !is_ours(&mount_table(), request.path) {
        let message = [b"no directory of the host is mounted at '", request.path, b"'"].concat();
        return Err(Failure::new(code::NOT_FOUND, message));
    }
    let flags = libc::UMOUNT_NOFOLLOW | if request.force { libc::MNT_DETACH } else { 0 };
    // SAFETY: the path is NUL-terminated.
    check(unsafe { libc::umount2(target.as_ptr(), flags) }).map_err(failed_at("cannot unmount", request.path))?;
    Ok(Outcome::default())
}

/// True if what is mounted last at a path is a directory of the host. Pure.
pub fn is_ours(table: &[u8], path: &[u8]) -> bool {
    let kind = |line: &[u8]| line.split(|&b| b == b' ').nth(2).unwrap_or_default().to_vec();
    let lines = table.split(|&b| b == b'\n').filter(|line| !line.is_empty());
    let last = lines
        .filter_map(|line| mounts(line).next().map(|(from, at)| (from, at, kind(line))))
        .rfind(|(_, at, _)| at == path);
    last.is_some_and(|(from, _, kind)| kind == KIND.to_bytes() || (kind == b"overlay" && from == OVERLAY))
}

/// A place where one may be mounted.
fn target_of(path: &[u8]) -> Result<CString, Failure> {
    let target = checked_path(path)?;
    let below = |tree: &[u8]| path.strip_prefix(tree).is_some_and(|rest| rest.first() == Some(&b'/'));
    let odd = path.len() > 1 && path.split(|&b| b == b'/').skip(1).any(|part| matches!(part, b"" | b"." | b".."));
    if odd {
        return Err(Failure::new(code::INVALID, [b"'", path, b"' has an empty, '.' or '..' component"].concat()));
    }
    if OWN.contains(&path) || OWN_TREES.iter().any(|tree| below(tree)) {
        let message = [b"nothing may be mounted at '", path, b"': the sandbox needs its own"].concat();
        return Err(Failure::new(code::INVALID, message));
    }
    Ok(target)
}

/// The place itself, and the directories above it.
fn make_target(target: &CStr, file: bool) -> Res<()> {
    make_parents(target, !file)?;
    if file {
        sys::open_mode(target, libc::O_WRONLY | libc::O_CREAT | libc::O_NOFOLLOW | libc::O_NONBLOCK, 0o644)?;
    }
    Ok(())
}

/// Mounts of ours there whose host has gone are in the way, and nobody gets at anything in them. An overlay of which only what is below is gone still
/// answers for its upper directory, which another one may not have at the same time.
fn remove_dead(target: &CStr) {
    for _ in 0..MAX_DEAD {
        if !is_dead(target) {
            return;
        }
        detach(target);
    }
}

fn is_dead(target: &CStr) -> bool {
    const GONE: Errno = Errno(libc::ENOTCONN);
    // SAFETY: plain call.
    let pid = unsafe { libc::getpid() } as u64;
    // Whether there is such a name nobody has asked yet: what is below has to say.
    let asked = sys::path(&[target.to_bytes(), b"/.smolvm-", decimal(pid).as_bytes()]);
    let (asked, statfs) = (sys::open(&asked, libc::O_PATH | libc::O_NOFOLLOW), sys::statfs(target));
    asked.is_err_and(|error| error == GONE) || statfs.is_err_and(|error| error == GONE)
}

fn detach(target: &CStr) {
    // SAFETY: the path is NUL-terminated. One that is gone already is fine.
    unsafe { libc::umount2(target.as_ptr(), libc::MNT_DETACH) };
}

/// Options of the kernel's FUSE (fs/fuse/inode.c): everybody may use it, by the modes that the host tells.
fn options(fuse: i32, file: bool) -> CString {
    let mode: &[u8] = if file { b"100000" } else { b"40000" };
    let fd = decimal(fuse as u64);
    sys::path(&[
        b"fd=",
        fd.as_bytes(),
        b",rootmode=",
        mode,
        b",user_id=0,group_id=0,allow_other,default_permissions,max_read=",
        MAX_IO,
    ])
}

/// What the mount table shows as its source: bytes that no tool can take for something else.
fn source_of(source: &[u8]) -> CString {
    let shown: Vec<u8> = source.iter().copied().filter(|&b| b != 0).take(1024).collect();
    CString::new(if shown.is_empty() { b"smolvm".to_vec() } else { shown }).unwrap_or_default()
}

/// Where on the guest's disk the writes of an overlay are: beside its root, under a name made of the path. Pure.
pub fn kept_at(path: &[u8]) -> Vec<u8> {
    let escaped = |byte: &u8| match byte {
        b'/' => vec![b'+'],
        b'+' => vec![b'+', b'+'],
        &other => vec![other],
    };
    [b"mounts/".to_vec(), path.iter().flat_map(escaped).collect()].concat()
}

/// What is written stays on the guest's disk.
fn lay_over(target: &CStr, lower: &CStr, disk: Option<i32>, path: &[u8]) -> Res<()> {
    let disk = disk.ok_or(Errno(libc::EOPNOTSUPP))?;
    let dir = [sys::fd_path(disk).to_bytes(), b"/", &kept_at(path)].concat();
    let (upper, work) = (sys::path(&[&dir, b"/upper"]), sys::path(&[&dir, b"/work"]));
    let upper_is_new = make_parents(&upper, true)?;
    make_parents(&work, true)?;
    if upper_is_new {
        take_after(&upper, lower)?;
    }
    let escaped = |path: &CStr| {
        path.to_bytes()
            .iter()
            .flat_map(|&b| if matches!(b, b',' | b'\\' | b':') { vec![b'\\', b] } else { vec![b] })
            .collect::<Vec<u8>>()
    };
    let options =
        sys::path(&[b"lowerdir=", lower.to_bytes(), b",upperdir=", &escaped(&upper), b",workdir=", &escaped(&work)]);
    let source = sys::path(&[OVERLAY]);
    sys::mount(&source, target, c"overlay", FLAGS, &options)
}

/// The directory that takes what is written has mode and owner of the one below.
fn take_after(upper: &CStr, lower: &CStr) -> Res<()> {
    // SAFETY: the paths are NUL-terminated, the structure a plain out parameter.
    unsafe {
        let mut stat: libc::stat = std::mem::zeroed();
        check(libc::stat(lower.as_ptr(), &mut stat))?;
        check(libc::chown(upper.as_ptr(), stat.st_uid, stat.st_gid))?;
        check(libc::chmod(upper.as_ptr(), stat.st_mode & 0o7777)).map(|_| ())
    }
}

/// Takes the hidden place away.
fn remove(hidden: &CStr, file: bool) {
    let flags = if file { 0 } else { libc::AT_REMOVEDIR };
    // SAFETY: the path is NUL-terminated.
    unsafe { libc::unlinkat(libc::AT_FDCWD, hidden.as_ptr(), flags) };
}

/// The two signals, blocked: none is lost before it is waited for.
fn held_signals() -> libc::sigset_t {
    // SAFETY: the set is initialised before use.
    unsafe {
        let mut set: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&mut set);
        libc::sigaddset(&mut set, libc::SIGUSR1);
        libc::sigaddset(&mut set, libc::SIGTERM);
        libc::sigprocmask(libc::SIG_BLOCK, &set, std::ptr::null_mut());
        set
    }
}

fn wait_for(signals: &libc::sigset_t) -> i32 {
    loop {
        // SAFETY: an initialised set; nothing is asked about the sender.
        let signal = unsafe { libc::sigwaitinfo(signals, std::ptr::null_mut()) };
        if signal > 0 {
            return signal;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn some_places_are_the_guests_own() {
        for path in [
            "/",
            "/etc",
            "/proc/x",
            "/dev",
            "/dev/shm/a",
            "/etc/passwd",
            "/run/smolvm/x",
            "/a/../etc",
            "/a//b",
            "relative",
            "/a/",
        ] {
            assert!(target_of(path.as_bytes()).is_err(), "{path}");
        }
        for path in ["/work", "/etc/hosts", "/run/x", "/home/u/a b", "/device", "/opt/..a"] {
            assert!(target_of(path.as_bytes()).is_ok(), "{path}");
        }
    }

    #[test]
    fn the_last_mount_of_a_place_counts() {
        let table = b"/dev/vda / ext4 rw 0 0\n./src /work fuse.smolvm rw 0 0\nsmolvm-overlay /o overlay rw 0 0\noverlay / overlay rw 0 0\n/x /a\\040b fuse.smolvm rw 0 0\ntmpfs /t tmpfs rw 0 0\n/y /t fuse.smolvm rw 0 0\n/y /u fuse.smolvm rw 0 0\ntmpfs /u tmpfs rw 0 0\n";
        for (path, ours) in
            [("/work", true), ("/o", true), ("/", false), ("/a b", true), ("/t", true), ("/u", false), ("/none", false)]
        {
            assert_eq!(is_ours(table, path.as_bytes()), ours, "{path}");
        }
    }
}
