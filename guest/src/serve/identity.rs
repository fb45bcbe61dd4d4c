//! Who the machine is: told after a boot, and again in each machine that goes on from a captured memory.

use crate::machine::configure;
use crate::serve::agent::Agent;
use crate::serve::hold;
use crate::serve::waiting::AHEAD_MS;
use crate::streams::{keeping, suspension};
use crate::sys;
use crate::wire::messages::{code, Configure, Failure};

/// Gives the machine what makes it this one; one that was held goes on when all of it is applied.
pub fn give(agent: &mut Agent, settings: &Configure) -> Result<(), Failure> {
    if agent.hold.is_held() && !configure::is_new_identity(settings) {
        let message = "a machine that was held needs entropy, a clock, a machine id and a generation";
        return Err(Failure::new(code::INVALID, message));
    }
    if agent.hold.is_held() {
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
    if agent.hold.is_held() {
        suspension::end_parted(&mut agent.mux); // they are those of the machine that was captured
    }
    hold::release(agent, false)
}
