//! The command lines.

pub mod options;
pub mod serve;
pub mod server;
pub mod streams;

use crate::control::client;
use crate::control::request::{Mode, MountRequest};
use crate::program::options::options;
use crate::sys::{write, Errno};
use crate::wire::VERSION;

const USAGE: &str = "usage: smolvm-files serve --session PATH [--vsock-port N] --control PATH\n       \
smolvm-files share --control PATH --host DIR --guest PATH --mode ro|rw|overlay [--user NAME] [--file NAME] [--source TEXT] [--coherence events|strict]\n       \
smolvm-files ask --control PATH JSON\n       smolvm-files version\n";

/// Runs the program with its arguments; returns its exit status.
pub fn run(args: &[&[u8]]) -> i32 {
    match args {
        [b"serve", rest @ ..] => serve::parse(rest).map_or_else(usage, |options| serve::serve(&options)),
        [b"share", rest @ ..] => share(rest).unwrap_or_else(usage),
        [b"ask", b"--control", control, request] => match std::str::from_utf8(request) {
            Ok(request) => told(client::ask(control, &format!("{}\n", request.replace('\n', " ")), None)),
            Err(_) => usage(),
        },
        [b"version" | b"--version"] => {
            let _ = write(1, format!("{VERSION}\n").as_bytes());
            0
        }
        _ => usage(),
    }
}

fn usage() -> i32 {
    let _ = write(2, USAGE.as_bytes());
    2
}

fn told(done: Result<bool, Errno>) -> i32 {
    match done {
        Ok(true) => 0,
        Ok(false) => 1,
        Err(error) => {
            let _ = write(2, format!("smolvm-files: {error}\n").as_bytes());
            1
        }
    }
}

/// Asks a server to share a directory.
fn share(args: &[&[u8]]) -> Option<i32> {
    let names = ["--control", "--host", "--guest", "--mode", "--user", "--file", "--source", "--coherence"];
    let [control, host, guest, mode, user, file, source, coherence] = options(args, names)?;
    let text = |value: Option<&[u8]>| match value {
        Some(value) => String::from_utf8(value.to_vec()).ok().map(Some),
        None => Some(None),
    };
    let mode = match mode? {
        b"ro" => Mode::ReadOnly,
        b"rw" => Mode::ReadWrite,
        b"overlay" => Mode::Overlay,
        _ => return None,
    };
    let strict = match coherence {
        None | Some(b"events") => false,
        Some(b"strict") => true,
        Some(_) => return None,
    };
    let request = MountRequest {
        guest: text(guest)??,
        mode,
        user: text(user)?.unwrap_or_default(),
        file: text(file)?,
        source: text(source)?.unwrap_or_default(),
        strict,
    };
    let (control, host) = (control?, host?);
    Some(told(client::directory(host).and_then(|fd| client::ask(control, &request.line(), Some(&fd)))))
}
