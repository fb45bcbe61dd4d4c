//! The guest agent of SmolVM. protocol/PROTOCOL.md says what it speaks, README.md beside this crate what each module is.

use std::ffi::CString;

pub mod abort;
pub mod agent;
pub mod boot;
pub mod cgroup;
pub mod clock;
pub mod cmdline;
pub mod commands;
pub mod configure;
pub mod console;
pub mod disks;
pub mod errors;
pub mod exec;
pub mod file_info;
pub mod file_read;
pub mod file_write;
pub mod files;
pub mod forward;
pub mod frame;
pub mod info;
pub mod kill;
pub mod messages;
pub mod mounts;
pub mod network;
pub mod poller;
pub mod port;
pub mod process;
pub mod pty;
pub mod pump;
pub mod remove;
pub mod requests;
pub mod ring;
pub mod root;
pub mod session;
pub mod shutdown;
pub mod signals;
pub mod spawn;
pub mod sys;
pub mod task;
pub mod text;
pub mod tree;
pub mod tree_read;
pub mod tree_write;
pub mod users;
pub mod watch;
pub mod watched;
pub mod wire;
pub mod worker;

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
    signals::reset_dispositions();
    let served = (|| {
        let path = CString::new(path).map_err(|_| sys::Errno(libc::EINVAL))?;
        let mut agent = agent::Agent::new(agent::Role::Guest)?;
        agent.listen_unix(&path)?;
        console::stage("ready");
        Err::<(), _>(agent.serve())
    })();
    if let Err(error) = served {
        console::warn("cannot serve", error);
    }
    1
}
