//! A real agent, as an ordinary process, and hosts of all kinds: good, slow, hostile and vanishing.

mod support;

use std::io::Write;
use std::time::{Duration, Instant};

use smolvm_agent::wire::frame::{kind, put_frame, Header};
use smolvm_agent::wire::messages::code;
use support::{field, int, is_running, shell, wait_for, Agent, PATIENCE};

#[test]
fn a_command_s_output_errors_and_exit_code_arrive() {
    let agent = Agent::start();
    let mut host = agent.host();
    let outcome = host.run("printf 'a\\377b'; echo err >&2; exit 7");
    assert!(outcome.opened);
    assert_eq!((outcome.stdout, outcome.stderr, outcome.exit_code), (b"a\xffb".to_vec(), b"err\n".to_vec(), 7));
    assert_eq!(host.run("kill -9 $$").signal, 9);
    assert_eq!(host.run("exec 1>&-; exit 3").exit_code, 3);
}

#[test]
fn what_cannot_start_says_why() {
    let agent = Agent::start();
    let mut host = agent.host();
    let mut result = |body: Vec<u8>| {
        let id = host.open(1, &body, 0);
        let outcome = host.collect(id);
        assert!(!outcome.opened);
        outcome.error
    };
    assert_eq!(result(field(1, b"no-such-program")), code::NOT_FOUND);
    assert_eq!(result(field(1, b"/etc/passwd")), code::NOT_EXECUTABLE);
    assert_eq!(result([shell("true"), field(4, b"/no/such/dir")].concat()), code::BAD_CWD);
    assert_eq!(result([shell("true"), field(4, b"/etc/passwd")].concat()), code::BAD_CWD);
    assert_eq!(result([shell("true"), field(5, b"no-such-user")].concat()), code::NO_USER);
    assert_eq!(result(Vec::new()), code::INVALID);
}

#[test]
fn a_request_may_come_in_parts_and_too_long_an_argument_is_told() {
    let agent = Agent::start();
    let mut host = agent.host();
    let body = [field(1, b"/bin/true"), field(1, &vec![b'x'; 200_000])].concat();
    let payload = field(1, &body);
    let id = host.next;
    host.next += 2;
    let last = payload.chunks(60_000).count() - 1;
    for (i, part) in payload.chunks(60_000).enumerate() {
        host.frame(id, kind::OPEN, u8::from(i < last), part);
    }
    assert_eq!(host.collect(id).error, code::TOO_LONG);
    host.works();
}

#[test]
fn an_unread_flood_stops_at_its_window_and_blocks_nobody() {
    let agent = Agent::start();
    let mut host = agent.host();
    let id = host.open(1, &shell("yes"), 100_000);
    assert_eq!(host.output(id, 100_000).len(), 100_000);
    let before = agent.memory();
    for _ in 0..20 {
        host.works();
    }
    assert!(agent.memory() < before + 2048);
    host.frame(id, kind::RESET, 0, &[]);
    assert_eq!(host.collect(id).error, code::CANCELLED);
}

#[test]
fn stdin_reaches_the_command_and_its_end_too() {
    let agent = Agent::start();
    let mut host = agent.host();
    let id = host.open(1, &[shell("cat; echo end"), int(8, 1)].concat(), 0);
    host.frame(id, kind::DATA, 0, b"some ");
    host.frame(id, kind::DATA, 0, b"input ");
    host.frame(id, kind::END, 0, &[]);
    assert_eq!(host.collect(id).stdout, b"some input end\n");
}

#[test]
fn a_command_that_reads_nothing_stops_the_credit_and_one_that_closed_its_stdin_does_not() {
    let agent = Agent::start();
    let mut host = agent.host();
    let id = host.open(1, &[shell("exec 0<&-; echo closed; sleep 100"), int(8, 1)].concat(), 0);
    host.output(id, 7);
    let (mut credit, mut sent) = (65_536u32, 0u32);
    while sent < 1_000_000 {
        while credit < 32_768 {
            let (header, payload) = host.next_frame();
            if header.kind == kind::WINDOW {
                credit += u32::from_le_bytes(payload.try_into().unwrap());
            }
        }
        host.frame(id, kind::DATA, 0, &[0; 32_768]);
        credit -= 32_768;
        sent += 32_768;
    }
    host.frame(id, kind::RESET, 0, &[]);
    assert_eq!(host.collect(id).error, code::CANCELLED);
}

#[test]
fn a_background_child_that_holds_the_pipes_delays_nothing_and_lives_on() {
    let agent = Agent::start();
    let mut host = agent.host();
    let outcome = host.run("(sleep 1; while sleep 0.01; do echo noise; done) & echo $!");
    let pid = String::from_utf8(outcome.stdout).unwrap();
    for _ in 0..5 {
        host.works();
    }
    assert!(is_running(&pid));
    host.run(&format!("kill -9 {pid}"));
}

#[test]
fn a_command_that_goes_on_is_told_to_its_host_and_so_is_what_it_prints_then() {
    let agent = Agent::start();
    let mut host = agent.host();
    let id = host.open(1, &shell("echo first; read line </dev/zero"), 1000);
    let (header, _) = host.next_frame();
    assert_eq!((header.stream, header.kind), (id, kind::OPENED));
    assert_eq!(host.output(id, 6), b"first\n");
    host.frame(id, kind::RESET, 0, &[]);
    assert!(host.collect(id).error > 0);
    host.works();
}

#[test]
fn a_command_that_ends_at_once_is_answered_in_one_piece_also_where_input_could_come() {
    let agent = Agent::start();
    let mut host = agent.host();
    // One that a busy machine takes long for is told of in between.
    let in_one_piece = (0..20).any(|_| {
        let id = host.open(1, &[shell("echo hi"), int(8, 1)].concat(), 100);
        assert!(host.more());
        let whole = host.buf.windows(3).any(|part| part == b"hi\n");
        let mut kinds = Vec::new();
        while kinds.last() != Some(&kind::RESULT) {
            let (header, _) = host.next_frame();
            assert_eq!(header.stream, id);
            kinds.push(header.kind);
        }
        whole && kinds == [kind::OPENED, kind::DATA, kind::RESULT]
    });
    assert!(in_one_piece);
}

#[test]
fn a_command_can_be_reset_as_soon_as_it_was_asked_for() {
    let agent = Agent::start();
    let mut host = agent.host();
    let id = host.next;
    host.next += 2;
    let mut both = Vec::new();
    put_frame(&mut both, id, kind::OPEN, 0, &[field(1, &shell("sleep 1000")), int(30, 1000)].concat());
    put_frame(&mut both, id, kind::RESET, 0, &[]);
    host.send(&both);
    assert!(host.collect(id).error > 0);
    host.works();
}

#[test]
fn a_reset_kills_everything_the_command_started() {
    let agent = Agent::start();
    let mut host = agent.host();
    let id = host.open(1, &shell("sleep 1000 & echo $!; wait"), 0);
    let pid = String::from_utf8(host.output(id, 2)).unwrap();
    assert!(is_running(&pid));
    host.frame(id, kind::RESET, 0, &[]);
    assert_eq!(host.collect(id).error, code::CANCELLED);
    wait_for("the child's end", || (!is_running(&pid)).then_some(()));
}

#[test]
fn the_end_of_a_session_kills_its_commands_but_not_detached_ones() {
    let agent = Agent::start();
    let mut host = agent.host();
    let id = host.open(1, &shell("echo $$; sleep 1000"), 0);
    let mine = String::from_utf8(host.output(id, 2)).unwrap();
    let id = host.open(1, &[shell("echo $$; exec sleep 1000"), int(7, 1)].concat(), 0);
    let process = host.collect(id).process;
    drop(host);
    wait_for("the command's end", || (!is_running(&mine)).then_some(()));
    let mut host = agent.host();
    let id = host.open(2, &int(1, process), 0);
    let detached = String::from_utf8(host.output(id, 2)).unwrap();
    assert!(is_running(&detached));
    let mut second = agent.host();
    let again = second.open(2, &int(1, process), 0);
    assert_eq!(second.collect(again).error, code::BUSY);
    let signal = second.open(4, &[int(1, process), int(2, 9)].concat(), 0);
    second.collect(signal);
    assert_eq!(host.collect(id).signal, 9);
}

#[test]
fn a_detached_process_keeps_its_last_output_and_counts_what_it_lost() {
    let agent = Agent::start();
    let mut host = agent.host();
    let id = host.open(1, &[shell("head -c 1000000 /dev/zero; echo done"), int(7, 1)].concat(), 0);
    let process = host.collect(id).process;
    let outcome = wait_for("the process's end", || {
        let id = host.open(2, &int(1, process), 0);
        let outcome = host.collect(id);
        outcome.stdout.ends_with(b"done\n").then_some(outcome)
    });
    assert_eq!(outcome.dropped + outcome.stdout.len() as u64, 1_000_005);
    assert!(outcome.stdout.len() > 200_000);
}

#[test]
fn a_host_that_breaks_the_rules_loses_its_session_and_can_start_again() {
    let agent = Agent::start();
    let mut host = agent.host();
    let id = host.open(1, &[shell("echo $$; cat"), int(8, 1)].concat(), 0);
    let pid = String::from_utf8(host.output(id, 2)).unwrap();
    // More than the credit.
    host.frame(id, kind::DATA, 0, &[0; 65_536]);
    host.frame(id, kind::DATA, 0, &[0; 65_536]);
    host.frame(id, kind::DATA, 0, &vec![0; 65_536]);
    host.frame(99, kind::DATA, 0, b"a stream that never was");
    wait_for("the command's end", || (!is_running(&pid)).then_some(()));
    host.hello();
    host.works();
    for bad in [[0xffu8; 12], [0; 12], [1, 0, 0, 0, 2, 0, 0, 0, kind::OPEN, 0, 0, 0]] {
        host.send(&bad);
        host.hello();
        host.works();
    }
}

#[test]
fn a_session_that_ends_while_its_host_reads_nothing_can_start_again() {
    let agent = Agent::start();
    let mut host = agent.host();
    let id = host.open(1, &shell("echo $$; exec yes"), 1 << 30);
    let pid = String::from_utf8(host.output(id, 2)).unwrap();
    let pid = pid.lines().next().unwrap();
    // What the agent has for this host fills the connection: it waits for room, and so does the command.
    let asleep = || std::fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| stat.contains(") S "));
    let mut since = Instant::now();
    wait_for("the command's rest", || {
        if !asleep() {
            since = Instant::now();
        }
        (since.elapsed() > Duration::from_millis(300)).then_some(())
    });
    host.frame(99, kind::DATA, 0, b"a stream that never was");
    wait_for("the command's end", || (!is_running(pid)).then_some(()));
    host.hello();
    host.works();
}

#[test]
fn a_host_cut_off_inside_a_frame_is_followed_by_one_that_flushes() {
    let agent = Agent::start();
    let mut host = agent.host();
    let mut half = Header { len: 60_000, stream: 1, kind: kind::OPEN, flags: 0 }.encode().to_vec();
    half.extend_from_slice(b"the rest never comes");
    host.send(&half);
    host.send(&vec![0; 65_548]);
    host.hello();
    host.works();
}

#[test]
fn a_host_that_asks_and_never_reads_costs_a_bounded_amount_of_memory() {
    let agent = Agent::start();
    let mut host = agent.host();
    host.works();
    let mut flood = Vec::new();
    for _ in 0..1000 {
        put_frame(&mut flood, 0, kind::PING, 0, &[1; 64]);
    }
    host.socket.set_nonblocking(true).unwrap();
    let start = Instant::now();
    let mut sent = 0;
    // Until the agent has stopped reading for a while.
    let mut quiet = Instant::now();
    while quiet.elapsed() < Duration::from_millis(300) && start.elapsed() < PATIENCE {
        match host.socket.write(&flood[sent % flood.len()..]) {
            Ok(n) => {
                sent += n;
                quiet = Instant::now();
            }
            Err(_) => std::thread::yield_now(),
        }
    }
    assert!(agent.memory() < 12_000, "{} KiB", agent.memory());
    let mut other = agent.host();
    other.works();
}

#[test]
fn one_stream_more_than_allowed_is_refused() {
    let agent = Agent::start();
    let mut host = agent.host();
    let mut bytes = Vec::new();
    for i in 0..513u32 {
        // Not complete: they stay open and start nothing.
        put_frame(&mut bytes, 1 + 2 * i, kind::OPEN, 1, b"x");
    }
    host.send(&bytes);
    assert_eq!(host.collect(1025).error, code::LIMIT);
}

#[test]
fn fifty_commands_run_at_once() {
    let agent = Agent::start();
    let mut host = agent.host();
    let ids: Vec<u32> = (0..50).map(|i| host.open(1, &shell(&format!("sleep 0.2; echo {i}")), 0)).collect();
    let mut left = ids.len();
    let mut seen = Vec::new();
    while left > 0 {
        let (header, payload) = host.next_frame();
        match header.kind {
            kind::RESULT => left -= 1,
            kind::DATA => seen.push((header.stream, payload)),
            _ => {}
        }
    }
    seen.sort();
    for (i, id) in ids.iter().enumerate() {
        assert_eq!(seen[i], (*id, format!("{i}\n").into_bytes()));
    }
}

#[test]
fn a_terminal_has_its_size_and_takes_a_new_one() {
    let agent = Agent::start();
    let mut host = agent.host();
    let size = [int(1, 91), int(2, 31)].concat();
    let id = host.open(
        1,
        &[shell("trap 'stty size; exit 5' WINCH; stty size; sleep 100 & wait"), field(6, &size)].concat(),
        0,
    );
    assert_eq!(host.output(id, 7), b"31 91\r\n");
    let resize = field(2, &[int(1, 40), int(2, 20)].concat());
    host.frame(id, kind::CONTROL, 0, &resize);
    let outcome = host.collect(id);
    assert_eq!((outcome.stdout, outcome.exit_code), (b"20 40\r\n".to_vec(), 5));
}

#[test]
fn an_idle_agent_uses_no_processor_time() {
    let agent = Agent::start();
    let mut host = agent.host();
    host.works();
    let id = host.open(1, &shell("yes"), 1000);
    host.output(id, 1000);
    let before = agent.ticks();
    std::thread::sleep(Duration::from_secs(1)); // the thing measured is idleness
    assert!(agent.ticks() <= before + 1);
}

#[test]
fn nothing_of_its_host_is_configured_by_an_ordinary_process() {
    let agent = Agent::start();
    let mut host = agent.host();
    let id = host.open(17, &field(4, b"renamed"), 0);
    assert_eq!(host.collect(id).error, code::UNSUPPORTED);
    let id = host.open(17, &[], 0);
    assert_eq!(host.collect(id).error, 0);
}

#[test]
fn a_shutdown_can_ask_commands_by_another_signal() {
    let mut agent = Agent::start();
    let mut host = agent.host();
    let refused = host.open(16, &int(2, 65), 0);
    assert_eq!(host.collect(refused).error, code::INVALID);
    let line = "trap '' TERM; trap 'echo asked; exit' QUIT; echo up; while :; do sleep 0.1; done";
    let id = host.open(1, &shell(line), 0);
    host.output(id, 3);
    host.open(16, &[int(1, 20_000), int(2, 3)].concat(), 0);
    let mut said = Vec::new();
    loop {
        let (header, payload) = host.next_frame();
        if header.kind == kind::GOODBYE {
            break;
        }
        if header.kind == kind::DATA {
            said.extend_from_slice(&payload);
        }
    }
    assert_eq!(said, b"asked\n");
    wait_for("the agent's end", || agent.child.try_wait().unwrap());
}

#[test]
fn a_shutdown_says_goodbye_and_ends() {
    let mut agent = Agent::start();
    let mut host = agent.host();
    let id = host.open(1, &shell("trap '' TERM; echo up; while :; do sleep 1; done"), 0);
    host.output(id, 3);
    host.open(16, &int(1, 100), 0);
    loop {
        let (header, _) = host.next_frame();
        if header.kind == kind::GOODBYE {
            break;
        }
    }
    wait_for("the agent's end", || agent.child.try_wait().unwrap());
}
