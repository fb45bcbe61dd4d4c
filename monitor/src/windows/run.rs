//! `run` on Windows: start the program, say its pid, follow it to its end.
//!
//! A QEMU has its sockets through a relay (src/host/relay/main.ts), a process beside it: the relay's stdin and stdout are QEMU's stdout
//! and stdin, where they speak QMP, and its stderr is the guest's console, after one line with the port that QEMU is to connect to.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::windows::io::OwnedHandle;
use std::path::Path;
use std::sync::mpsc::{channel, Receiver};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::exit_file::ExitFile;
use crate::json::quote;
use crate::log::Log;
use crate::options::Options;
use crate::process::{spawn, Child, Rights};
use crate::sys::{close_output, lock, null, pipe, wait_any};

/// Bytes that the two files of the program's messages may hold together.
const STDERR_MAX_BYTES: u64 = 64 * 1024;
/// One read.
const CHUNK: usize = 64 * 1024;
/// For how long what was written last is waited for after the program's end: its children may keep it open.
const REST: Duration = Duration::from_millis(500);
/// In the program's arguments: the port of its relay (src/host/relay/placeholder.ts).
const PORT: &str = "{relay-port}";
/// Longer than the line with a port is.
const PORT_LINE_MAX: usize = 8;

/// What went wrong before the program ran.
struct StartError {
    what: String,
    error: io::Error,
}

fn failed(what: impl Into<String>) -> impl FnOnce(io::Error) -> StartError {
    let what = what.into();
    move |error| StartError { what, error }
}

fn cannot_write(path: &Path) -> impl FnOnce(io::Error) -> StartError {
    failed(format!("cannot write {}", path.display()))
}

/// Runs the program; returns the monitor's own exit status.
pub fn run(options: &Options) -> i32 {
    match start(options) {
        Ok(running) => {
            let _ = writeln!(io::stdout(), "{{\"pid\":{}}}", running.program.pid);
            let _ = io::stdout().flush();
            close_output();
            running.follow(options.die_with_parent);
            0
        }
        Err(StartError { what, error }) => {
            let errno = error.raw_os_error().unwrap_or(0);
            println!("{{\"error\":{},\"errno\":{errno}}}", quote(&format!("{what}: {error}")));
            1
        }
    }
}

struct Running {
    program: Arc<Child>,
    relay: Option<Child>,
    console: Receiver<()>,
    messages: Receiver<()>,
    messages_log: Arc<Mutex<Log>>,
    exit: ExitFile,
    /// held until we end
    _lock: File,
}

fn start(options: &Options) -> Result<Running, StartError> {
    let held = lock(&options.lock).map_err(failed(format!("cannot lock {}", options.lock.display())))?;
    note(options).map_err(failed("cannot note who this is"))?;
    let console_log = Log::begin(&options.console, options.max_bytes).map_err(cannot_write(&options.console))?;
    let messages_log = Log::begin(&options.stderr, STDERR_MAX_BYTES).map_err(cannot_write(&options.stderr))?;
    let exit = ExitFile::reserve(&options.exit, !options.die_with_parent).map_err(cannot_write(&options.exit))?;
    match launch(options) {
        Ok(launched) => {
            let messages_log = Arc::new(Mutex::new(messages_log));
            Ok(Running {
                program: Arc::new(launched.program),
                relay: launched.relay,
                console: keep(launched.console, Arc::new(Mutex::new(console_log))),
                messages: keep(launched.messages, messages_log.clone()),
                messages_log,
                exit,
                _lock: held,
            })
        }
        Err(error) => {
            exit.release();
            Err(error)
        }
    }
}

/// Says beside the lock who holds it, as src/host/monitor/monitor-note.ts does.
fn note(options: &Options) -> io::Result<()> {
    let path = options.lock.with_extension("json");
    let temporary = options.lock.with_extension("json.tmp");
    let exit = quote(&options.exit.to_string_lossy());
    fs::write(&temporary, format!("{{\"pid\":{},\"exit\":{exit}}}", std::process::id()))?;
    fs::rename(temporary, path)
}

struct Launched {
    program: Child,
    relay: Option<Child>,
    console: File,
    messages: File,
}

fn launch(options: &Options) -> Result<Launched, StartError> {
    let no_pipe = || failed("cannot make a pipe");
    let (console, console_end) = pipe().map_err(no_pipe())?;
    let (messages, messages_end) = pipe().map_err(no_pipe())?;
    let mut console = File::from(console);
    let (relay, command, input, output) = if options.relay.is_empty() {
        (None, options.command.clone(), null().map_err(failed("cannot open NUL"))?, console_end)
    } else {
        let (input, questions) = pipe().map_err(no_pipe())?;
        let (answers, output) = pipe().map_err(no_pipe())?;
        let relay = start_program(&options.relay, [&answers, &questions, &console_end], Rights::Ours)?;
        drop(console_end); // or its end would not be seen
        let port = read_port(&mut console).map_err(failed("the relay did not start"))?;
        (Some(relay), with_port(&options.command, &port), input, output)
    };
    let program = start_program(&command, [&input, &output, &messages_end], Rights::Few)?;
    Ok(Launched { program, relay, console, messages: File::from(messages) })
}

fn start_program(command: &[OsString], stdio: [&OwnedHandle; 3], rights: Rights) -> Result<Child, StartError> {
    let what = format!("cannot run {}", command[0].to_string_lossy());
    spawn(command, stdio, rights).map_err(failed(what))
}

/// The relay's first line, byte by byte: what follows is the console.
fn read_port(from: &mut File) -> io::Result<String> {
    let mut port = String::new();
    let mut byte = [0];
    loop {
        from.read_exact(&mut byte)?;
        match byte[0] {
            b'\n' => return Ok(port),
            digit @ b'0'..=b'9' if port.len() < PORT_LINE_MAX => port.push(char::from(digit)),
            _ => return Err(io::ErrorKind::InvalidData.into()),
        }
    }
}

fn with_port(command: &[OsString], port: &str) -> Vec<OsString> {
    command
        .iter()
        .map(|word| match word.to_str() {
            Some(text) => text.replace(PORT, port).into(),
            None => word.clone(),
        })
        .collect()
}

/// Writes what comes into a log, in a thread; a stream that is over is told.
fn keep(mut from: File, log: Arc<Mutex<Log>>) -> Receiver<()> {
    let (over, told) = channel();
    std::thread::spawn(move || {
        let mut buffer = vec![0; CHUNK];
        while let Ok(length) = from.read(&mut buffer) {
            if length == 0 {
                break;
            }
            append(&log, &buffer[..length]);
        }
        let _ = over.send(());
    });
    told
}

fn append(log: &Mutex<Log>, data: &[u8]) {
    if let Ok(mut log) = log.lock() {
        log.append(data);
    }
}

impl Running {
    /// Waits for the program's end, then writes down how it ended.
    fn follow(mut self, die_with_parent: bool) {
        if die_with_parent {
            let program = self.program.clone();
            std::thread::spawn(move || {
                // Our stdin is a pipe from our parent, which says nothing: its end is the parent's.
                let mut byte = [0];
                while matches!(io::stdin().read(&mut byte), Ok(1)) {}
                program.kill();
            });
        }
        if let Some(relay) = &self.relay {
            // Without its relay nobody reaches it any more.
            if wait_any(&[&self.program.process, &relay.process]).is_ok_and(|which| which == 1) {
                append(&self.messages_log, b"smolvm-monitor: the machine's relay has ended\n");
                self.program.kill();
            }
        }
        let _ = wait_any(&[&self.program.process]);
        let _ = self.messages.recv_timeout(REST);
        let _ = self.console.recv_timeout(REST);
        let code = self.program.exit_code().map(i64::from);
        self.exit.write(i64::from(self.program.pid), code, None);
    }
}
