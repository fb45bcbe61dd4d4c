//! A cgroup v2 directory: what is in it, its end, its limits.

use std::ffi::CStr;

use crate::sys::text::{decimal, parse_decimal};
use crate::sys::{self, Fd, Res};
use crate::wire::messages::Limits;

/// That of all commands.
const ALL: &CStr = c"/sys/fs/cgroup/smolvm";
/// A process in the middle of a system call that cannot be interrupted is frozen after it: so long it is waited for, in ms.
const FREEZE_MS: u64 = 5_000;

/// One command's cgroup, or that of all.
pub struct Cgroup {
    dir: Fd,
    /// cgroup.events: readable at once, and urgent (EPOLLPRI) when what it says changes
    pub events: Fd,
}

impl Cgroup {
    /// Makes it in the directory `parent`, if it is not there.
    pub fn create(parent: &Fd, name: &CStr) -> Res<Cgroup> {
        sys::mkdirat(parent.raw(), name, 0o755)?;
        let dir = sys::openat(parent.raw(), name, libc::O_RDONLY | libc::O_DIRECTORY, 0)?;
        let events = sys::openat(dir.raw(), c"cgroup.events", libc::O_RDONLY, 0)?;
        Ok(Cgroup { dir, events })
    }

    /// For CLONE_INTO_CGROUP, and to make others in it.
    pub fn dir(&self) -> &Fd {
        &self.dir
    }

    pub fn write(&self, file: &CStr, value: &[u8]) -> Res<()> {
        let fd = sys::openat(self.dir.raw(), file, libc::O_WRONLY, 0)?;
        sys::write(fd.raw(), value).map(|_| ())
    }

    /// Puts limits into force; those that are 0 stay as they are.
    pub fn limit(&self, limits: Limits) -> Res<()> {
        if limits.pids != 0 {
            self.write(c"pids.max", decimal(limits.pids.into()).as_bytes())?;
        }
        if limits.memory != 0 {
            self.write(c"memory.max", decimal(limits.memory).as_bytes())?;
        }
        Ok(())
    }

    /// SIGKILL to every process in it. What is being forked meanwhile is killed as well.
    pub fn kill(&self) -> Res<()> {
        self.write(c"cgroup.kill", b"1")
    }

    /// A signal to every process in it.
    pub fn signal(&self, signal: i32) -> Res<()> {
        for pid in self.pids()? {
            // It may have ended in between.
            let _ = sys::kill(pid, signal);
        }
        Ok(())
    }

    /// How many processes are in it, threads included; at least the processes that are in none that was made in it, where there is no
    /// controller that counts.
    pub fn count(&self) -> u32 {
        let listed =
            || self.read(c"cgroup.procs").map_or(0, |text| text.iter().filter(|&&b| b == b'\n').count() as u64);
        self.number(c"pids.current").unwrap_or_else(listed).min(u32::MAX.into()) as u32
    }

    pub fn open(&self, file: &CStr) -> Res<Fd> {
        sys::openat(self.dir.raw(), file, libc::O_RDONLY, 0)
    }

    /// What a file holds, 1 MiB of it at most.
    pub fn read(&self, file: &CStr) -> Res<Vec<u8>> {
        let fd = self.open(file)?;
        let mut text = Vec::new();
        while sys::read_append(fd.raw(), &mut text, 4096)? > 0 && text.len() < 1 << 20 {}
        Ok(text)
    }

    /// The number that a file holds; none if it is a word, or there is no such file.
    pub fn number(&self, file: &CStr) -> Option<u64> {
        self.read(file).ok().and_then(|text| parse_decimal(text.trim_ascii()))
    }

    fn pids(&self) -> Res<Vec<i32>> {
        let text = self.read(c"cgroup.procs")?;
        Ok(text.split(|&b| b == b'\n').filter_map(parse_decimal).map(|pid| pid as i32).collect())
    }

    /// The process that the kernel would end if it had to.
    pub fn largest(&self) -> Option<i32> {
        self.pids().ok()?.into_iter().max_by_key(|&pid| badness(pid))
    }

    /// No process is left in it, nor in what was made in it: the kernel says so.
    pub fn is_empty(&self) -> bool {
        is_empty(&self.events)
    }
}

/// The same, by a cgroup's events.
pub fn is_empty(events: &Fd) -> bool {
    let mut buf = [0u8; 64];
    // SAFETY: the buffer is valid for its length.
    let n = unsafe { libc::pread(events.raw(), buf.as_mut_ptr().cast(), buf.len(), 0) };
    n > 0 && buf.starts_with(b"populated 0")
}

/// How much the kernel would rather end a process than others.
pub fn badness(pid: i32) -> u64 {
    let path = [b"/proc/", decimal(pid as u64).as_bytes(), b"/oom_score\0"].concat();
    let Ok(path) = CStr::from_bytes_with_nul(&path) else { return 0 };
    sys::read_file(path, 32).ok().and_then(|text| parse_decimal(text.trim_ascii())).unwrap_or(0)
}

/// The number behind a word, in a file of such lines that is open.
pub fn value(file: &Fd, word: &[u8]) -> Option<u64> {
    let mut buf = [0u8; 512];
    // SAFETY: the buffer is valid for its length.
    let n = unsafe { libc::pread(file.raw(), buf.as_mut_ptr().cast(), buf.len(), 0) };
    let mut lines = buf[..n.max(0) as usize].split(|&b| b == b'\n');
    lines.find_map(|line| parse_decimal(line.strip_prefix(word)?.strip_prefix(b" ")?))
}

/// Every command is to stand still. The kernel says when all do.
pub struct Freezing {
    /// cgroup.events of them all: urgent (EPOLLPRI) when what it says changes
    pub events: Fd,
    /// when it is given up, in monotonic ms
    pub until: u64,
}

impl Freezing {
    pub fn is_done(&self) -> bool {
        value(&self.events, b"frozen") == Some(1)
    }
}

/// Has every command stand still. What waits in the kernel for an answer, also one that the agent passes on, does so when it has come.
pub fn freeze_all() -> Res<Freezing> {
    let dir = all()?;
    let events = sys::openat(dir.raw(), c"cgroup.events", libc::O_RDONLY, 0)?;
    set_frozen(&dir, b"1")?;
    Ok(Freezing { events, until: sys::now_ms() + FREEZE_MS })
}

/// Lets every command go on.
pub fn thaw_all() -> Res<()> {
    set_frozen(&all()?, b"0")
}

fn all() -> Res<Fd> {
    sys::open(ALL, libc::O_RDONLY | libc::O_DIRECTORY)
}

fn set_frozen(dir: &Fd, value: &[u8]) -> Res<()> {
    let file = sys::openat(dir.raw(), c"cgroup.freeze", libc::O_WRONLY, 0)?;
    sys::write(file.raw(), value).map(|_| ())
}
