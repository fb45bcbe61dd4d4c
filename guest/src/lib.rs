//! The guest agent of SmolVM. protocol/PROTOCOL.md says what it speaks, README.md beside this crate what each module is.

use std::ffi::CString;

pub mod boot;
pub mod errors;
pub mod exec;
pub mod files;
pub mod machine;
pub mod serve;
pub mod streams;
pub mod sys;
pub mod wire;

/// The agent's version.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

const USAGE: &[u8] = b"smolvm-agent is PID 1 of a sandbox.\n\
    For tests it also runs as an ordinary process: smolvm-agent --listen-unix PATH\n";

/// Runs the agent with the program's arguments. Returns an exit status, if at all.
pub fn run(args: &[&[u8]]) -> i32 {
    // SAFETY: plain call.
    if unsafe { libc::getpid() } == 1 {
        boot::run();
    }
    match args {
        [b"--listen-unix", path] => listen(path),
        [b"--version"] => {
            let _ = sys::write(1, [VERSION.as_bytes(), b"\n"].concat().as_slice());
            0
        }
        _ => {
            let _ = sys::write(2, USAGE);
            2
        }
    }
}

/// Serves sessions on a Unix socket, as an ordinary process.
fn listen(path: &[u8]) -> i32 {
    serve::signals::reset_dispositions();
    let served = (|| {
        let path = CString::new(path).map_err(|_| sys::Errno(libc::EINVAL))?;
        let mut agent = serve::agent::Agent::new(machine::role::Role::Guest)?;
        agent.listen_unix(&path)?;
        sys::console::stage("ready");
        Err::<(), _>(agent.serve())
    })();
    if let Err(error) = served {
        sys::console::warn("cannot serve", error);
    }
    1
}
