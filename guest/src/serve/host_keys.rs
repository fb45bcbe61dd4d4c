//! SSH host keys: made anew in a machine that has become another. What they were, the machine that it goes on from has, or all of its image.
//!
//! Keys that are made fast are there before anything goes on. RSA's take an emulated processor up to 20 s: they come later, by a process that gives way
//! to all others. A server that runs reads them when it gets SIGHUP; its connections, which know the old ones, end by the same signal.

use std::ffi::{CStr, CString};

use crate::errors::failure;
use crate::files::entries::each_entry;
use crate::sys::text::parse_decimal;
use crate::sys::{self, check, Errno, Fd, Res};
use crate::wire::messages::Failure;

const DIRECTORY: &CStr = c"/etc/ssh";
const KEYGEN: &CStr = c"/usr/bin/ssh-keygen";
/// More than there are kinds of keys.
const MAX_KEYS: usize = 16;
/// How long the fast ones may take, also on a host that emulates and is busy.
const FAST_MS: i32 = 30_000;
/// The names of OpenSSH's programs that know a key, or a connection made with one.
const SERVERS: [&[u8]; 3] = [b"sshd", b"sshd-session", b"sshd-auth"];

/// A kind of key, as `ssh-keygen -t` names it.
type Kind = Vec<u8>;

/// The keys of a machine.
#[derive(Default)]
pub struct HostKeys {
    maker: Option<Maker>,
}

/// Who makes keys.
struct Maker {
    /// the process group that it leads
    group: i32,
    /// hangs up when it has ended
    alive: Fd,
    kinds: Vec<Kind>,
}

impl HostKeys {
    /// Removes the keys that there are and makes others of the same kinds.
    pub fn renew(&mut self) -> Result<(), Failure> {
        let mut kinds = self.stop_maker();
        for kind in kinds_there()? {
            for end in [&b""[..], b".pub"] {
                remove(&key_path(&kind, end)).map_err(|e| failure(b"cannot remove an SSH host key", e))?;
            }
            if !kinds.contains(&kind) {
                kinds.push(kind);
            }
        }
        if kinds.is_empty() {
            return Ok(());
        }
        kinds.sort_by_key(|kind| is_slow(kind));
        match start_maker(&kinds) {
            Ok((group, alive, ready)) => {
                self.maker = Some(Maker { group, alive, kinds });
                wait(&ready);
            }
            // There are none then, and none that another machine has.
            Err(error) => sys::console::warn("cannot make SSH host keys", error),
        }
        signal_servers();
        Ok(())
    }

    /// In a machine that goes on from another's memory, its maker would write that one's keys. Returns what it was to make.
    fn stop_maker(&mut self) -> Vec<Kind> {
        let Some(maker) = self.maker.take().filter(|maker| !sys::is_hung_up(&maker.alive)) else { return Vec::new() };
        let _ = sys::kill(-maker.group, libc::SIGKILL);
        // Not before they are gone; what its leader leaves behind becomes ours.
        // SAFETY: plain call, without an out parameter.
        while check(unsafe { libc::waitpid(-maker.group, std::ptr::null_mut(), 0) }).is_ok() {}
        maker.kinds
    }
}

fn key_path(kind: &[u8], end: &[u8]) -> CString {
    sys::path(&[DIRECTORY.to_bytes(), b"/ssh_host_", kind, b"_key", end])
}

/// The kind of the key in a file of that name. Pure.
pub fn kind_of(name: &[u8]) -> Option<&[u8]> {
    let kind = name.strip_prefix(b"ssh_host_")?.strip_suffix(b"_key")?;
    (!kind.is_empty() && kind.iter().all(u8::is_ascii_alphanumeric)).then_some(kind)
}

fn kinds_there() -> Result<Vec<Kind>, Failure> {
    let mut kinds = Vec::new();
    let Ok(dir) = sys::open(DIRECTORY, libc::O_RDONLY | libc::O_DIRECTORY) else { return Ok(kinds) };
    each_entry(dir, |name| {
        kinds.extend(kind_of(name.to_bytes()).map(<[u8]>::to_vec));
        Ok(kinds.len() < MAX_KEYS)
    })?;
    Ok(kinds)
}

/// Removes a file; a directory of that name is no key. Where nothing can be written there is nothing of the machine's own, and the key stays its image's.
fn remove(path: &CStr) -> Res<()> {
    // SAFETY: a valid path.
    match check(unsafe { libc::unlink(path.as_ptr()) }) {
        Ok(_) | Err(Errno(libc::ENOENT | libc::EISDIR)) => Ok(()),
        Err(error @ Errno(libc::EROFS)) => {
            sys::console::warn("an SSH host key stays that of the image", error);
            Ok(())
        }
        Err(error) => Err(error),
    }
}

fn is_slow(kind: &[u8]) -> bool {
    kind == b"rsa" || kind == b"dsa"
}

/// Starts who makes them. Returns its group, what hangs up when it has ended, and what does when the fast ones are there.
fn start_maker(kinds: &[Kind]) -> Res<(i32, Fd, Fd)> {
    let ((alive, its_life), (ready, done)) = (sys::pipe()?, sys::pipe()?);
    // SAFETY: the agent has one thread, so the child may do anything.
    let pid = check(unsafe { libc::fork() })?;
    if pid > 0 {
        return Ok((pid, alive, ready));
    }
    prepare_maker([&its_life, &done]);
    for kind in kinds.iter().filter(|kind| !is_slow(kind)) {
        make(kind);
    }
    // SAFETY: plain calls. The descriptor is `done`'s.
    unsafe {
        libc::close(4);
        libc::setpriority(libc::PRIO_PROCESS, 0, 19);
    }
    let mut later = kinds.iter().filter(|kind| is_slow(kind)).peekable();
    let any = later.peek().is_some();
    later.for_each(|kind| make(kind));
    if any {
        signal_servers();
    }
    // SAFETY: plain call.
    unsafe { libc::_exit(0) }
}

/// In the child: a group of its own, the usual priority, signals as programs expect them, no input or output, and of the agent's descriptors none but
/// those two, as 3 and 4.
fn prepare_maker(keep: [&Fd; 2]) {
    // SAFETY: plain calls with initialised structures. What has a descriptor of the agent's is not used any more.
    unsafe {
        libc::setpgid(0, 0);
        libc::setpriority(libc::PRIO_PROCESS, 0, 0);
        let mut none: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&mut none);
        libc::sigprocmask(libc::SIG_SETMASK, &none, std::ptr::null_mut());
        if let Ok(null) = sys::open(c"/dev/null", libc::O_RDWR) {
            for standard in 0..3 {
                libc::dup2(null.raw(), standard);
            }
        }
        // Out of the way first: one may have the other's place.
        let above = keep.map(|fd| libc::fcntl(fd.raw(), libc::F_DUPFD_CLOEXEC, 5));
        for (fd, place) in above.into_iter().zip(3..) {
            libc::dup3(fd, place, libc::O_CLOEXEC);
        }
        libc::syscall(libc::SYS_close_range, 5u32, u32::MAX, 0);
    }
}

/// Makes a key and waits for it.
fn make(kind: &[u8]) {
    let (path, kind) = (key_path(kind, b""), sys::path(&[kind]));
    let argv = [KEYGEN, c"-q", c"-t", &kind, c"-N", c"", c"-f", &path].map(CStr::as_ptr);
    let argv: Vec<_> = argv.into_iter().chain([std::ptr::null()]).collect();
    // SAFETY: argv and its strings live through the call; the child ends if it cannot become the program.
    unsafe {
        let pid = libc::fork();
        if pid == 0 {
            libc::execv(KEYGEN.as_ptr(), argv.as_ptr());
            libc::_exit(127);
        }
        while pid > 0 && libc::waitpid(pid, std::ptr::null_mut(), 0) < 0 && Errno::last().0 == libc::EINTR {}
    }
}

/// Waits until the fast ones are there, or whoever makes them has ended.
fn wait(ready: &Fd) {
    let mut poll = libc::pollfd { fd: ready.raw(), events: libc::POLLIN, revents: 0 };
    // SAFETY: one entry. All signals are blocked, so nothing interrupts it.
    if unsafe { libc::poll(&mut poll, 1, FAST_MS) } == 0 {
        sys::console::warn("SSH host keys come later", Errno(libc::ETIMEDOUT));
    }
}

/// SIGHUP to all that may know a key: frozen as they are, they do nothing else first.
fn signal_servers() {
    let Ok(dir) = sys::open(c"/proc", libc::O_RDONLY | libc::O_DIRECTORY) else { return };
    let _ = each_entry(dir, |name| {
        if let Some(pid) = parse_decimal(name.to_bytes()).filter(|_| is_server(name)) {
            let _ = sys::kill(pid as i32, libc::SIGHUP);
        }
        Ok(true)
    });
}

fn is_server(pid: &CStr) -> bool {
    let link = sys::path(&[b"/proc/", pid.to_bytes(), b"/exe"]);
    let mut target = [0u8; 4096];
    // SAFETY: the buffer is valid for its length.
    let n = unsafe { libc::readlink(link.as_ptr(), target.as_mut_ptr().cast(), target.len()) };
    let target = &target[..n.max(0) as usize];
    let target = target.strip_suffix(b" (deleted)").unwrap_or(target);
    SERVERS.contains(&target.rsplit(|&byte| byte == b'/').next().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::kind_of;

    #[test]
    fn keys_are_known_by_their_names() {
        assert_eq!(kind_of(b"ssh_host_ed25519_key"), Some(&b"ed25519"[..]));
        for other in
            [&b"ssh_host_ed25519_key.pub"[..], b"ssh_host__key", b"ssh_host_../x_key", b"sshd_config", b"moduli"]
        {
            assert_eq!(kind_of(other), None);
        }
    }
}
