//! `smolvm-files serve`: what it is started with, and the loop.

use crate::confine;
use crate::program::options::options;
use crate::program::server::Server;
use crate::session::dial::Dial;
use crate::session::link::Over;
use crate::sys::{log, sockets, write, Errno, Fd, Res};

/// What a server is started with.
pub struct Options {
    dial: Dial,
    control: Vec<u8>,
}

pub fn parse(args: &[&[u8]]) -> Option<Options> {
    let [session, port, control] = options(args, ["--session", "--vsock-port", "--control"])?;
    let port = match port {
        Some(port) => Some(std::str::from_utf8(port).ok()?.parse().ok()?),
        None => None,
    };
    Some(Options { dial: Dial { path: session?.to_vec(), port }, control: control?.to_vec() })
}

/// Listens; a socket that nobody listens at any more is replaced.
fn listen(path: &[u8]) -> Res<Fd> {
    match sockets::listen(path) {
        Err(Errno(libc::EADDRINUSE)) if sockets::connect(path) == Err(Errno(libc::ECONNREFUSED)) => {
            let name = std::ffi::CString::new(path).map_err(|_| Errno(libc::EINVAL))?;
            // SAFETY: the path is NUL-terminated.
            unsafe { libc::unlink(name.as_ptr()) };
            sockets::listen(path)
        }
        other => other,
    }
}

/// Serves until the sandbox is gone. Returns an exit status.
pub fn serve(options: &Options) -> i32 {
    let started = listen(&options.control).and_then(|listener| Ok((listener, confine::confine()?)));
    let (listener, files) = match started {
        Ok(started) => started,
        Err(error) => {
            log::say(format_args!("cannot serve: {error}"));
            return 1;
        }
    };
    // Who has started us may ask from now on. Nothing more is said there.
    let _ = write(1, b"ready\n");
    let mut server = Server::new(options.dial.clone(), listener, files);
    loop {
        match server.turn() {
            Ok(()) => {}
            Err(Over::Ended) => return 0,
            Err(Over::Failed(why)) => {
                log::say(format_args!("{why}"));
                return 1;
            }
        }
    }
}
