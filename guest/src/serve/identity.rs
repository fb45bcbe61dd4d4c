//! Who the machine is: told after a boot, and again in each machine that goes on from a captured memory.

use crate::errors::failure;
use crate::exec::cgroup;
use crate::machine::configure;
use crate::machine::role::Role;
use crate::serve::agent::Agent;
use crate::serve::waiting::AHEAD_MS;
use crate::streams::session::Link;
use crate::streams::{keeping, suspension};
use crate::sys;
use crate::wire::messages::{code, Configure, Failure, Outcome};

/// Freezes what was started, for the machine's memory to be captured. It goes on when the machine has an identity. With `suspend`, the sessions
/// part from their connections before: the answer comes later.
pub fn hold(agent: &mut Agent, link: Link, suspend: bool) -> Result<Option<Outcome>, Failure> {
    if agent.role != Role::Init {
        return Err(Failure::new(code::UNSUPPORTED, "this agent is not PID 1 of a machine of its own"));
    }
    if suspend {
        suspension::begin(&mut agent.mux, link);
        return Ok(None);
    }
    freeze(agent)?;
    // Nothing runs that would ask the hosts of mounts for more.
    Ok((!keeping::begin(&mut agent.mux, link)).then(Outcome::default))
}

/// Goes on where [`hold`] waits for the sessions to part, or for the hosts of mounts.
pub fn go_on_holding(agent: &mut Agent) {
    if let Some(link) = keeping::over(&mut agent.mux) {
        agent.mux.sessions.answer(link, &Outcome::default());
    }
    let Some(link) = suspension::parted(&mut agent.mux) else { return };
    let waits = agent.mux.sessions.stream(link).is_some();
    let outcome = match if waits { freeze(agent) } else { Err(Failure::new(code::CANCELLED, "")) } {
        Ok(()) => Outcome::default(),
        Err(failure) => {
            suspension::reopen(&mut agent.mux);
            Outcome::failed(failure)
        }
    };
    if waits {
        agent.mux.sessions.answer(link, &outcome);
    }
}

fn freeze(agent: &mut Agent) -> Result<(), Failure> {
    cgroup::freeze_all(true).map_err(|error| match error.0 {
        libc::EBUSY => Failure::new(code::BUSY, "some processes cannot be frozen"),
        _ => failure(b"cannot freeze the processes", error),
    })?;
    agent.held = true;
    agent.mux.fork_at = None;
    agent.mux.keeps_commands = true;
    Ok(())
}

/// The machine whose memory was captured goes on as what it was. One that goes on from that memory is given an identity instead.
pub fn release(agent: &mut Agent) -> Result<(), Failure> {
    if !agent.held {
        suspension::reopen(&mut agent.mux);
        return Ok(());
    }
    keeping::end(&mut agent.mux);
    cgroup::freeze_all(false).map_err(|error| failure(b"cannot let the processes go on", error))?;
    agent.held = false;
    agent.mux.keeps_commands = false;
    suspension::reopen(&mut agent.mux);
    Ok(())
}

/// Gives the machine what makes it this one; one that was held goes on when all of it is applied.
pub fn give(agent: &mut Agent, settings: &Configure) -> Result<(), Failure> {
    if agent.held && !configure::is_new_identity(settings) {
        let message = "a machine that was held needs entropy, a clock, a machine id and a generation";
        return Err(Failure::new(code::INVALID, message));
    }
    if agent.held {
        keeping::end(&mut agent.mux); // nobody answers for them
    }
    // The clock is set before the rest, which takes its time.
    let now_ms = sys::now_ms();
    configure::apply(settings, agent.role, &agent.disk)?;
    if !settings.machine_id.is_empty() && !configure::is_machine(settings.machine_id) {
        agent.host_keys.renew()?;
        // Last: who dies before has them made again.
        configure::set_machine_id(settings.machine_id)?;
    }
    if settings.network.as_ref().is_some_and(|network| network.door) {
        agent.door.set_up(&mut agent.mux)?;
    }
    agent.configured = true;
    agent.mux.fork_at = Some(now_ms + AHEAD_MS);
    if settings.clock_s != 0 {
        let host_ms = settings.clock_s.saturating_mul(1000) + u64::from(settings.clock_ns / 1_000_000);
        agent.host_clock.told(host_ms, now_ms);
    }
    if agent.held {
        suspension::end_parted(&mut agent.mux); // they are those of the machine that was captured
    }
    release(agent)
}
