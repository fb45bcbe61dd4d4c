//! The few system calls that the standard library lacks, and those of its own that would pull in a library which not every Windows
//! has (bcryptprimitives.dll, for random numbers).

use std::ffi::c_void;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::windows::fs::OpenOptionsExt;
use std::os::windows::io::{AsRawHandle, FromRawHandle, OwnedHandle, RawHandle};
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

const HANDLE_FLAG_INHERIT: u32 = 1;
const STD_OUTPUT_HANDLE: u32 = -11i32 as u32;
const STD_ERROR_HANDLE: u32 = -12i32 as u32;
const WAIT_OBJECT_0: u32 = 0;
const INFINITE: u32 = u32::MAX;
const ERROR_SHARING_VIOLATION: i32 = 32;
/// Somebody who looks whether a lock is held has it open for a moment.
const LOCK_TRIES: u32 = 100;
const LOCK_PAUSE: Duration = Duration::from_millis(10);

#[repr(C)]
struct FileInformation {
    attributes: u32,
    times: [u32; 6],
    volume: u32,
    size: [u32; 2],
    links: u32,
    index_high: u32,
    index_low: u32,
}

#[link(name = "kernel32")]
extern "system" {
    fn CreatePipe(read: *mut RawHandle, write: *mut RawHandle, attributes: *const c_void, size: u32) -> i32;
    fn SetHandleInformation(handle: RawHandle, mask: u32, flags: u32) -> i32;
    fn GetStdHandle(which: u32) -> RawHandle;
    fn CloseHandle(handle: RawHandle) -> i32;
    fn WaitForMultipleObjects(count: u32, handles: *const RawHandle, all: i32, milliseconds: u32) -> u32;
    fn GetFileInformationByHandle(file: RawHandle, information: *mut FileInformation) -> i32;
    fn QueryPerformanceCounter(count: *mut i64) -> i32;
    fn QueryPerformanceFrequency(frequency: *mut i64) -> i32;
}

/// What a call that answers with a BOOL has done.
pub fn check(done: i32) -> io::Result<()> {
    if done == 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(())
    }
}

/// A pipe: (read end, write end), neither of them inherited.
pub fn pipe() -> io::Result<(OwnedHandle, OwnedHandle)> {
    let (mut read, mut write) = (std::ptr::null_mut(), std::ptr::null_mut());
    // SAFETY: two out parameters; the handles become ours.
    unsafe {
        check(CreatePipe(&mut read, &mut write, std::ptr::null(), 0))?;
        Ok((OwnedHandle::from_raw_handle(read), OwnedHandle::from_raw_handle(write)))
    }
}

/// A process that is started with a list of handles gets those of it that may be inherited.
pub fn allow_inheriting(handle: &OwnedHandle) -> io::Result<()> {
    // SAFETY: the handle is open.
    check(unsafe { SetHandleInformation(handle.as_raw_handle(), HANDLE_FLAG_INHERIT, HANDLE_FLAG_INHERIT) })
}

/// The device that swallows everything and says nothing.
pub fn null() -> io::Result<OwnedHandle> {
    OpenOptions::new().read(true).write(true).open("NUL").map(OwnedHandle::from)
}

/// Lets go of whoever started us: it sees our output end.
pub fn close_output() {
    for which in [STD_OUTPUT_HANDLE, STD_ERROR_HANDLE] {
        // SAFETY: nothing is written to them any more.
        unsafe { CloseHandle(GetStdHandle(which)) };
    }
}

/// Waits until one of them has ended, and returns which.
pub fn wait_any(handles: &[&OwnedHandle]) -> io::Result<usize> {
    let raw: Vec<RawHandle> = handles.iter().map(|handle| handle.as_raw_handle()).collect();
    // SAFETY: the handles are open for as long as the call.
    let which = unsafe { WaitForMultipleObjects(raw.len() as u32, raw.as_ptr(), 0, INFINITE) };
    match which.wrapping_sub(WAIT_OBJECT_0) as usize {
        index if index < raw.len() => Ok(index),
        _ => Err(io::Error::last_os_error()),
    }
}

/// A new file, or an empty one in its place. Whom it is open to its directory says, which is the user's own.
pub fn create(path: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).create(true).truncate(true).open(path)
}

/// What tells a file from others, whatever it is called.
pub fn file_id(file: &File) -> Option<u64> {
    // SAFETY: the file is open, and the structure is as large as the call takes it to be.
    unsafe {
        let mut found: FileInformation = std::mem::zeroed();
        check(GetFileInformationByHandle(file.as_raw_handle(), &mut found)).ok()?;
        Some(u64::from(found.index_high) << 32 | u64::from(found.index_low))
    }
}

/// A file that nobody else may open until it is closed, at the latest when we end.
pub fn lock(path: &Path) -> io::Result<File> {
    let mut tries = 0;
    loop {
        match OpenOptions::new().write(true).create(true).truncate(false).share_mode(0).open(path) {
            Err(error) if error.raw_os_error() == Some(ERROR_SHARING_VIOLATION) && tries < LOCK_TRIES => tries += 1,
            done => return done,
        }
        std::thread::sleep(LOCK_PAUSE);
    }
}

/// Nanoseconds of a clock that nothing adjusts.
#[cfg(target_arch = "x86_64")]
pub fn monotonic_raw_ns() -> u64 {
    let (mut count, mut frequency) = (0, 1);
    // SAFETY: two out parameters. They do not fail since Windows XP.
    unsafe {
        QueryPerformanceCounter(&mut count);
        QueryPerformanceFrequency(&mut frequency);
    }
    (count as u128 * 1_000_000_000 / frequency.max(1) as u128) as u64
}

/// Milliseconds since 1970.
pub fn wall_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64)
}
