//! The memory of a real program: a part of it is anonymous, a part maps a file privately.

#![cfg(unix)]

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::process::{Child, ChildStdout, Command, Stdio};

const PAGE: usize = 4096;
const PAGES: usize = 64;

struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Scratch {
        let dir = std::env::temp_dir().join(format!("smolvm-memory-test-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        Scratch(dir)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Our own memory stands for a machine's.
fn map(file: Option<&File>) -> &'static mut [u8] {
    let (flags, fd) = match file {
        Some(file) => (libc::MAP_PRIVATE, file.as_raw_fd()),
        None => (libc::MAP_PRIVATE | libc::MAP_ANONYMOUS, -1),
    };
    // SAFETY: a new mapping of that length, which is never unmapped.
    unsafe {
        let at = libc::mmap(std::ptr::null_mut(), PAGES * PAGE, libc::PROT_READ | libc::PROT_WRITE, flags, fd, 0);
        assert_ne!(at, libc::MAP_FAILED);
        std::slice::from_raw_parts_mut(at.cast(), PAGES * PAGE)
    }
}

fn command(part: &[u8], to: &[&PathBuf]) -> Command {
    let place = [std::process::id() as usize, part.as_ptr() as usize, part.len()];
    let mut monitor = Command::new(env!("CARGO_BIN_EXE_smolvm-monitor"));
    monitor.arg("memory").args(place.map(|number| number.to_string())).args(to);
    monitor
}

fn start(part: &[u8], to: &PathBuf) -> (Child, BufReader<ChildStdout>) {
    start_with(part, &[to])
}

fn start_with(part: &[u8], to: &[&PathBuf]) -> (Child, BufReader<ChildStdout>) {
    let mut monitor = command(part, to).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut said = BufReader::new(monitor.stdout.take().unwrap());
    let mut line = String::new();
    said.read_line(&mut line).unwrap();
    assert_eq!(line, "ready\n");
    (monitor, said)
}

fn finish((mut monitor, mut said): (Child, BufReader<ChildStdout>)) -> String {
    monitor.stdin.take().unwrap().write_all(b"go\n").unwrap();
    let mut line = String::new();
    said.read_line(&mut line).unwrap();
    assert!(monitor.wait().unwrap().success());
    line
}

fn fill(part: &mut [u8], page: usize, with: u8) {
    part[page * PAGE..(page + 1) * PAGE].fill(with);
}

#[test]
fn anonymous_memory_is_saved_as_it_is_when_the_word_comes() {
    let scratch = Scratch::new("anonymous");
    let part = map(None);
    fill(part, 3, 7);
    fill(part, 5, 0); // written, and zero: a hole all the same
    let saving = start(part, &scratch.0.join("memory"));
    fill(part, 60, 9);
    assert_eq!(finish(saving), "copied 3\n");
    assert_eq!(std::fs::read(scratch.0.join("memory")).unwrap(), part);
    assert!(std::fs::metadata(scratch.0.join("memory")).unwrap().blocks() <= 16);
}

#[test]
fn of_a_file_that_is_mapped_only_what_was_written_is_read() {
    let scratch = Scratch::new("file");
    let base = scratch.0.join("base");
    let mut content = vec![0; PAGES * PAGE];
    fill(&mut content, 1, 1);
    fill(&mut content, 2, 2);
    std::fs::write(&base, &content).unwrap();
    let file = File::open(&base).unwrap();
    let part = map(Some(&file));
    fill(part, 2, 0); // what was there is gone
    fill(part, 40, 4);
    std::fs::remove_file(&base).unwrap(); // and so is its name
    let saving = start(part, &scratch.0.join("memory"));
    assert_eq!(finish(saving), "copied 2\n");
    assert_eq!(std::fs::read(scratch.0.join("memory")).unwrap(), part);
}

#[test]
fn of_a_file_that_cannot_be_had_all_is_read() {
    let scratch = Scratch::new("closed");
    let base = scratch.0.join("base");
    std::fs::write(&base, vec![1; PAGES * PAGE]).unwrap();
    let part = map(Some(&File::open(&base).unwrap()));
    fill(part, 2, 0);
    let saving = start(part, &scratch.0.join("memory"));
    assert_eq!(finish(saving), format!("copied {PAGES}\n"));
    assert_eq!(std::fs::read(scratch.0.join("memory")).unwrap(), part);
}

#[test]
fn who_maps_the_same_file_is_given_what_was_written_alone() {
    let scratch = Scratch::new("give");
    let base = scratch.0.join("base");
    let mut content = vec![5; PAGES * PAGE];
    fill(&mut content, 1, 1);
    std::fs::write(&base, &content).unwrap();
    let file = File::open(&base).unwrap();
    let (part, other) = (map(Some(&file)), map(Some(&file)));
    let (memory, pages) = (scratch.0.join("memory"), scratch.0.join("pages"));
    File::create(&memory).unwrap().set_len((PAGES * PAGE) as u64).unwrap(); // one that was made for it will do
    let saving = start_with(part, &[&memory, &pages]);
    fill(part, 1, 0); // zeros are written, too
    fill(part, 2, 2);
    fill(part, 63, 9);
    assert_eq!(finish(saving), "copied 3\n");
    assert!(std::fs::metadata(&memory).unwrap().blocks() <= 24);
    let give = |file: &PathBuf| {
        let place = [std::process::id() as usize, other.as_ptr() as usize, other.len()];
        let mut monitor = Command::new(env!("CARGO_BIN_EXE_smolvm-monitor"));
        monitor.arg("give").args(place.map(|number| number.to_string())).arg(file).arg(&pages);
        monitor.output().unwrap()
    };
    assert_eq!(give(&memory).stdout, b"gave 3\n");
    assert!(part == other);
    assert!(!give(&pages).status.success()); // of another size
    assert!(std::fs::read(&base).unwrap() == content);
}

#[test]
fn of_what_maps_no_file_nothing_can_be_given() {
    let scratch = Scratch::new("no-base");
    let part = map(None);
    let (memory, pages) = (scratch.0.join("memory"), scratch.0.join("pages"));
    let mut monitor = command(part, &[&memory, &pages]).stdin(Stdio::null()).spawn().unwrap();
    assert!(!monitor.wait().unwrap().success());
    assert!(!memory.exists() && !pages.exists());
}

#[test]
fn nothing_is_left_where_the_word_does_not_come() {
    let scratch = Scratch::new("no-word");
    let part = map(None);
    let (mut monitor, _) = start(part, &scratch.0.join("memory"));
    drop(monitor.stdin.take());
    assert!(!monitor.wait().unwrap().success());
    assert!(!scratch.0.join("memory").exists());
}

#[test]
fn a_copy_is_as_sparse_and_is_not_made_over_another() {
    let scratch = Scratch::new("copy");
    let (from, to) = (scratch.0.join("from"), scratch.0.join("to"));
    let file = File::create(&from).unwrap();
    file.set_len(64 << 20).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&file, b"in the middle", 32 << 20).unwrap();
    let copy = || Command::new(env!("CARGO_BIN_EXE_smolvm-monitor")).arg("copy").arg(&from).arg(&to).status().unwrap();
    assert!(copy().success());
    assert!(std::fs::read(&to).unwrap() == std::fs::read(&from).unwrap());
    assert!(std::fs::metadata(&to).unwrap().blocks() <= 16);
    assert!(!copy().success());
}
