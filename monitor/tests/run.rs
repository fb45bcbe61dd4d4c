//! The monitor with real programs in the VMM's place.

#![cfg(unix)]

use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(20);

struct Run {
    monitor: Child,
    dir: PathBuf,
    pid: i32,
}

fn directory() -> PathBuf {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let dir = std::env::temp_dir().join(format!("smolvm-monitor-test-{}-{number}", std::process::id()));
    std::fs::create_dir_all(&dir).unwrap();
    dir
}

fn monitor(dir: &Path, flags: &[&str], command: &[&str]) -> Command {
    let mut monitor = Command::new(env!("CARGO_BIN_EXE_smolvm-monitor"));
    monitor.arg("run").arg("--console").arg(dir.join("console")).arg("--stderr").arg(dir.join("stderr"));
    monitor.arg("--max-bytes").arg("10000").arg("--exit").arg(dir.join("exit")).args(flags).arg("--").args(command);
    monitor.stdout(Stdio::piped());
    monitor
}

fn start(flags: &[&str], script: &str) -> Run {
    let dir = directory();
    let mut monitor = monitor(&dir, flags, &["sh", "-c", script]).spawn().unwrap();
    let mut line = String::new();
    let mut said = BufReader::new(monitor.stdout.take().unwrap());
    said.read_line(&mut line).unwrap();
    let pid = line.trim().strip_prefix("{\"pid\":").and_then(|l| l.strip_suffix('}')).expect(&line).parse().unwrap();
    // It lets go of whoever started it.
    let mut rest = String::new();
    said.read_to_string(&mut rest).unwrap();
    assert_eq!(rest, "");
    Run { monitor, dir, pid }
}

impl Run {
    fn file(&self, name: &str) -> String {
        String::from_utf8(std::fs::read(self.dir.join(name)).unwrap_or_default()).unwrap()
    }

    fn exit(&mut self) -> String {
        let text = wait_for("the exit file", || Some(self.file("exit")).filter(|text| !text.is_empty()));
        wait_for("the monitor's end", || self.monitor.try_wait().unwrap());
        text
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        let _ = self.monitor.kill();
        let _ = self.monitor.wait();
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}

fn wait_for<T>(what: &str, mut condition: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(value) = condition() {
            return value;
        }
        assert!(start.elapsed() < PATIENCE, "waited in vain for {what}");
        std::thread::yield_now();
    }
}

fn is_running(pid: i32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit(')').next().is_some_and(|rest| !rest.is_empty() && !rest.starts_with(" Z"))
}

#[test]
fn output_goes_to_the_files_and_the_end_is_written_down() {
    let mut run = start(&[], "echo out; echo err >&2; exit 7");
    let exit = run.exit();
    assert!(exit.starts_with(&format!("{{\"pid\":{},\"code\":7,\"signal\":null,\"at_ms\":", run.pid)), "{exit}");
    assert_eq!((run.file("console"), run.file("stderr")), ("out\n".into(), "err\n".into()));
}

#[test]
fn a_signal_s_number_is_written_down() {
    let mut run = start(&[], "kill -9 $$");
    assert!(run.exit().contains("\"code\":null,\"signal\":9,"));
}

#[test]
fn a_flood_keeps_only_its_end() {
    let mut run = start(&[], "i=0; while [ $i -lt 3000 ]; do echo line $i; i=$((i+1)); done");
    run.exit();
    let (old, new) = (run.file("console.1"), run.file("console"));
    assert!(old.len() <= 5000 && new.len() <= 5000, "{} {}", old.len(), new.len());
    assert!((old + &new).ends_with("line 2998\nline 2999\n"));
}

#[test]
fn an_earlier_run_s_console_is_kept_apart() {
    let mut first = start(&[], "echo first");
    first.exit();
    let mut again = monitor(&first.dir, &[], &["sh", "-c", "echo second"]).spawn().unwrap();
    assert!(again.wait().unwrap().success());
    assert_eq!((first.file("console"), first.file("console.1")), ("second\n".into(), "first\n".into()));
}

#[test]
fn sigterm_is_passed_on() {
    let mut run = start(&[], "trap 'echo told; exit 3' TERM; echo up; while :; do sleep 0.01; done");
    wait_for("the program", || run.file("console").contains("up").then_some(()));
    // SAFETY: our own child.
    unsafe { libc::kill(run.monitor.id() as i32, libc::SIGTERM) };
    assert!(run.exit().contains("\"code\":3,"));
    assert!(run.file("console").contains("told"));
}

#[test]
fn the_program_dies_with_its_monitor() {
    let mut run = start(&[], "exec sleep 1000");
    assert!(is_running(run.pid));
    run.monitor.kill().unwrap();
    wait_for("the program's end", || (!is_running(run.pid)).then_some(()));
}

#[test]
fn a_monitor_that_shall_die_with_its_parent_does() {
    let dir = directory();
    let program = env!("CARGO_BIN_EXE_smolvm-monitor");
    let (console, stderr, exit) = (dir.join("console"), dir.join("stderr"), dir.join("exit"));
    let line = format!(
        "{program} run --console {} --stderr {} --max-bytes 10000 --exit {} --die-with-parent -- sleep 1000; :",
        console.display(),
        stderr.display(),
        exit.display()
    );
    let mut parent = Command::new("sh").arg("-c").arg(line).stdout(Stdio::piped()).spawn().unwrap();
    let mut said = String::new();
    BufReader::new(parent.stdout.take().unwrap()).read_line(&mut said).unwrap();
    let pid: i32 = said.trim().trim_start_matches("{\"pid\":").trim_end_matches('}').parse().unwrap();
    assert!(is_running(pid));
    parent.kill().unwrap();
    parent.wait().unwrap();
    wait_for("the program's end", || (!is_running(pid)).then_some(()));
    let _ = std::fs::remove_dir_all(dir);
}

#[test]
fn a_monitor_that_is_held_starts_its_program_when_it_is_let_go() {
    let dir = directory();
    let mut held = monitor(&dir, &["--held"], &["sh", "-c", "echo ran"]).stdin(Stdio::piped()).spawn().unwrap();
    held.stdin.take().unwrap().write_all(b"\n").unwrap();
    assert!(held.wait().unwrap().success());
    assert_eq!(std::fs::read_to_string(dir.join("console")).unwrap(), "ran\n");
    let _ = std::fs::remove_dir_all(dir);
}

#[test]
fn a_monitor_that_is_held_starts_nothing_when_its_holder_ends() {
    let dir = directory();
    let mut held = monitor(&dir, &["--held"], &["sh", "-c", "echo ran"]).stdin(Stdio::piped()).spawn().unwrap();
    drop(held.stdin.take());
    assert!(!held.wait().unwrap().success());
    assert_eq!(std::fs::read_dir(&dir).unwrap().count(), 0);
    let _ = std::fs::remove_dir_all(dir);
}

#[test]
fn a_program_that_is_not_there_is_told_in_one_line() {
    let dir = directory();
    let output = monitor(&dir, &[], &["/no/such/program"]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let line = String::from_utf8(output.stdout).unwrap();
    assert!(
        line.starts_with("{\"error\":\"cannot run /no/such/program: ") && line.ends_with(",\"errno\":2}\n"),
        "{line}"
    );
    assert!(!dir.join("exit").exists());
    let _ = std::fs::remove_dir_all(dir);
}

#[test]
fn the_end_is_written_down_although_a_grandchild_holds_the_console() {
    let mut run = start(&[], "sleep 5 & echo done");
    let begun = Instant::now();
    run.exit();
    assert!(begun.elapsed() < Duration::from_secs(4));
}

#[cfg(target_arch = "x86_64")]
#[test]
fn the_counter_s_frequency_is_measured_alike_twice() {
    let khz = || {
        let output = Command::new(env!("CARGO_BIN_EXE_smolvm-monitor")).arg("tsc").output().unwrap();
        String::from_utf8(output.stdout).unwrap().trim().parse::<f64>().unwrap()
    };
    let (first, second) = (khz(), khz());
    assert!(first > 100_000.0 && (first / second - 1.0).abs() < 0.02, "{first} {second}");
}

/// A wrapper with the monitor's own `enter` as the last step, as bubblewrap has it.
fn wrapped(script: &str) -> String {
    // The shell stays: it is what the program is wrapped in.
    format!("{} enter -- /bin/sh -c '{script}'; exit $?", env!("CARGO_BIN_EXE_smolvm-monitor"))
}

#[test]
fn a_wrapped_program_is_the_one_that_is_followed() {
    let mut run = start(&["--wrapped"], &wrapped("echo $$; exec sleep 1000"));
    let pid = wait_for("the program", || Some(run.file("console")).filter(|text| text.ends_with('\n')));
    assert_eq!(pid.trim(), run.pid.to_string());
    // SAFETY: our own grandchild.
    unsafe { libc::kill(run.pid, libc::SIGKILL) };
    let exit = run.exit();
    assert!(exit.starts_with(&format!("{{\"pid\":{},\"code\":null,\"signal\":9,", run.pid)), "{exit}");
}

#[test]
fn a_wrapped_program_gets_the_signals_and_its_code_is_written_down() {
    let script = "trap \"exit 3\" TERM; echo up; while :; do sleep 0.01; done";
    let mut run = start(&["--wrapped"], &wrapped(script));
    wait_for("the program", || run.file("console").contains("up").then_some(()));
    // SAFETY: our own child.
    unsafe { libc::kill(run.monitor.id() as i32, libc::SIGTERM) };
    assert!(run.exit().contains("\"code\":3,"));
}

#[test]
fn a_wrapper_that_does_not_run_its_program_tells_why() {
    let dir = directory();
    let mut monitor = monitor(&dir, &["--wrapped"], &["sh", "-c", "echo not here >&2; exit 1"]).spawn().unwrap();
    let mut said = String::new();
    monitor.stdout.take().unwrap().read_to_string(&mut said).unwrap();
    assert!(said.starts_with("{\"error\":\"sh did not run its program: not here"), "{said}");
    assert_eq!(monitor.wait().unwrap().code(), Some(1));
    assert!(!dir.join("exit").exists());
    std::fs::remove_dir_all(&dir).unwrap();
}

#[test]
fn nobody_enters_without_a_monitor() {
    let enter = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_smolvm-monitor"));
        command.arg("enter").args(arguments).stdin(Stdio::null()).output().unwrap()
    };
    let alone = enter(&["--", "/bin/true"]);
    assert_eq!(alone.status.code(), Some(126));
    assert!(String::from_utf8_lossy(&alone.stderr).contains("no monitor listens"));
    for wrong in
        [&["--user", "0"][..], &["--user", "a:b", "--", "/bin/true"], &["--own-output", "--", "/bin/true"], &[]]
    {
        assert_eq!(enter(wrong).status.code(), Some(2), "{wrong:?}");
    }
}

/// Options of a network whose filter and connector are shell scripts.
fn network<'a>(filter: &'a str, connector: &'a str) -> Vec<&'a str> {
    vec![
        "--nft",
        filter,
        "--net-rules",
        "-",
        "--own-set",
        "inet smolvm own",
        "--connector",
        "/bin/sh",
        "--connector",
        "-c",
        "--connector",
        connector,
    ]
}

#[test]
fn a_network_of_its_own_is_connected_and_ends_with_the_program() {
    let said = directory().join("connector");
    let connector = format!("echo $$ $0 >{}; exec sleep 1000", said.display());
    let mut run = start(&network("/bin/true", &connector), "readlink /proc/self/ns/net; exec sleep 1000");
    let numbers = wait_for("the connector", || {
        let text = std::fs::read_to_string(&said).unwrap_or_default();
        let numbers: Vec<i32> = text.split_whitespace().filter_map(|number| number.parse().ok()).collect();
        (numbers.len() == 2).then_some(numbers)
    });
    let console = wait_for("the program", || Some(run.file("console")).filter(|text| !text.is_empty()));
    let here = std::fs::read_link("/proc/self/ns/net").unwrap();
    assert_ne!(console.trim(), here.to_str().unwrap());
    // SAFETY: the program of this test.
    unsafe { libc::kill(run.pid, libc::SIGKILL) };
    assert!(run.exit().contains("\"signal\":9"));
    for pid in numbers {
        wait_for("the end of the network's processes", || (!is_running(pid)).then_some(()));
    }
}

#[test]
fn its_way_out_is_there_before_it_is_connected() {
    if !std::path::Path::new("/dev/net/tun").exists() {
        return; // then its connector could make none either
    }
    let options = [network("/bin/true", "exec sleep 1000"), vec!["--uplink", "uplink"]].concat();
    let run = start(&options, "sleep 0.5; cat /proc/net/dev; exec sleep 1000");
    wait_for("the interface", || run.file("console").contains("uplink:").then_some(()));
}

#[test]
fn without_its_filter_no_program_runs_in_a_network_of_its_own() {
    let said = directory().join("connector");
    let connector = format!("touch {}", said.display());
    let mut run = start(&network("/bin/false", &connector), "exec sleep 1000");
    assert!(run.exit().contains("\"signal\":9"));
    assert!(run.file("stderr").contains("the packet filter could not be made"));
    assert!(!said.exists());
}

#[test]
fn the_network_of_a_monitor_that_is_killed_ends() {
    let said = directory().join("connector");
    let connector = format!("echo $$ $0 >{}; exec sleep 1000", said.display());
    let mut run = start(&network("/bin/true", &connector), "exec sleep 1000");
    let numbers = wait_for("the connector", || {
        let text = std::fs::read_to_string(&said).unwrap_or_default();
        let numbers: Vec<i32> = text.split_whitespace().filter_map(|number| number.parse().ok()).collect();
        (numbers.len() == 2).then_some(numbers)
    });
    run.monitor.kill().unwrap();
    for pid in numbers.into_iter().chain([run.pid]) {
        wait_for("the end of the network's processes", || (!is_running(pid)).then_some(()));
    }
}
