//! What `run` is asked for.

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use crate::network;

pub struct Options {
    pub console: PathBuf,
    pub stderr: PathBuf,
    /// bytes that the console's two files may hold together
    pub max_bytes: u64,
    pub exit: PathBuf,
    pub die_with_parent: bool,
    /// it waits for a byte on its stdin first
    pub held: bool,
    /// the cgroup that the program is put into before it runs
    pub cgroup: Option<PathBuf>,
    /// the program runs the one that is meant, and that one says itself which process it is (enter.rs)
    pub wrapped: bool,
    /// a network of its own
    pub network: Option<network::Options>,
    pub command: Vec<OsString>,
}

/// Reads its arguments; none if they are not understood.
pub fn parse(mut args: impl Iterator<Item = OsString>) -> Option<Options> {
    let (mut console, mut stderr, mut exit, mut max_bytes, mut cgroup) = (None, None, None, None, None);
    let (mut die_with_parent, mut held, mut wrapped) = (false, false, false);
    let mut network = network::Reader::default();
    while let Some(arg) = args.next() {
        match arg.as_bytes() {
            b"--console" => console = Some(args.next()?.into()),
            b"--stderr" => stderr = Some(args.next()?.into()),
            b"--exit" => exit = Some(args.next()?.into()),
            b"--max-bytes" => max_bytes = Some(args.next()?.to_str()?.parse().ok()?),
            b"--die-with-parent" => die_with_parent = true,
            b"--held" => held = true,
            b"--cgroup" => cgroup = Some(args.next()?.into()),
            b"--wrapped" => wrapped = true,
            b"--" => break,
            name => network.take(name, || args.next())?.then_some(())?,
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
        die_with_parent,
        held,
        cgroup,
        wrapped,
        network: network.finish()?,
        command,
    })
}
