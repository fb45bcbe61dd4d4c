//! Decides how a command is started: program, environment, directory, user. Doing it is spawn.rs.

use std::ffi::CString;

use crate::exec::spawn::Stage;
use crate::machine::users::User;
use crate::sys::Errno;
use crate::wire::messages::{code, Exec, Failure};

const DEFAULT_PATH: &[u8] = b"/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
const SHELL: &[u8] = b"/bin/sh";

/// A command ready to be spawned.
pub struct Command {
    pub programs: Vec<CString>,
    pub argv: Vec<CString>,
    pub env: Vec<CString>,
    pub cwd: CString,
    /// the user's home directory was meant; an image may lack it
    pub cwd_optional: bool,
}

fn invalid(message: &str) -> Failure {
    Failure::new(code::INVALID, message)
}

fn c_string(bytes: &[u8], what: &str) -> Result<CString, Failure> {
    CString::new(bytes).map_err(|_| {
        let mut message = what.as_bytes().to_vec();
        message.extend_from_slice(b" holds a NUL byte");
        Failure::new(code::INVALID, message)
    })
}

fn variable(name: &[u8], value: &[u8]) -> Vec<u8> {
    [name, b"=", value].concat()
}

/// Turns a request into a command. Pure.
pub fn prepare(exec: &Exec, user: &User) -> Result<Command, Failure> {
    let argv: Vec<&[u8]> = match (exec.argv.is_empty(), exec.shell.is_empty()) {
        (false, true) => exec.argv.clone(),
        (true, false) => vec![SHELL, b"-c", exec.shell],
        (true, true) => return Err(invalid("neither argv nor shell was given")),
        (false, false) => return Err(invalid("both argv and shell were given")),
    };
    if argv[0].is_empty() {
        return Err(invalid("the program's name is empty"));
    }
    let env = environment(exec, user)?;
    let path = env.iter().rev().find_map(|v| v.strip_prefix(b"PATH=".as_slice())).unwrap_or(DEFAULT_PATH);
    let mut programs = Vec::new();
    if argv[0].contains(&b'/') {
        programs.push(c_string(argv[0], "the program's name")?);
    } else {
        for dir in path.split(|&b| b == b':') {
            let dir: &[u8] = if dir.is_empty() { b"." } else { dir };
            programs.push(c_string(&[dir, b"/", argv[0]].concat(), "the program's name")?);
        }
    }
    let (cwd, cwd_optional): (&[u8], bool) = match exec.cwd {
        b"" if user.account.home.first() == Some(&b'/') => (&user.account.home, true),
        b"" => (b"/", true),
        cwd if cwd[0] == b'/' => (cwd, false),
        _ => return Err(invalid("cwd is not an absolute path")),
    };
    Ok(Command {
        programs,
        argv: argv.iter().map(|arg| c_string(arg, "an argument")).collect::<Result<_, _>>()?,
        env: env.into_iter().map(|v| c_string(&v, "an environment variable")).collect::<Result<_, _>>()?,
        cwd: c_string(cwd, "cwd")?,
        cwd_optional,
    })
}

/// The request's variables over the defaults.
fn environment(exec: &Exec, user: &User) -> Result<Vec<Vec<u8>>, Failure> {
    let name = &user.account.name;
    let mut env = vec![
        variable(b"PATH", DEFAULT_PATH),
        variable(b"HOME", &user.account.home),
        variable(b"USER", name),
        variable(b"LOGNAME", name),
        variable(b"LANG", b"C.UTF-8"),
    ];
    if exec.pty.is_some() {
        env.push(variable(b"TERM", b"xterm-256color"));
    }
    let defaults = env.len();
    for given in &exec.env {
        let Some(length) = given.iter().position(|&b| b == b'=').filter(|&n| n > 0) else {
            return Err(invalid("an environment variable has no name or no '='"));
        };
        let with_name = &given[..=length];
        // Only the defaults are searched: a megabyte of variables must not cost a quadratic search.
        match env[..defaults].iter_mut().find(|v| v.starts_with(with_name)) {
            Some(default) => *default = given.to_vec(),
            None => env.push(given.to_vec()),
        }
    }
    Ok(env)
}

fn quoted(prefix: &str, name: &[u8], errno: Errno) -> Vec<u8> {
    let mut message = prefix.as_bytes().to_vec();
    message.extend_from_slice(b" '");
    message.extend_from_slice(&name[..name.len().min(1024)]);
    message.extend_from_slice(b"': ");
    message.extend_from_slice(errno.text().as_bytes());
    message
}

/// A failed start in the protocol's words.
pub fn start_failure(stage: Stage, errno: Errno, program: &[u8], cwd: &[u8]) -> Failure {
    let (code, message) = match stage {
        Stage::Clone => (code::LIMIT, quoted("no new process for", program, errno)),
        Stage::Setup => (code::IO, quoted("cannot prepare", program, errno)),
        Stage::Identity => (code::PERMISSION, quoted("cannot change the user for", program, errno)),
        Stage::Cwd => (code::BAD_CWD, quoted("cannot change to the directory", cwd, errno)),
        Stage::Exec => {
            let code = match errno.0 {
                libc::ENOENT | libc::ENOTDIR => code::NOT_FOUND,
                libc::E2BIG => code::TOO_LONG,
                libc::ENOMEM | libc::EAGAIN | libc::EMFILE | libc::ENFILE => code::LIMIT,
                libc::EIO => code::IO,
                _ => code::NOT_EXECUTABLE,
            };
            (code, quoted("cannot run", program, errno))
        }
    };
    Failure { errno: errno.0, ..Failure::new(code, message) }
}
