//! What `run` is asked for on Windows.

use std::ffi::OsString;
use std::path::PathBuf;

pub struct Options {
    pub console: PathBuf,
    pub stderr: PathBuf,
    /// bytes that the console's two files may hold together
    pub max_bytes: u64,
    pub exit: PathBuf,
    /// held for as long as we run: it is how others see that we do (src/host/process/process-lock.ts)
    pub lock: PathBuf,
    pub die_with_parent: bool,
    /// the command line of the relay that the program's sockets are reached by (src/host/relay/main.ts); empty: it has none
    pub relay: Vec<OsString>,
    pub command: Vec<OsString>,
}

/// Reads its arguments; none if they are not understood.
pub fn parse(mut args: impl Iterator<Item = OsString>) -> Option<Options> {
    let (mut console, mut stderr, mut exit, mut max_bytes, mut lock) = (None, None, None, None, None);
    let (mut die_with_parent, mut relay) = (false, Vec::new());
    while let Some(arg) = args.next() {
        match arg.to_str()? {
            "--console" => console = Some(args.next()?.into()),
            "--stderr" => stderr = Some(args.next()?.into()),
            "--exit" => exit = Some(args.next()?.into()),
            "--lock" => lock = Some(args.next()?.into()),
            "--max-bytes" => max_bytes = Some(args.next()?.to_str()?.parse().ok()?),
            "--die-with-parent" => die_with_parent = true,
            "--relay-word" => relay.push(args.next()?),
            "--" => break,
            _ => return None,
        }
    }
    let command: Vec<OsString> = args.collect();
    if command.is_empty() {
        return None;
    }
    Some(Options {
        console: console?,
        stderr: stderr?,
        max_bytes: max_bytes?,
        exit: exit?,
        lock: lock?,
        die_with_parent,
        relay,
        command,
    })
}
