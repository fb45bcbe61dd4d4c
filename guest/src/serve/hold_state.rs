//! How far a machine is on its way to standing still (hold.rs). Only bookkeeping.

use crate::exec::cgroup::Freezing;
use crate::streams::session::Link;
use crate::sys::poller::Token;

#[derive(Default)]
pub enum Hold {
    #[default]
    Not,
    /// on its way, for who asked for it
    Coming { link: Link, suspend: bool, step: Step },
    /// until the machine has an identity of its own, or is let go on, nothing runs
    Held,
}

pub enum Step {
    Freezing {
        freezing: Freezing,
        token: Option<Token>,
    },
    /// the hosts of mounts say what they know
    Telling,
    /// the sessions part from their connections
    Parting,
}

impl Hold {
    /// Whether it does nothing but what a machine without an identity does.
    pub fn is_held(&self) -> bool {
        matches!(self, Hold::Held)
    }

    /// When it is to be looked at again, in monotonic ms.
    pub fn due(&self) -> Option<u64> {
        match self {
            Hold::Coming { step: Step::Freezing { freezing, .. }, .. } => Some(freezing.until),
            _ => None,
        }
    }
}
