//! The one loop: waits for events, lets each be handled, writes what there is to write.

use crate::machine::role::Role;
use crate::machine::slow_mounts;
use crate::serve::agent::Agent;
use crate::serve::children::{on_status, reap, REAP_PER_TURN};
use crate::serve::forward::{is_connecting, on_connected};
use crate::serve::hold;
use crate::serve::input::{on_session, read_session};
use crate::serve::shutdown::{kill_everything, DEFAULT_GRACE_MS};
use crate::serve::{deadlines, signals};
use crate::streams::flush::flush;
use crate::streams::pressure;
use crate::streams::settle::settle;
use crate::streams::sink::on_writable;
use crate::streams::source::{on_source, pump};
use crate::streams::target::{Event, Target};
use crate::sys::{self, Errno};

/// Rounds over the busy sessions before events are looked at again.
const PASSES_PER_TURN: usize = 4;
/// The longest wait when something is due, in ms.
const MAX_WAIT_MS: u64 = 60_000;

/// Serves until the machine stops.
pub fn serve(agent: &mut Agent) -> Errno {
    loop {
        let timeout = if is_busy(agent) { 0 } else { timeout(agent) };
        // Children that ended come first: their last output and their result then leave in one write.
        if let Err(error) = agent.mux.poller.wait(timeout, Target::Signals) {
            return error;
        }
        agent.mux.yielded = false;
        while let Some(event) = agent.mux.poller.next_event() {
            handle(agent, &event);
        }
        turn(agent);
        hold::go_on(agent);
        if agent.mux.init_ended {
            agent.begin_shutdown(DEFAULT_GRACE_MS, 0, "reboot");
        }
        if let Some(shutdown) = &mut agent.shutdown {
            shutdown.go_on(&mut agent.mux, agent.role, &agent.disk);
        }
        deadlines::act(&mut agent.mux);
    }
}

fn handle(agent: &mut Agent, event: &Event) {
    let mux = &mut agent.mux;
    match event.target {
        Target::Signals => on_signals(agent),
        Target::DeviceNodes => agent.listeners.on_device_nodes(mux),
        Target::Mounts => agent.commands.slow_mounts = slow_mounts::exist(),
        Target::Frozen => {} // hold::go_on looks
        Target::Memory => pressure::on_reached(mux),
        Target::Door(which) => agent.door.on_connections(which),
        Target::Brought(id) => agent.door.on_brought(id),
        Target::Addresses => agent.door.on_addresses(),
        Target::ResolverUdp | Target::ResolverTcp | Target::ResolverClient(_) => on_resolver(agent, event.target),
        Target::Listener(index) => agent.listeners.on_connection(mux, index),
        Target::Session(index) => on_session(mux, index, event),
        Target::Sink(task) if is_connecting(mux, task) => on_connected(mux, task),
        Target::Sink(task) => on_writable(mux, task, event),
        Target::Source(task, channel) => on_source(mux, task, channel, event),
        Target::Status(task) => on_status(mux, task),
        Target::Group(task) => settle(mux, task),
        Target::Waiting(pid) if event.hangup => mux.dismiss_waiting(Some(pid)),
        Target::Waiting(_) => {}
        Target::Orphan(index) => mux.orphans.drain(&mut mux.poller, index),
    }
}

fn on_resolver(agent: &mut Agent, target: Target) {
    let (Some(resolver), poller) = (agent.door.resolver(), &mut agent.mux.poller) else { return };
    match target {
        Target::ResolverTcp => resolver.on_clients(poller),
        Target::ResolverClient(number) => resolver.on_client(poller, number),
        _ => resolver.on_questions(),
    }
}

fn on_signals(agent: &mut Agent) {
    for signal in signals::pending(&agent.signals) {
        match (signal, agent.role) {
            (libc::SIGCHLD, _) => {}
            // Ctrl-Alt-Del (SIGINT from the kernel) and what small init systems' halt commands send.
            (_, Role::Init) => agent.begin_shutdown(DEFAULT_GRACE_MS, 0, "reboot"),
            (libc::SIGTERM | libc::SIGINT, Role::Guest) => {
                kill_everything(&agent.mux, agent.role);
                // SAFETY: plain call.
                unsafe { libc::_exit(0) };
            }
            _ => {}
        }
    }
    // Mostly it is one: its answer leaves before others are looked for.
    agent.reap_again = reap(&mut agent.mux, 1);
}

/// Something was cut short to give the rest a turn.
fn is_busy(agent: &mut Agent) -> bool {
    let mux = &mut agent.mux;
    mux.sessions.is_busy()
        || !mux.again.is_empty()
        || mux.orphans.is_busy()
        || agent.reap_again
        || agent.door.is_busy(mux)
}

/// Reads, writes and pumps, a bounded amount for each session and source.
fn turn(agent: &mut Agent) {
    let mux = &mut agent.mux;
    for (task, channel) in std::mem::take(&mut mux.again) {
        pump(mux, task, channel);
    }
    mux.orphans.resume(&mut mux.poller);
    agent.door.go_on(mux);
    for _ in 0..PASSES_PER_TURN {
        if !agent.mux.sessions.is_busy() {
            break;
        }
        for index in agent.mux.sessions.take_busy() {
            read_session(agent, index);
            flush(&mut agent.mux, index);
            agent.mux.tidy();
        }
    }
    agent.mux.tidy();
    if agent.reap_again {
        agent.reap_again = reap(&mut agent.mux, REAP_PER_TURN);
    }
}

/// How long to wait for events, in ms; -1: for ever.
fn timeout(agent: &Agent) -> i32 {
    let end = agent.shutdown.as_ref().map(|shutdown| shutdown.next_ms());
    match end.into_iter().chain(agent.hold.due()).chain(deadlines::next(&agent.mux)).min() {
        None => -1,
        Some(at) => at.saturating_sub(sys::now_ms()).min(MAX_WAIT_MS) as i32 + 1,
    }
}
