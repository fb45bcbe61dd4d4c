//! The host-side helper: starts a VMM, keeps its console and messages in bounded files with nobody watching, and
//! writes down how it ended. Small and dumb on purpose; decisions are made by who starts it.

#[cfg(any(windows, test))]
mod command_line;
#[cfg(unix)]
mod copy;
#[cfg(unix)]
mod enter;
mod exit_file;
#[cfg(unix)]
mod extents;
#[cfg(unix)]
mod follow;
#[cfg(unix)]
mod guest_tap;
mod json;
#[cfg(unix)]
mod layers;
mod log;
#[cfg(unix)]
mod memory;
#[cfg(unix)]
mod network;
#[cfg_attr(windows, path = "windows/options.rs")]
mod options;
#[cfg(unix)]
mod own_addresses;
#[cfg(unix)]
mod own_set;
#[cfg(windows)]
#[path = "windows/process.rs"]
mod process;
#[cfg(unix)]
mod rtnetlink;
#[cfg_attr(windows, path = "windows/run.rs")]
mod run;
#[cfg(unix)]
mod shape;
#[cfg(unix)]
mod sparse;
#[cfg(unix)]
mod spawn;
#[cfg(unix)]
mod start_error;
#[cfg_attr(windows, path = "windows/sys.rs")]
mod sys;
#[cfg(unix)]
mod tap;
mod tsc;

#[cfg(unix)]
use std::os::unix::ffi::OsStrExt;

#[cfg(windows)]
const USAGE: &str = "usage: smolvm-monitor run --console FILE --stderr FILE --max-bytes N --exit FILE --lock FILE \
[--die-with-parent] [--relay-word WORD]... -- PROGRAM ARGS...\n       smolvm-monitor tsc\n       smolvm-monitor version";

#[cfg(unix)]
const USAGE: &str = "usage: smolvm-monitor run --console FILE --stderr FILE --max-bytes N --exit FILE \
[--die-with-parent] [--held] [--cgroup DIR] [--wrapped] [NETWORK] -- PROGRAM ARGS...\n       \
smolvm-monitor network NETWORK\n         NETWORK: --nft FILE --net-rules TEXT --own-set SET --connector FILE [--connector ARG]... [--uplink NAME] [--guest-tap NAME,ADDRESS/BITS,MTU,BYTES_PER_SECOND]\n       \
smolvm-monitor enter [--own-output UID:GID] [--user UID:GID[:GROUP]...] [--setenv NAME=VALUE]... -- PROGRAM ARGS...\n       \
smolvm-monitor own-tap NAME UID\n       smolvm-monitor extents FILE\n       \
smolvm-monitor copy FROM TO\n       smolvm-monitor copy-pages FROM TO\n       smolvm-monitor join TO BASE [LAYER MAP]...\n       \
smolvm-monitor subtract PERCENT FILE MAP BASE [LAYER MAP]...\n       smolvm-monitor memory PID ADDRESS SIZE FILE [MAP]\n       \
smolvm-monitor give PID ADDRESS SIZE FILE MAP\n       smolvm-monitor tsc\n       smolvm-monitor version";

#[cfg(unix)]
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
            Some((part, to, map)) => memory::save(&part, to.as_ref(), map.as_deref().map(std::path::Path::new)),
            None => usage(),
        },
        Some(b"give") => match memory::parse(args) {
            Some((part, from, Some(map))) => {
                told(memory::give(&part, from.as_ref(), map.as_ref()).map(|pages| format!("gave {pages}\n")))
            }
            _ => usage(),
        },
        Some(b"tsc") => tell_tsc(),
        Some(b"version" | b"--version") => tell_version(),
        _ => usage(),
    };
    std::process::exit(status);
}

/// What of it there is on Windows: the disks and memories of snapshots are Linux's.
#[cfg(windows)]
fn main() {
    let mut args = std::env::args_os().skip(1);
    let status = match args.next().as_deref().and_then(std::ffi::OsStr::to_str) {
        Some("run") => match options::parse(args) {
            Some(options) => run::run(&options),
            None => usage(),
        },
        Some("tsc") => tell_tsc(),
        Some("version" | "--version") => tell_version(),
        _ => usage(),
    };
    std::process::exit(status);
}

fn tell_tsc() -> i32 {
    match tsc::khz() {
        Some(khz) => {
            println!("{khz}");
            0
        }
        None => {
            eprintln!("this machine has no time stamp counter");
            1
        }
    }
}

fn tell_version() -> i32 {
    println!("{}", env!("CARGO_PKG_VERSION"));
    0
}

/// Says how it went.
#[cfg(unix)]
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
