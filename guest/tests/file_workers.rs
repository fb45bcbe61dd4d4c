//! File requests of a real agent: the worker that waits is used again, and nobody waits for another's.

mod support;

use std::path::PathBuf;

use smolvm_agent::wire::frame::{kind, put_frame};
use smolvm_agent::wire::messages::code;
use support::{field, int, wait_for, Agent, Host};

const READ: u32 = 5;
const WRITE: u32 = 6;
const STAT: u32 = 7;

fn path(path: &str) -> Vec<u8> {
    field(1, path.as_bytes())
}

fn stat(host: &mut Host, file: &str) -> u32 {
    let id = host.open(STAT, &path(file), 0);
    host.collect(id).error
}

fn read(host: &mut Host, file: &str) -> Vec<u8> {
    let id = host.open(READ, &path(file), 1 << 20);
    let outcome = host.collect(id);
    assert_eq!((outcome.error, outcome.opened), (0, true));
    outcome.stdout
}

fn write(host: &mut Host, file: &str, content: &[u8]) -> u32 {
    let id = host.open(WRITE, &path(file), 0);
    if !content.is_empty() {
        host.frame(id, kind::DATA, 0, content);
    }
    host.frame(id, kind::END, 0, &[]);
    host.collect(id).error
}

/// The agent's children that live.
fn workers(agent: &Agent) -> Vec<u32> {
    let pid = agent.child.id();
    let list = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap();
    list.split_whitespace().map(|pid| pid.parse().unwrap()).collect()
}

fn file(agent: &Agent, name: &str) -> String {
    agent.dir.join(name).to_str().unwrap().to_string()
}

fn fifo(agent: &Agent) -> String {
    let path = file(agent, "fifo");
    assert!(std::process::Command::new("mkfifo").arg(&path).status().unwrap().success());
    path
}

#[test]
fn one_worker_does_small_requests_one_after_the_other() {
    let agent = Agent::start();
    let mut host = agent.host();
    assert!(workers(&agent).is_empty());
    assert_eq!(stat(&mut host, "/"), 0);
    let first = workers(&agent);
    assert_eq!(first.len(), 1);
    let small = file(&agent, "small");
    assert_eq!(write(&mut host, &small, b"some words"), 0);
    assert_eq!(read(&mut host, &small), b"some words");
    assert_eq!(write(&mut host, &small, b""), 0);
    assert_eq!(read(&mut host, &small), b"");
    assert_eq!(stat(&mut host, "/no/such/file"), code::NOT_FOUND);
    assert_eq!(write(&mut host, "/no/such/file", b"x"), code::NOT_FOUND);
    assert_eq!(workers(&agent), first);
}

#[test]
fn what_does_not_fit_a_pipe_goes_both_ways_through_it_too() {
    let agent = Agent::start();
    let mut host = agent.host();
    let big = PathBuf::from(file(&agent, "big"));
    let content: Vec<u8> = (0..200_000u32).map(|i| i as u8).collect();
    for size in [1, 4096, 32_768, 32_769, 65_536, 200_000] {
        std::fs::write(&big, &content[..size]).unwrap();
        assert!(read(&mut host, big.to_str().unwrap()) == content[..size], "{size} bytes");
    }
    let id = host.open(WRITE, &path(big.to_str().unwrap()), 0);
    for chunk in content[..60_000].chunks(20_000) {
        host.frame(id, kind::DATA, 0, chunk);
    }
    host.frame(id, kind::END, 0, &[]);
    assert_eq!(host.collect(id).error, 0);
    assert!(std::fs::read(&big).unwrap() == content[..60_000]);
    assert_eq!(workers(&agent).len(), 1);
}

#[test]
fn a_request_that_hangs_stops_no_other_and_a_reset_ends_its_worker() {
    let agent = Agent::start();
    let mut host = agent.host();
    assert_eq!(stat(&mut host, "/"), 0);
    let waited = workers(&agent);
    // Opening one that nobody writes takes until somebody does.
    let hung = host.open(READ, &path(&fifo(&agent)), 1000);
    assert_eq!(stat(&mut host, "/"), 0);
    assert_eq!(workers(&agent).len(), 2);
    host.frame(hung, kind::RESET, 0, &[]);
    assert_eq!(host.collect(hung).error, code::CANCELLED);
    assert!(!workers(&agent).contains(&waited[0]));
    assert_eq!(stat(&mut host, "/"), 0);
    assert_eq!(workers(&agent).len(), 1);
}

#[test]
fn a_cancelled_write_leaves_nothing_and_its_worker_is_not_used_again() {
    let agent = Agent::start();
    let mut host = agent.host();
    let target = file(&agent, "target");
    assert_eq!(write(&mut host, &target, b"before"), 0);
    let waited = workers(&agent);
    let id = host.open(WRITE, &path(&target), 0);
    host.frame(id, kind::DATA, 0, b"half of it");
    // Its host is told when the worker waits for more.
    while host.next_frame().0.kind != kind::OPENED {}
    host.frame(id, kind::RESET, 0, &[]);
    assert_eq!(host.collect(id).error, code::CANCELLED);
    assert_eq!(std::fs::read(&target).unwrap(), b"before");
    assert!(std::fs::read_dir(&agent.dir).unwrap().all(|e| !e.unwrap().file_name().to_str().unwrap().contains("tmp")));
    assert_eq!(write(&mut host, &target, b"after"), 0);
    assert!(!workers(&agent).contains(&waited[0]));
}

#[test]
fn a_worker_that_was_killed_while_it_waited_is_made_up_for() {
    let agent = Agent::start();
    let mut host = agent.host();
    for _ in 0..20 {
        assert_eq!(stat(&mut host, "/"), 0);
        let worker = workers(&agent)[0];
        // SAFETY: plain call.
        unsafe { libc::kill(worker as i32, libc::SIGKILL) };
        wait_for("the worker's end", || (!workers(&agent).contains(&worker)).then_some(()));
    }
}

#[test]
fn requests_that_come_together_are_all_answered_and_one_worker_stays() {
    let agent = Agent::start();
    let mut host = agent.host();
    let mut all = Vec::new();
    let ids: Vec<u32> = (0..20).map(|i| host.next + 2 * i).collect();
    host.next += 40;
    for &id in &ids {
        put_frame(&mut all, id, kind::OPEN, 0, &[field(STAT, &path("/")), int(30, 0)].concat());
    }
    host.send(&all);
    let mut left = ids;
    while !left.is_empty() {
        let (header, _) = host.next_frame();
        assert_eq!(header.kind, kind::RESULT);
        left.retain(|&id| id != header.stream);
    }
    wait_for("the others' end", || (workers(&agent).len() == 1).then_some(()));
}
