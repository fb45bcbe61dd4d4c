//! The guest agent of SmolVM. protocol/PROTOCOL.md says what it speaks.
//!
//! Each folder is a room that holds one idea and uses only rooms below it. tests/unit/layers-rust.test.ts is the judge of
//! this table; it also sees to it that modules import each other without a circle, and that a type's methods are where
//! the type is.
//!
//! | room | idea | uses |
//! |---|---|---|
//! | `boot` | from the kernel's first process to the final root | serve machine sys |
//! | `serve` | what a host can ask for, and the loop that answers | streams files exec machine errors wire sys |
//! | `streams` | sessions, their streams, and the bytes between a stream and the task that runs for it | exec machine wire sys |
//! | `files` | file requests, run in a forked child | machine errors wire sys |
//! | `exec` | a command, from a request through clone3 to the signals that reach all it started | machine wire sys |
//! | `machine` | this machine: names, accounts, addresses, clock, disk, facts | errors wire sys |
//! | `errors` | error numbers as the protocol's failures | wire sys |
//! | `wire` | pure: the protocol's bytes |  |
//! | `sys` | thin wrappers over system calls: descriptors, epoll, the console |  |

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
        [b"--step", rest @ ..] => exec::step::run(rest),
        [b"--version"] => {
            let _ = sys::write(1, [wire::VERSION.as_bytes(), b"\n"].concat().as_slice());
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
        agent.listeners.listen_unix(&mut agent.mux, &path)?;
        sys::console::stage("ready");
        Err::<(), _>(serve::event_loop::serve(&mut agent))
    })();
    if let Err(error) = served {
        sys::console::warn("cannot serve", error);
    }
    1
}
