//! A machine that stands still, for its memory to be captured: first what was started is frozen, then the hosts of mounts say what they know, then the
//! sessions part from their connections if a capture ends these. The agent goes on serving meanwhile, because what is to be frozen may wait for it.

use crate::errors::failure;
use crate::exec::cgroup;
use crate::machine::role::Role;
use crate::serve::agent::Agent;
use crate::serve::hold_state::{Hold, Step};
use crate::streams::session::Link;
use crate::streams::stop::settle_left;
use crate::streams::target::Target;
use crate::streams::{keeping, suspension};
use crate::sys::poller::PRI;
use crate::sys::{self, Errno};
use crate::wire::messages::{code, Failure, Outcome};

/// Has the machine stand still. With `suspend`, the sessions part from their connections before it is answered.
pub fn hold(agent: &mut Agent, link: Link, suspend: bool) -> Result<Option<Outcome>, Failure> {
    if agent.role != Role::Init {
        return Err(Failure::new(code::UNSUPPORTED, "this agent is not PID 1 of a machine of its own"));
    }
    if let Hold::Coming { link: other, .. } = agent.hold {
        if agent.mux.sessions.stream(other).is_some() {
            return Err(Failure::new(code::BUSY, "the machine is being held already"));
        }
        forget_freezing(agent);
    }
    let freezing = cgroup::freeze_all().map_err(|error| failure(b"cannot freeze the processes", error))?;
    agent.commands.frozen = true;
    let token = match freezing.is_done() {
        true => None,
        false => agent.mux.poller.add(&freezing.events, PRI, Target::Frozen).ok(),
    };
    agent.hold = Hold::Coming { link, suspend, step: Step::Freezing { freezing, token } };
    go_on(agent);
    Ok(None)
}

/// Does what can be done now on the way to standing still.
pub fn go_on(agent: &mut Agent) {
    let Hold::Coming { link, suspend, step } = &agent.hold else { return };
    let (link, suspend) = (*link, *suspend);
    let is_over = match step {
        Step::Freezing { freezing, .. } if freezing.is_done() => {
            forget_freezing(agent);
            // Nothing runs that would ask the hosts of mounts for more.
            if keeping::begin(&mut agent.mux) {
                agent.hold = Hold::Coming { link, suspend, step: Step::Telling };
                false
            } else {
                part(agent, link, suspend)
            }
        }
        Step::Freezing { freezing, .. } => {
            if sys::now_ms() >= freezing.until {
                give_up(agent, link, Failure::new(code::BUSY, "some processes cannot be frozen"));
            }
            false
        }
        Step::Telling => keeping::is_over(&mut agent.mux) && part(agent, link, suspend),
        Step::Parting => suspension::have_parted(&mut agent.mux),
    };
    if !is_over {
        return;
    }
    if agent.mux.sessions.stream(link).is_none() {
        return give_up(agent, link, Failure::new(code::CANCELLED, ""));
    }
    agent.hold = Hold::Held;
    agent.mux.fork_at = None;
    agent.mux.keeps_commands = true;
    agent.mux.sessions.answer(link, &Outcome::default());
}

/// The sessions part from their connections, if they are to. True: there is nothing to wait for.
fn part(agent: &mut Agent, link: Link, suspend: bool) -> bool {
    if suspend {
        suspension::begin(&mut agent.mux, link);
        agent.hold = Hold::Coming { link, suspend, step: Step::Parting };
    }
    !suspend
}

fn give_up(agent: &mut Agent, link: Link, failure: Failure) {
    // What cannot go on stays frozen: whoever looks at the machine next has it go on.
    let _ = release(agent, true);
    if agent.mux.sessions.stream(link).is_some() {
        agent.mux.sessions.answer(link, &Outcome::failed(failure));
    }
}

/// The machine goes on: as what it was (`as_it_was`), or, from the memory that was captured of it, with an identity of its own.
pub fn release(agent: &mut Agent, as_it_was: bool) -> Result<(), Failure> {
    if !matches!(agent.hold, Hold::Not) {
        forget_freezing(agent);
        keeping::end(&mut agent.mux);
        cgroup::thaw_all().map_err(|error: Errno| failure(b"cannot let the processes go on", error))?;
        agent.hold = Hold::Not;
        agent.commands.frozen = false;
        agent.mux.keeps_commands = false;
        settle_left(&mut agent.mux, as_it_was);
        agent.mux.sessions.look_again(|session| session.held_up);
    }
    suspension::reopen(&mut agent.mux);
    Ok(())
}

fn forget_freezing(agent: &mut Agent) {
    if let Hold::Coming { step: Step::Freezing { token, .. }, .. } = &mut agent.hold {
        agent.mux.poller.forget(token.take());
    }
}
