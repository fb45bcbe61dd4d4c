//! A step of a build, as a program of its own (`--step`): a command with directories and files mounted that nobody else sees, and without a network
//! if that is wanted.
//!
//! `--step [--no-network] [--bind FROM TO ro|rw]... [--tmpfs TO BYTES]... --user USER --cwd DIR [--env NAME=VALUE]... -- COMMAND...`

use std::ffi::{CStr, CString};

use crate::sys::{self, check, Errno, Res};

/// Runs it. Returns an exit status only if it cannot be.
pub fn run(args: &[&[u8]]) -> i32 {
    let Err((what, errno)) = step(args);
    let _ = sys::write(2, &[b"smolvm: ", what.as_slice(), b": ", errno.text().as_bytes(), b"\n"].concat());
    if errno.0 == libc::ENOENT && what.starts_with(b"cannot run") {
        127
    } else {
        126
    }
}

type Failed = (Vec<u8>, Errno);

fn failed(what: &str, path: &[u8]) -> impl FnOnce(Errno) -> Failed {
    let what = [what.as_bytes(), b" '", path, b"'"].concat();
    move |errno| (what, errno)
}

enum Never {}

fn step(args: &[&[u8]]) -> Result<Never, Failed> {
    let malformed = || (b"the arguments of a step are malformed".to_vec(), Errno(libc::EINVAL));
    let text = |bytes: &[u8]| CString::new(bytes).map_err(|_| malformed());
    let mut flags = libc::CLONE_NEWNS;
    let end = args.iter().position(|arg| *arg == b"--").ok_or_else(malformed)?;
    if args[..end].contains(&b"--no-network".as_slice()) {
        flags |= libc::CLONE_NEWNET;
    }
    // SAFETY: plain call.
    check(unsafe { libc::unshare(flags) }).map_err(failed("cannot begin", b"a step"))?;
    sys::mount(c"", c"/", c"", libc::MS_REC | libc::MS_PRIVATE, c"").map_err(failed("cannot part from", b"/"))?;
    let (mut user, mut cwd): (&[u8], &[u8]) = (b"", b"/");
    let mut env = Vec::new();
    let mut at = 0;
    while at < end {
        let value = |offset: usize| args[..end].get(at + offset).copied().ok_or_else(malformed);
        at += match args[at] {
            b"--no-network" => {
                crate::machine::network::loopback_up().map_err(failed("cannot bring up", b"lo"))?;
                1
            }
            b"--bind" => {
                bind(&text(value(1)?)?, &text(value(2)?)?, value(3)? == b"ro")
                    .map_err(failed("cannot mount", value(2)?))?;
                4
            }
            b"--tmpfs" => {
                let target = text(value(1)?)?;
                let size = text(&[b"mode=0755,size=", value(2)?].concat())?;
                make_way(&target, true)
                    .and_then(|()| sys::mount(c"tmpfs", &target, c"tmpfs", libc::MS_NOSUID | libc::MS_NODEV, &size))
                    .map_err(failed("cannot mount", value(1)?))?;
                3
            }
            b"--user" => {
                user = value(1)?;
                2
            }
            b"--cwd" => {
                cwd = value(1)?;
                2
            }
            b"--env" => {
                env.push(text(value(1)?)?);
                2
            }
            _ => return Err(malformed()),
        };
    }
    become_user(user)?;
    for item in env {
        // SAFETY: the string is never freed: the command's environment goes on pointing at it.
        unsafe { libc::putenv(item.into_raw()) };
    }
    let directory = text(cwd)?;
    // SAFETY: the path is NUL-terminated.
    check(unsafe { libc::chdir(directory.as_ptr()) }).map_err(failed("cannot enter", cwd))?;
    let command = args[end + 1..].iter().map(|arg| text(arg)).collect::<Result<Vec<_>, _>>()?;
    let program = command.first().ok_or_else(malformed)?;
    let mut pointers: Vec<_> = command.iter().map(|arg| arg.as_ptr()).collect();
    pointers.push(std::ptr::null());
    // SAFETY: the list ends in a null pointer, and its strings live.
    unsafe { libc::execvp(program.as_ptr(), pointers.as_ptr()) };
    Err(failed("cannot run", program.to_bytes())(Errno::last()))
}

fn bind(from: &CStr, to: &CStr, read_only: bool) -> Res<()> {
    // SAFETY: the path is NUL-terminated, the structure a plain out parameter.
    let is_directory = unsafe {
        let mut stat: libc::stat = std::mem::zeroed();
        check(libc::stat(from.as_ptr(), &mut stat))?;
        stat.st_mode & libc::S_IFMT == libc::S_IFDIR
    };
    make_way(to, is_directory)?;
    sys::mount(from, to, c"", libc::MS_BIND, c"")?;
    if read_only {
        sys::mount(c"", to, c"", libc::MS_BIND | libc::MS_REMOUNT | libc::MS_RDONLY, c"")?;
    }
    Ok(())
}

/// Makes what is missing of a path to mount on.
fn make_way(path: &CStr, directory: bool) -> Res<()> {
    let bytes = path.to_bytes();
    let slashes = bytes.iter().enumerate().skip(1).filter(|(_, &b)| b == b'/').map(|(at, _)| at);
    for end in slashes.chain(directory.then_some(bytes.len())) {
        sys::mkdir(&sys::path(&[&bytes[..end]]), 0o755)?;
    }
    if !directory {
        sys::open_mode(path, libc::O_WRONLY | libc::O_CREAT, 0o600)?;
    }
    Ok(())
}

fn become_user(wanted: &[u8]) -> Result<(), Failed> {
    let no_user = |failure: crate::wire::messages::Failure| (failure.message, Errno(libc::EINVAL));
    let user = crate::machine::users::resolve(wanted).map_err(no_user)?;
    let identity = &user.identity;
    // SAFETY: the list is valid for its length.
    let changed = unsafe {
        check(libc::setgroups(identity.groups.len(), identity.groups.as_ptr()))
            .and_then(|_| check(libc::setgid(identity.gid)))
            .and_then(|_| check(libc::setuid(identity.uid)))
    };
    changed.map_err(failed("cannot become", wanted))?;
    for (name, value) in
        [("HOME=", &user.account.home), ("USER=", &user.account.name), ("LOGNAME=", &user.account.name)]
    {
        if let Ok(item) = CString::new([name.as_bytes(), value.as_slice()].concat()) {
            // SAFETY: the string is never freed.
            unsafe { libc::putenv(item.into_raw()) };
        }
    }
    Ok(())
}
