//! One cgroup for each command, from a pool: making and removing one costs more than the rest of a small command,
//! so those whose processes have all ended are used again.

use std::collections::VecDeque;
use std::ffi::{CStr, CString};

use crate::sys::{self, Errno, Fd, Res};

const PARENT: &CStr = c"/sys/fs/cgroup/smolvm";
/// A process in the middle of a system call that cannot be interrupted is frozen after it.
const FREEZE_MS: u64 = 5_000;
/// Groups kept for another command.
const KEEP: usize = 128;
/// Groups looked at for an empty one before a new one is made.
const LOOK_AT: usize = 4;

/// A cgroup v2 directory.
pub struct Cgroup {
    dir: Fd,
    events: Fd,
}

impl Cgroup {
    fn create(number: u32) -> Res<Cgroup> {
        let mut path = PARENT.to_bytes().to_vec();
        path.push(b'/');
        path.extend_from_slice(crate::sys::text::decimal(number.into()).as_bytes());
        let path = CString::new(path).unwrap_or_default();
        sys::mkdir(&path, 0o755)?;
        let dir = sys::open(&path, libc::O_RDONLY | libc::O_DIRECTORY)?;
        let events = sys::openat(dir.raw(), c"cgroup.events", libc::O_RDONLY, 0)?;
        Ok(Cgroup { dir, events })
    }

    /// For CLONE_INTO_CGROUP.
    pub fn raw(&self) -> i32 {
        self.dir.raw()
    }

    /// SIGKILL to every process in it.
    pub fn kill(&self) -> Res<()> {
        let fd = sys::openat(self.dir.raw(), c"cgroup.kill", libc::O_WRONLY, 0)?;
        sys::write(fd.raw(), b"1").map(|_| ())
    }

    /// A signal to every process in it.
    pub fn signal(&self, signal: i32) -> Res<()> {
        let fd = sys::openat(self.dir.raw(), c"cgroup.procs", libc::O_RDONLY, 0)?;
        let mut text = Vec::new();
        while sys::read_append(fd.raw(), &mut text, 4096)? > 0 && text.len() < 1 << 20 {}
        for line in text.split(|&b| b == b'\n') {
            if let Some(pid) = crate::sys::text::parse_decimal(line) {
                // It may have ended in between.
                let _ = sys::kill(pid as i32, signal);
            }
        }
        Ok(())
    }

    fn is_empty(&self) -> bool {
        let mut buf = [0u8; 64];
        // SAFETY: the buffer is valid for its length.
        let n = unsafe { libc::pread(self.events.raw(), buf.as_mut_ptr().cast(), buf.len(), 0) };
        n > 0 && buf.starts_with(b"populated 0")
    }
}

/// Freezes every command, or lets all go on. Freezing returns when the kernel says that all are frozen.
pub fn freeze_all(frozen: bool) -> Res<()> {
    let dir = sys::open(PARENT, libc::O_RDONLY | libc::O_DIRECTORY)?;
    let events = sys::openat(dir.raw(), c"cgroup.events", libc::O_RDONLY, 0)?;
    let set = |value: &[u8]| -> Res<()> {
        let file = sys::openat(dir.raw(), c"cgroup.freeze", libc::O_WRONLY, 0)?;
        sys::write(file.raw(), value).map(|_| ())
    };
    if !frozen {
        return set(b"0");
    }
    set(b"1")?;
    let deadline = sys::now_ms() + FREEZE_MS;
    loop {
        let mut text = [0u8; 64];
        // SAFETY: the buffer is valid for its length.
        let n = unsafe { libc::pread(events.raw(), text.as_mut_ptr().cast(), text.len(), 0) };
        if n > 0 && text[..n as usize].windows(8).any(|part| part == b"frozen 1") {
            return Ok(());
        }
        let left = deadline.saturating_sub(sys::now_ms());
        if left == 0 {
            set(b"0")?;
            return Err(Errno(libc::EBUSY));
        }
        let mut wait = libc::pollfd { fd: events.raw(), events: libc::POLLPRI, revents: 0 };
        // SAFETY: plain in and out parameter. The kernel tells each change of the file.
        unsafe { libc::poll(&raw mut wait, 1, left as libc::c_int) };
    }
}

/// The pool. Without cgroup v2 it gives none, and commands are killed by session instead.
pub struct Pool {
    enabled: bool,
    made: u32,
    used: VecDeque<Cgroup>,
}

impl Pool {
    pub fn new(enabled: bool) -> Pool {
        Pool { enabled: enabled && sys::mkdir(PARENT, 0o755).is_ok(), made: 0, used: VecDeque::new() }
    }

    /// An empty cgroup.
    pub fn take(&mut self) -> Option<Cgroup> {
        if !self.enabled {
            return None;
        }
        for _ in 0..self.used.len().min(LOOK_AT) {
            let group = self.used.pop_front()?;
            if group.is_empty() {
                return Some(group);
            }
            self.used.push_back(group);
        }
        self.made += 1;
        Cgroup::create(self.made).ok()
    }

    /// Gives a finished command's cgroup back; background processes may still be in it.
    pub fn give(&mut self, group: Cgroup) {
        // The one that was just left is the likeliest to be empty and warm.
        self.used.push_front(group);
        if self.used.len() > KEEP {
            // Background processes live on in it; nobody will ask for it again.
            self.used.pop_back();
        }
    }
}
