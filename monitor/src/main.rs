//! The host-side helper: starts a VMM, keeps its console and messages in bounded files with nobody watching, and
//! writes down how it ended. Small and dumb on purpose; decisions are made by who starts it.

mod enter;
mod log;
mod run;
mod sys;
mod tap;
mod tsc;

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

const USAGE: &str = "usage: smolvm-monitor run --console FILE --stderr FILE --max-bytes N --exit FILE \
[--die-with-parent] [--held] [--cgroup DIR] [--wrapped] -- PROGRAM ARGS...\n       \
smolvm-monitor enter [--own-output UID:GID] [--user UID:GID[:GROUP]...] -- PROGRAM ARGS...\n       \
smolvm-monitor own-tap NAME UID\n       smolvm-monitor tsc\n       smolvm-monitor version";

/// What `run` was asked for.
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
    pub command: Vec<OsString>,
}

fn parse(mut args: impl Iterator<Item = OsString>) -> Option<Options> {
    let (mut console, mut stderr, mut exit, mut max_bytes, mut cgroup) = (None, None, None, None, None);
    let (mut die_with_parent, mut held, mut wrapped) = (false, false, false);
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
        die_with_parent,
        held,
        cgroup,
        wrapped,
        command,
    })
}

fn main() {
    let mut args = std::env::args_os().skip(1);
    let status = match args.next().as_deref().map(OsStrExt::as_bytes) {
        Some(b"run") => match parse(args) {
            Some(options) => run::run(&options),
            None => usage(),
        },
        Some(b"enter") => match enter::parse(args) {
            Some(options) => enter::enter(&options),
            None => usage(),
        },
        Some(b"own-tap") => match tap::parse(args) {
            Some((name, uid)) => tap::own(&name, uid),
            None => usage(),
        },
        Some(b"tsc") => match tsc::khz() {
            Some(khz) => {
                println!("{khz}");
                0
            }
            None => {
                eprintln!("this machine has no time stamp counter");
                1
            }
        },
        Some(b"version" | b"--version") => {
            println!("{}", env!("CARGO_PKG_VERSION"));
            0
        }
        _ => usage(),
    };
    std::process::exit(status);
}

fn usage() -> i32 {
    eprintln!("{USAGE}");
    2
}
