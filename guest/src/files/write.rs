//! `file_write`: channel 0 becomes a file, whole or not at all.

use std::ffi::CStr;
use std::sync::OnceLock;

use crate::errors::failed_at;
use crate::files::abort::aborted;
use crate::files::channels::Channels;
use crate::files::info::{outcome_with, FileStat};
use crate::files::mover::Mover;
use crate::files::paths::{directory_of, follow_to, make_parents, rename_at};
use crate::files::temporary::{make_temporary, Place, NEW_FILE};
use crate::files::times::set_mtime;
use crate::files::unchanged::{check_version, lock_unchanged};
use crate::sys::{self, check, Errno, Fd, Res};
use crate::wire::messages::file_kind::FILE;
use crate::wire::messages::{code, Failure, FileRequest, Outcome};

/// What is taken at once; a pipe's whole capacity.
const STEP: usize = 65_536;
pub fn write(request: &FileRequest, path: &CStr, channels: &Channels) -> Result<Outcome, Failure> {
    let fail = || failed_at("cannot write", request.path);
    if request.path.ends_with(b"/") {
        return Err(fail()(Errno(libc::EISDIR)));
    }
    if request.parents {
        make_parents(path, false).map_err(fail())?;
    }
    let (path, existing) = follow_to(path).map_err(fail())?;
    check_version(request, existing.as_ref())?;
    if let Some(stat) = &existing {
        if request.exclusive {
            return Err(fail()(Errno(libc::EEXIST)));
        }
        if stat.is_dir() {
            return Err(fail()(Errno(libc::EISDIR)));
        }
        // Devices and the kernel's own files are written to, never replaced.
        if stat.kind() != FILE || (!is_on_root(stat) && is_kernel_file(&path)) {
            return in_place(request, &path, libc::O_WRONLY, channels);
        }
    }
    if request.append {
        return in_place(request, &path, libc::O_WRONLY | libc::O_APPEND | libc::O_CREAT, channels);
    }
    replace(request, &path, existing.as_ref(), channels)
}

/// On the file system that holds everything else, which is asked for once: a process has one root.
fn is_on_root(stat: &FileStat) -> bool {
    static ROOT: OnceLock<Option<u64>> = OnceLock::new();
    let root = ROOT.get_or_init(|| FileStat::of(libc::AT_FDCWD, c"/", true).ok().map(|root| root.identity().0));
    *root == Some(stat.identity().0)
}

fn is_kernel_file(path: &CStr) -> bool {
    // linux/magic.h: proc, sysfs, cgroup, cgroup2, debugfs, tracefs, bpf, configfs, securityfs
    const KERNEL: [u32; 9] = [
        0x9fa0,
        0x6265_6572,
        0x0027_e0eb,
        0x6367_7270,
        0x6462_6720,
        0x7472_6163,
        0xcafe_4a11,
        0x6265_6570,
        0x7363_6673,
    ];
    sys::statfs(path).is_ok_and(|fs| KERNEL.contains(&(fs.f_type as u32)))
}

/// Copies channel 0 to the end. Cancelled requests end it early; `aborted` tells.
fn copy_input(file: i32, channels: &Channels) -> Res<u64> {
    if let Some(content) = &channels.content {
        return sys::write_all(file, content).map(|()| content.len() as u64);
    }
    let mut mover = Mover::default();
    let mut total = 0;
    loop {
        channels.tell_before_waiting();
        match mover.step(channels.input(), file, STEP)? {
            0 => return Ok(total),
            n => total += n as u64,
        }
    }
}

fn finish(request: &FileRequest, file: &Fd) -> Result<Outcome, Failure> {
    let stat = FileStat::of_fd(file.raw()).map_err(failed_at("cannot stat", request.path))?;
    Ok(outcome_with(&stat.info(request.path, b"")))
}

fn in_place(request: &FileRequest, path: &CStr, flags: i32, channels: &Channels) -> Result<Outcome, Failure> {
    let fail = || failed_at("cannot write", request.path);
    let file = sys::open_mode(path, flags | libc::O_NOCTTY, NEW_FILE).map_err(fail())?;
    channels.opened_soon(&[]);
    copy_input(file.raw(), channels).map_err(fail())?;
    if aborted() {
        return Err(Failure::new(code::CANCELLED, "the request was cancelled"));
    }
    if request.append {
        apply_mode_and_time(request, None, &file).map_err(fail())?;
    }
    finish(request, &file)
}

/// Mode, owner and time of the file that takes the target's place.
fn apply_mode_and_time(request: &FileRequest, existing: Option<&FileStat>, file: &Fd) -> Res<()> {
    // What is so already is left: each change is one of the disk's, too.
    let now = FileStat::of_fd(file.raw())?;
    if let Some(stat) = existing.filter(|stat| stat.owner() != now.owner()) {
        let (uid, gid) = stat.owner();
        // Only root can give files away; another user's file becomes the writer's.
        // SAFETY: plain call.
        unsafe { libc::fchown(file.raw(), uid, gid) };
    }
    let mode = if request.mode != 0 { Some(request.mode & 0o7777) } else { existing.map(FileStat::mode) };
    if let Some(mode) = mode.filter(|&mode| mode != now.mode()) {
        // After the owner: a change of owner clears the set-id bits.
        // SAFETY: plain call.
        check(unsafe { libc::fchmod(file.raw(), mode) })?;
    }
    if request.mtime_s != 0 || request.mtime_ns != 0 {
        set_mtime(file.raw(), request.mtime_s, request.mtime_ns)?;
    }
    Ok(())
}

/// Writes a temporary file beside the target and renames it.
fn replace(
    request: &FileRequest,
    path: &CStr,
    existing: Option<&FileStat>,
    channels: &Channels,
) -> Result<Outcome, Failure> {
    let fail = || failed_at("cannot write", request.path);
    let place = if existing.is_some() { Place::Taken } else { Place::New };
    let (file, temporary) = make_temporary(libc::AT_FDCWD, directory_of(path.to_bytes()), place).map_err(fail())?;
    channels.opened_soon(&[]);
    let written = copy_input(file.raw(), channels)
        .and_then(|_| apply_mode_and_time(request, existing, &file))
        .map_err(fail())
        .and_then(|()| {
            if aborted() {
                return Err(Failure::new(code::CANCELLED, "the request was cancelled"));
            }
            let _locked = lock_unchanged(request, path)?;
            rename_at(libc::AT_FDCWD, &temporary, path, !request.exclusive).map_err(fail())
        });
    if let Err(error) = written {
        // SAFETY: the path is NUL-terminated.
        unsafe { libc::unlink(temporary.as_ptr()) };
        return Err(error);
    }
    finish(request, &file)
}
