//! The agent: all its state, each part behind what it is for.

use crate::exec::pool::Pool;
use crate::machine::clock::HostClock;
use crate::machine::disk::Disk;
use crate::machine::role::Role;
use crate::machine::slow_mounts;
use crate::serve::commands::Commands;
use crate::serve::door::Door;
use crate::serve::hold_state::Hold;
use crate::serve::host_keys::HostKeys;
use crate::serve::listeners::Listeners;
use crate::serve::shutdown::{Ask, Shutdown};
use crate::serve::signals;
use crate::streams::mux::Mux;
use crate::streams::pressure;
use crate::streams::target::{Poller, Target};
use crate::sys::poller::{IN, PRI};
use crate::sys::{self, Fd, Res};

pub struct Agent {
    pub role: Role,
    pub mux: Mux,
    pub commands: Commands,
    /// the way out of a machine without a network card
    pub door: Door,
    pub listeners: Listeners,
    pub signals: Fd,
    pub boot_id: Vec<u8>,
    pub configured: bool,
    /// its memory is, or was, captured
    pub hold: Hold,
    pub host_keys: HostKeys,
    pub host_clock: HostClock,
    pub disk: Disk,
    pub shutdown: Option<Shutdown>,
    mount_table: Option<Fd>,
    /// more children may have ended than were reaped at once
    pub reap_again: bool,
}

impl Agent {
    pub fn new(role: Role) -> Res<Agent> {
        let mut poller = Poller::new()?;
        let signals = signals::block_all()?;
        poller.add(&signals, IN, Target::Signals)?;
        let mut mux = Mux::new(poller, Pool::new(role == Role::Init));
        pressure::watch(&mut mux);
        let boot_id = sys::read_file(c"/proc/sys/kernel/random/boot_id", 64).unwrap_or_default();
        Ok(Agent {
            role,
            mux,
            commands: Commands::new(role)?,
            door: Door::default(),
            listeners: Listeners::default(),
            signals,
            boot_id: boot_id.trim_ascii().to_vec(),
            configured: false,
            hold: Hold::default(),
            host_keys: HostKeys::default(),
            host_clock: HostClock::default(),
            disk: Disk::default(),
            shutdown: None,
            mount_table: None,
            reap_again: false,
        })
    }

    /// Watches the mount table: a command that starts on a hung FUSE must not take the agent with it.
    pub fn watch_mounts(&mut self) {
        let Ok(fd) = sys::open(slow_mounts::TABLE, libc::O_RDONLY) else { return };
        if self.mux.poller.add(&fd, PRI, Target::Mounts).is_ok() {
            self.mount_table = Some(fd);
        }
    }

    /// Starts the machine's end. A second request changes nothing.
    pub fn begin_shutdown(&mut self, grace_ms: u32, signal: i32, reason: &'static str) {
        if self.shutdown.is_none() {
            self.mux.dismiss_waiting(None);
            self.mux.fork_at = None;
            self.shutdown = Some({
                let init = self.commands.init.as_ref().filter(|_| !self.mux.init_ended);
                Shutdown::begin(&self.mux, self.role, init, Ask { grace_ms, signal, reason })
            });
        }
    }
}
