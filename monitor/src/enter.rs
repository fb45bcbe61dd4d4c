//! `enter`: the last step into a sandbox that another program (bubblewrap, systemd) has made around us. Says which process
//! this is to the monitor outside, gives up what the program shall not have, and becomes the program.

use std::ffi::{CString, OsStr, OsString};
use std::os::unix::ffi::OsStrExt;

use crate::sys::{check, errno};

/// The descriptor of the monitor's socket: whoever writes to it tells the monitor its pid, in every pid namespace.
pub const TELL_FD: i32 = 3;

/// A user, as the kernel knows it.
pub struct User {
    uid: libc::uid_t,
    gid: libc::gid_t,
    groups: Vec<libc::gid_t>,
}

pub struct Options {
    /// to whom stdout and stderr are given, so that the program may open them by name in /proc
    own_output: Option<User>,
    /// who runs the program; None: whoever runs us
    user: Option<User>,
    /// NAME=VALUE, besides PATH
    environment: Vec<OsString>,
    command: Vec<OsString>,
}

/// "UID:GID[:GROUP]...", each a number.
fn user(text: &OsStr) -> Option<User> {
    let mut numbers = text.to_str()?.split(':').map(|number| number.parse().ok());
    let (uid, gid) = (numbers.next()??, numbers.next()??);
    Some(User { uid, gid, groups: numbers.collect::<Option<_>>()? })
}

pub fn parse(mut args: impl Iterator<Item = OsString>) -> Option<Options> {
    let mut options = Options { own_output: None, user: None, environment: Vec::new(), command: Vec::new() };
    while let Some(arg) = args.next() {
        match arg.as_bytes() {
            b"--own-output" => options.own_output = Some(user(&args.next()?)?),
            b"--user" => options.user = Some(user(&args.next()?)?),
            b"--setenv" => options.environment.push(args.next()?),
            b"--" => break,
            _ => return None,
        }
    }
    options.command = args.collect();
    (!options.command.is_empty()).then_some(options)
}

/// Becomes the program; returns only the exit status for when that fails.
pub fn enter(options: &Options) -> i32 {
    let Err((what, error)) = prepare(options).and_then(|()| exec(&options.command, &options.environment));
    eprintln!("smolvm-monitor: {what}: {}", std::io::Error::from_raw_os_error(error));
    126
}

type Failed = (String, i32);

fn prepare(options: &Options) -> Result<(), Failed> {
    let failed = |what: &str| {
        let what = what.to_owned();
        move |error| (what, error)
    };
    // SAFETY: plain calls; the list of groups is valid for its length.
    unsafe {
        check(libc::write(TELL_FD, b"\n".as_ptr().cast(), 1) as libc::c_int).map_err(failed("no monitor listens"))?;
        libc::close(TELL_FD);
        if let Some(owner) = &options.own_output {
            for fd in [1, 2] {
                check(libc::fchown(fd, owner.uid, owner.gid)).map_err(failed("cannot give the output away"))?;
            }
        }
        if let Some(User { uid, gid, groups }) = &options.user {
            // What no program that it ran could ever get back; the numbers end with the kernel's last capability.
            for capability in 0..64 {
                if libc::prctl(libc::PR_CAPBSET_DROP, capability, 0, 0, 0) != 0 {
                    break;
                }
            }
            check(libc::setgroups(groups.len(), groups.as_ptr())).map_err(failed("cannot change the groups"))?;
            check(libc::setresgid(*gid, *gid, *gid)).map_err(failed("cannot change the group"))?;
            // With it go all capabilities: none of the three users is root any more (capabilities(7)).
            check(libc::setresuid(*uid, *uid, *uid)).map_err(failed("cannot change the user"))?;
        }
        check(libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)).map_err(failed("cannot give up new privileges"))?;
    }
    Ok(())
}

fn exec(command: &[OsString], environment: &[OsString]) -> Result<std::convert::Infallible, Failed> {
    let name = || format!("cannot run {}", command[0].to_string_lossy());
    let arguments: Vec<CString> = command
        .iter()
        .map(|arg| CString::new(arg.as_bytes()))
        .collect::<Result<_, _>>()
        .map_err(|_| ("an argument holds a NUL byte".into(), libc::EINVAL))?;
    let pointers = |words: &[CString]| -> Vec<*const libc::c_char> {
        words.iter().map(|word| word.as_ptr()).chain([std::ptr::null()]).collect()
    };
    // Of our starter's environment, in which there may be secrets, it gets PATH alone.
    let path = std::env::var_os("PATH").map(|value| [b"PATH=", value.as_bytes()].concat());
    let environment: Vec<CString> = path
        .into_iter()
        .chain(environment.iter().map(|variable| variable.as_bytes().to_vec()))
        .filter_map(|variable| CString::new(variable).ok())
        .collect();
    let (words, environment) = (pointers(&arguments), pointers(&environment));
    // SAFETY: two lists of C strings that end in a null; the strings live as long as the call.
    unsafe {
        // The standard library ignores it, and ignored signals are inherited.
        libc::signal(libc::SIGPIPE, libc::SIG_DFL);
        libc::execve(words[0], words.as_ptr(), environment.as_ptr());
    }
    Err((name(), errno()))
}
