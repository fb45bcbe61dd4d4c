//! The host-side helper: starts a VMM, keeps its console and messages in bounded files with nobody watching, and
//! writes down how it ended. Small and dumb on purpose; decisions are made by who starts it.

mod copy;
mod enter;
mod extents;
mod layers;
mod log;
mod memory;
mod network;
mod options;
mod run;
mod sparse;
mod sys;
mod tap;
mod tsc;

use std::os::unix::ffi::OsStrExt;

const USAGE: &str = "usage: smolvm-monitor run --console FILE --stderr FILE --max-bytes N --exit FILE \
[--die-with-parent] [--held] [--cgroup DIR] [--wrapped] [NETWORK] -- PROGRAM ARGS...\n       \
smolvm-monitor network NETWORK\n         NETWORK: --nft FILE --net-rules TEXT --connector FILE [--connector ARG]...\n       \
smolvm-monitor enter [--own-output UID:GID] [--user UID:GID[:GROUP]...] [--setenv NAME=VALUE]... -- PROGRAM ARGS...\n       \
smolvm-monitor own-tap NAME UID\n       smolvm-monitor extents FILE\n       \
smolvm-monitor copy FROM TO\n       smolvm-monitor copy-pages FROM TO\n       smolvm-monitor join TO BASE [LAYER MAP]...\n       \
smolvm-monitor subtract PERCENT FILE MAP BASE [LAYER MAP]...\n       smolvm-monitor memory PID ADDRESS SIZE FILE\n       smolvm-monitor tsc\n       smolvm-monitor version";

fn main() {
    let mut args = std::env::args_os().skip(1);
    let status = match args.next().as_deref().map(OsStrExt::as_bytes) {
        Some(b"run") => match options::parse(args) {
            Some(options) => run::run(&options),
            None => usage(),
        },
        Some(b"enter") => match enter::parse(args) {
            Some(options) => enter::enter(&options),
            None => usage(),
        },
        Some(b"network") => match network::parse(args) {
            Some(options) => network::prove(&options),
            None => usage(),
        },
        Some(b"hold") => network::wait(), // for ourselves
        Some(b"own-tap") => match tap::parse(args) {
            Some((name, uid)) => tap::own(&name, uid),
            None => usage(),
        },
        Some(b"extents") => match args.next() {
            Some(path) => extents::print(path.as_ref()),
            None => usage(),
        },
        Some(b"copy") => match (args.next(), args.next()) {
            (Some(from), Some(to)) => copy::copy(from.as_ref(), to.as_ref()),
            _ => usage(),
        },
        Some(b"copy-pages") => match (args.next(), args.next()) {
            (Some(from), Some(to)) => memory::save_file(from.as_ref(), to.as_ref()),
            _ => usage(),
        },
        Some(b"join") => told(layers::join(args).map(|()| String::new())),
        Some(b"subtract") => told(layers::subtract(args).map(|done| match done {
            layers::Subtracted::Difference { own, of } => format!("difference {own} {of}\n"),
            layers::Subtracted::Whole { own, of } => format!("whole {own} {of}\n"),
        })),
        Some(b"memory") => match memory::parse(args) {
            Some((part, to)) => memory::save(&part, to.as_ref()),
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

/// Says how it went.
fn told(done: std::io::Result<String>) -> i32 {
    match done {
        Ok(text) => {
            print!("{text}");
            0
        }
        Err(error) => {
            eprintln!("{error}");
            1
        }
    }
}

fn usage() -> i32 {
    eprintln!("{USAGE}");
    2
}
