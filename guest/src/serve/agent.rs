//! The one loop: waits for events, lets each be handled, writes what there is to write.

use std::collections::VecDeque;

use crate::exec::cgroup::Pool;
use crate::machine::role::Role;
use crate::machine::slow_mounts;
use crate::serve::listeners::Listener;
use crate::streams::session::{Peer, Session, Stream, MAX_CREDIT, MAX_STREAMS, OUT_MAX, START_CREDIT};
use crate::streams::task::{failed, Kind, Slab, Task};
use crate::sys::poller::{Event, Poller, Target, Token, IN, OUT, PRI};
use crate::sys::{self, Errno, Fd, Res};
use crate::wire::frame::{self, kind, Header, Scan, Sender, HEADER, MAGIC};
use crate::wire::messages::{HelloAck, Outcome};

/// The one version of the protocol so far.
const PROTOCOL: u32 = 1;
/// One read of a session. A virtio-serial port gives at most 4 KiB at a time, a socket more.
const READ_SIZE: usize = 65_536;
/// Reads of one session before the others get a turn.
const READS_PER_TURN: usize = 32;
/// Rounds over the busy sessions before events are looked at again.
const PASSES_PER_TURN: usize = 4;
/// Writes of one session before the others get a turn.
const WRITES_PER_TURN: usize = 16;
/// A session whose host was never seen connected is looked at again after this, in ms.
const LIMBO_MS: u64 = 5000;

/// Output that background children of finished commands still write: read and thrown away.
pub struct Orphan {
    pub fd: Fd,
    pub token: Token,
}

pub struct Agent {
    pub role: Role,
    pub poller: Poller,
    pub sessions: Slab<Session>,
    pub tasks: Slab<Task>,
    pub orphans: Slab<Orphan>,
    pub orphan_order: VecDeque<usize>,
    /// finished detached processes, oldest first
    pub finished: VecDeque<usize>,
    pub listeners: Vec<Listener>,
    pub ports: Option<crate::serve::listeners::Ports>,
    pub cgroups: Pool,
    pub signals: Fd,
    pub null: Fd,
    pub next_process: u32,
    pub boot_id: Vec<u8>,
    pub configured: bool,
    pub host_clock: crate::machine::clock::HostClock,
    /// the agent's children get these limits of open files
    pub nofile: (u64, u64),
    pub shutdown: Option<crate::serve::shutdown::Shutdown>,
    pub disk: crate::machine::disk::Disk,
    /// a file system that can hang is mounted: commands start in memory of their own
    pub slow_mounts: bool,
    pub mount_table: Option<Fd>,
    /// sessions with something to write, or reads that were cut short
    pub busy: Vec<usize>,
    /// sources and orphans whose reads were cut short
    pub again: VecDeque<(usize, usize)>,
    pub orphans_again: VecDeque<usize>,
    pub reap_again: bool,
    /// since the last wait, others were let run first
    pub yielded: bool,
    pub scratch: Vec<u8>,
}

impl Agent {
    pub fn new(role: Role) -> Res<Agent> {
        let mut poller = Poller::new()?;
        let signals = crate::serve::signals::block_all()?;
        poller.add(&signals, IN, Target::Signals)?;
        let nofile = crate::exec::spawn::raise_nofile(role == Role::Init).unwrap_or((1024, 4096));
        let boot_id = sys::read_file(c"/proc/sys/kernel/random/boot_id", 64).unwrap_or_default();
        Ok(Agent {
            role,
            poller,
            sessions: Slab::new(),
            tasks: Slab::new(),
            orphans: Slab::new(),
            orphan_order: VecDeque::new(),
            finished: VecDeque::new(),
            listeners: Vec::new(),
            ports: None,
            cgroups: Pool::new(role == Role::Init),
            signals,
            null: sys::open(c"/dev/null", libc::O_RDWR)?,
            next_process: 1,
            boot_id: boot_id.trim_ascii().to_vec(),
            configured: false,
            host_clock: crate::machine::clock::HostClock::default(),
            nofile,
            shutdown: None,
            disk: crate::machine::disk::Disk::default(),
            slow_mounts: false,
            mount_table: None,
            busy: Vec::new(),
            again: VecDeque::new(),
            orphans_again: VecDeque::new(),
            reap_again: false,
            yielded: false,
            scratch: Vec::new(),
        })
    }

    /// Serves until the machine stops.
    pub fn serve(&mut self) -> Errno {
        loop {
            let timeout = if self.is_busy() { 0 } else { self.timeout() };
            if let Err(error) = self.poller.wait(timeout) {
                return error;
            }
            self.yielded = false;
            while let Some(event) = self.poller.next_event() {
                self.handle(event);
            }
            self.turn();
            self.on_time();
        }
    }

    fn handle(&mut self, event: Event) {
        match event.target {
            Target::Signals => self.on_signals(),
            Target::DeviceNodes => self.on_device_nodes(),
            Target::Mounts => self.slow_mounts = slow_mounts::exist(),
            Target::Listener(index) => self.on_connection(index),
            Target::Session(index) => self.on_session(index, &event),
            Target::Sink(task) => self.on_sink(task),
            Target::Source(task, channel) => self.on_source(task, channel, &event),
            Target::Status(task) => self.on_status(task),
            Target::Orphan(index) => self.on_orphan(index),
        }
    }

    /// Watches the mount table: a command that starts on a hung FUSE must not take the agent with it.
    pub fn watch_mounts(&mut self) {
        let Ok(fd) = sys::open(slow_mounts::TABLE, libc::O_RDONLY) else { return };
        if self.poller.add(&fd, PRI, Target::Mounts).is_ok() {
            self.mount_table = Some(fd);
        }
    }

    /// Adds a session on a port or connection.
    pub fn add_session(&mut self, fd: Fd, peer: Peer) {
        let index = self.sessions.next_index();
        match self.poller.add(&fd, IN, Target::Session(index)) {
            Ok(token) => {
                self.sessions.insert(Session::new(fd, token, peer));
                self.mark(index);
            }
            Err(error) => crate::sys::console::warn("cannot watch a session", error),
        }
    }

    /// The session gets a turn before the next wait.
    pub fn mark(&mut self, session: usize) {
        if !self.busy.contains(&session) {
            self.busy.push(session);
        }
    }

    /// Something was cut short to give the rest a turn.
    fn is_busy(&self) -> bool {
        !self.busy.is_empty() || !self.again.is_empty() || !self.orphans_again.is_empty() || self.reap_again
    }

    /// Reads, writes and pumps, a bounded amount for each session and source.
    fn turn(&mut self) {
        if std::mem::take(&mut self.reap_again) {
            self.reap();
        }
        for (task, channel) in std::mem::take(&mut self.again) {
            self.pump(task, channel);
        }
        for orphan in std::mem::take(&mut self.orphans_again) {
            self.on_orphan(orphan);
        }
        for _ in 0..PASSES_PER_TURN {
            if self.busy.is_empty() {
                break;
            }
            for index in std::mem::take(&mut self.busy) {
                self.read_session(index);
                self.flush(index);
            }
        }
    }

    fn on_status(&mut self, task: usize) {
        match self.tasks.get(task).map(|t| &t.kind) {
            Some(Kind::Process(_)) => self.on_exec_status(task),
            Some(Kind::Worker(_)) => self.on_worker_status(task),
            _ => {}
        }
    }

    fn on_session(&mut self, index: usize, event: &Event) {
        let Some(session) = self.sessions.get_mut(index) else { return };
        session.readable |= event.readable;
        session.writable |= event.writable;
        if session.peer == Peer::Port {
            if !event.hangup {
                session.connected = true;
                session.check_at = None;
            } else if session.active && session.connected {
                self.end_session(index);
            }
        }
        self.mark(index);
    }

    /// Reads what is there and handles the frames in it.
    fn read_session(&mut self, index: usize) {
        for _ in 0..READS_PER_TURN {
            let Some(session) = self.sessions.get_mut(index) else { return };
            if !session.readable || session.unsent() > OUT_MAX {
                return;
            }
            if session.taken > 0 {
                session.inbound.drain(..session.taken);
                session.taken = 0;
            }
            // At most one incomplete frame is kept, so the buffer stays below two frames.
            match sys::read_append(session.fd.raw(), &mut session.inbound, READ_SIZE) {
                Ok(0) => {
                    session.readable = false;
                    if session.peer == Peer::Socket {
                        self.close_session(index);
                        return;
                    }
                }
                Ok(_) => self.handle_input(index),
                Err(error) if error.would_block() => session.readable = false,
                Err(_) => {
                    session.readable = false;
                    if session.peer == Peer::Socket {
                        self.close_session(index);
                        return;
                    }
                }
            }
        }
        self.mark(index);
    }

    /// Handles every complete frame of the inbound buffer, until too much waits to be sent.
    fn handle_input(&mut self, index: usize) {
        loop {
            let Some(session) = self.sessions.get_mut(index) else { return };
            let rest = &session.inbound[session.taken..];
            if !session.active {
                match frame::scan(rest) {
                    Scan::More { discard } => {
                        session.taken += discard;
                        return;
                    }
                    Scan::Start { used, hello } => {
                        session.taken += used;
                        self.start_session(index, &hello.nonce);
                    }
                }
                continue;
            }
            let Some(bytes) = rest.first_chunk::<HEADER>() else { return };
            let header = match Header::parse(bytes, Sender::Host) {
                Ok(header) => header,
                // Also the way a new MAGIC looks: the search begins with this very header.
                Err(_) => {
                    self.end_session(index);
                    continue;
                }
            };
            if rest.len() < HEADER + header.len {
                return;
            }
            let from = session.taken + HEADER;
            // The payload is taken out of the session's buffer for as long as it is looked at.
            let inbound = std::mem::take(&mut session.inbound);
            let good = self.on_frame(index, header, &inbound[from..from + header.len]);
            let Some(session) = self.sessions.get_mut(index) else { return };
            session.inbound = inbound;
            match good {
                Ok(()) => session.taken = from + header.len,
                Err(ProtocolError) => self.end_session(index),
            }
        }
    }

    fn start_session(&mut self, index: usize, nonce: &[u8; 16]) {
        let ack = HelloAck {
            version: PROTOCOL,
            nonce,
            agent: crate::VERSION.as_bytes(),
            boot_id: &self.boot_id,
            configured: self.configured,
        };
        let Some(session) = self.sessions.get_mut(index) else { return };
        session.active = true;
        if session.peer == Peer::Port && !session.connected {
            session.check_at = Some(sys::now_ms() + LIMBO_MS);
        }
        session.out.extend_from_slice(MAGIC);
        session.put_with(0, kind::HELLO_ACK, 0, |out| ack.encode(out));
    }

    /// Ends the session's streams and forgets what was to be sent. The search for a new start begins.
    pub fn end_session(&mut self, index: usize) {
        let Some(session) = self.sessions.get_mut(index) else { return };
        session.active = false;
        session.connected = false;
        session.check_at = None;
        // A frame that is half written is cut off: the next host discards until its own nonce.
        session.out = Vec::new();
        session.sent = 0;
        session.last_stream = 0;
        session.waiting.clear();
        for stream in std::mem::take(&mut session.streams) {
            if let Some(task) = stream.task {
                self.abandon(task);
            }
        }
        self.mark(index);
    }

    /// A connection is over for good.
    pub fn close_session(&mut self, index: usize) {
        self.end_session(index);
        if let Some(session) = self.sessions.remove(index) {
            self.poller.forget(session.token);
        }
    }

    fn on_frame(&mut self, index: usize, header: Header, payload: &[u8]) -> Result<(), ProtocolError> {
        let Some(session) = self.sessions.get_mut(index) else { return Ok(()) };
        if header.stream == 0 {
            return match header.kind {
                kind::PING => {
                    session.put(0, kind::PONG, 0, payload);
                    Ok(())
                }
                // We send no PING that it could answer.
                kind::PONG => Ok(()),
                // HELLO without MAGIC before it.
                _ => Err(ProtocolError),
            };
        }
        if header.kind == kind::OPEN {
            return self.on_open(index, header, payload);
        }
        let Some(stream) = session.stream(header.stream) else {
            // Its result crossed the frame; a stream that never was is another matter.
            return if header.stream <= session.last_stream { Ok(()) } else { Err(ProtocolError) };
        };
        if stream.opening.is_some() && header.kind != kind::RESET {
            return Err(ProtocolError);
        }
        match header.kind {
            kind::DATA => {
                if stream.ended || payload.len() as u32 > stream.receive_credit {
                    return Err(ProtocolError);
                }
                stream.receive_credit -= payload.len() as u32;
                self.deliver(index, header.stream, payload);
            }
            kind::END => {
                if stream.ended {
                    return Err(ProtocolError);
                }
                stream.ended = true;
                self.deliver_end(index, header.stream);
            }
            kind::WINDOW => {
                let credit = u32::from_le_bytes(payload.try_into().map_err(|_| ProtocolError)?);
                let channel = usize::from(header.flags - 1);
                let sum = stream.credit[channel].checked_add(credit).filter(|&sum| sum <= MAX_CREDIT);
                stream.credit[channel] = sum.ok_or(ProtocolError)?;
                if let Some(task) = stream.task {
                    self.pump(task, channel);
                    self.pump_ring(task);
                }
            }
            kind::CONTROL => self.on_control(index, header.stream, payload)?,
            kind::RESET => self.on_reset(index, header.stream),
            _ => return Err(ProtocolError),
        }
        Ok(())
    }

    fn on_open(&mut self, index: usize, header: Header, payload: &[u8]) -> Result<(), ProtocolError> {
        let Some(session) = self.sessions.get_mut(index) else { return Ok(()) };
        let more = header.flags & frame::MORE != 0;
        let id = header.stream;
        if id > session.last_stream {
            session.last_stream = id;
            if session.streams.len() >= MAX_STREAMS {
                // Parts that follow are of a finished stream.
                let message = "too many streams are open in this session";
                let failure = crate::wire::messages::Failure::new(crate::wire::messages::code::LIMIT, message);
                self.answer(index, id, &failed(failure));
                return Ok(());
            }
            session.streams.push(Stream {
                id,
                opening: Some(Vec::new()),
                task: None,
                credit: [0; 2],
                receive_credit: START_CREDIT,
                ungranted: 0,
                ended: false,
                wide: false,
            });
            if !more {
                // The usual case: nothing to collect.
                return self.request(index, id, payload);
            }
        }
        let Some(stream) = session.stream(id) else { return Ok(()) };
        let Some(collected) = &mut stream.opening else { return Err(ProtocolError) };
        if collected.len() + payload.len() > MAX_OPEN {
            return Err(ProtocolError);
        }
        collected.extend_from_slice(payload);
        if !more {
            let collected = std::mem::take(collected);
            return self.request(index, id, &collected);
        }
        Ok(())
    }

    /// Sends a stream's RESULT and forgets the stream.
    pub fn answer(&mut self, index: usize, stream: u32, outcome: &Outcome) {
        let mut message = Vec::new();
        outcome.encode(&mut message);
        self.answer_encoded(index, stream, &message);
    }

    /// Sends an encoded Result.
    pub fn answer_encoded(&mut self, index: usize, stream: u32, message: &[u8]) {
        let Some(session) = self.sessions.get_mut(index) else { return };
        if let Some(at) = session.stream_index(stream) {
            session.streams.remove(at);
        }
        session.put(stream, kind::RESULT, 0, message);
        self.mark(index);
    }

    /// Writes what waits, and lets waiting output follow.
    pub fn flush(&mut self, index: usize) {
        for _ in 0..WRITES_PER_TURN {
            let Some(session) = self.sessions.get_mut(index) else { return };
            while session.writable && session.unsent() > 0 {
                match sys::write(session.fd.raw(), &session.out[session.sent..]) {
                    Ok(n) => session.sent += n,
                    Err(error) if error.would_block() || session.peer == Peer::Port => {
                        // Only now are events of room worth their price.
                        session.writable = false;
                        session.wants_room = true;
                        self.poller.rearm(&session.fd, session.token, IN | OUT);
                    }
                    Err(_) => {
                        self.close_session(index);
                        return;
                    }
                }
            }
            if session.wants_room && session.unsent() == 0 {
                session.wants_room = false;
                self.poller.rearm(&session.fd, session.token, IN);
            }
            session.compact_out();
            if !session.writable || session.waiting.is_empty() {
                // Requests that were held back while too much waited are read again.
                if session.readable && session.unsent() <= OUT_MAX {
                    self.mark(index);
                }
                return;
            }
            self.pump_waiting(index);
        }
        self.mark(index);
    }

    fn timeout(&self) -> i32 {
        let mut next = self.shutdown.as_ref().map(|s| s.next_ms());
        let checks = self.sessions.iter().filter_map(|(_, session)| session.check_at);
        let kills = self.tasks.iter().filter_map(|(_, task)| match &task.kind {
            Kind::Worker(worker) => worker.kill_at,
            _ => None,
        });
        for at in checks.chain(kills) {
            next = Some(next.map_or(at, |n| n.min(at)));
        }
        match next {
            None => -1,
            Some(at) => at.saturating_sub(sys::now_ms()).min(60_000) as i32 + 1,
        }
    }

    fn on_time(&mut self) {
        if self.shutdown.is_some() {
            self.on_shutdown_step();
        }
        if self.timeout() < 0 {
            return;
        }
        let now = sys::now_ms();
        for task in 0..self.tasks.bound() {
            if let Some(Kind::Worker(worker)) = self.tasks.get_mut(task).map(|t| &mut t.kind) {
                if worker.kill_at.is_some_and(|at| at <= now) {
                    worker.kill_at = None;
                    let _ = sys::kill(worker.pid, libc::SIGKILL);
                }
            }
        }
        for index in 0..self.sessions.bound() {
            let Some(session) = self.sessions.get_mut(index) else { continue };
            if session.check_at.is_some_and(|at| at <= now) {
                session.check_at = None;
                if crate::serve::listeners::is_hung_up(&session.fd) {
                    self.end_session(index);
                } else {
                    session.connected = true;
                }
            }
        }
    }
}

/// The longest OPEN, all its frames together.
const MAX_OPEN: usize = 1 << 20;

/// A frame that breaks a rule; the session ends.
#[derive(Debug, PartialEq, Eq)]
pub struct ProtocolError;
